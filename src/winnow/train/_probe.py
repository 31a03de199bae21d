"""Before training: can these members run as one program, and does it give the numbers that each gives alone?"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from winnow.data import Prepared
from winnow.errors import ModelError
from winnow.methods import noise_keys
from winnow.recipe import SGD, Variant
from winnow.train._build import build_members
from winnow.train._lanes import rehearse
from winnow.train._program import Alone, BaseProgram
from winnow.train._settings import dtype_of, make_lanes
from winnow.train._signature import difference, signature
from winnow.train._stacked import Stacked, stacking

__all__ = ["Probe", "probe", "shape_key"]

_ROWS = 4  # of the tiny batch


@dataclass(frozen=True)
class Probe:
    """What a try-out of two members told.

    Attributes:
        reason: why they cannot be stacked, in a sentence; None when they can.
        parameters: trainable numbers of one member.
    """

    reason: str | None
    parameters: int


def shape_key(variant: Variant, module: nn.Module) -> Hashable:
    """Equal for variants that may share a fleet: the data, the program and the shapes of its tensors.

    Args:
        variant: with nothing open.
        module: as ``build_members`` makes it for this variant.
    """
    train = variant.train
    return (
        variant.data.model_dump_json(),
        variant.fold,
        variant.context,
        train.batch_size,
        train.drop_last,
        train.optimizer.kind,
        train.loss,
        train.precision,
        signature(module),
    )


def probe(variant: Variant, prepared: Prepared) -> Probe:
    """Run one step of two members on a tiny batch, stacked and alone, and compare: without mixed precision, whose rounding would
    hide a difference. With it both need only run. The step is plain gradient descent's: an adaptive method makes a whole step
    of what is only rounding, where a gradient is zero (a bias before batch normalisation).

    Raises:
        ModelError: the model cannot be built, or fails in mixed precision.
    """
    plain = variant.train.model_copy(update={"optimizer": SGD(momentum=0.0), "clip_norm": None})
    variant = variant.model_copy(update={"train": plain})
    pair = [variant, variant.model_copy(update={"seed": variant.seed + 1})]
    modules = build_members(pair, prepared)
    dtype = dtype_of(variant)
    lanes = make_lanes(pair, prepared.task, dtype)
    x, y = prepared.head("train", _ROWS, dtype)
    draws = [rehearse(module, x) for module in modules]
    alone = [
        Alone(copy.deepcopy(m), replace(make_lanes([v], prepared.task, dtype), mixed=False), noise_seed=v.seed if d else None)
        for v, m, d in zip(pair, modules, draws, strict=True)
    ]
    if lanes.mixed:
        _try_mixed(Alone(copy.deepcopy(modules[0]), make_lanes([variant], prepared.task, dtype)), x, y, variant)
    expected = [_one_step(program, x, y, [v.seed]) for program, v in zip(alone, pair, strict=True)]
    (piece,) = alone[0].pieces
    parameters = piece.params.numel()
    if any(draws):
        return Probe("its forward pass draws random numbers from a global generator, of PyTorch, Python or NumPy", parameters)
    differs = difference(modules[0], modules[1])
    if differs is not None:
        return Probe(f"two members that differ only in the seed are not built alike: {differs}", parameters)
    try:
        with stacking():
            for tried in [lanes, replace(lanes, mixed=False)][not lanes.mixed :]:  # the last is compared
                stacked = Stacked(copy.deepcopy(modules), tried)
                _one_step(stacked, x, y, [v.seed for v in pair])
                stacked.predict(x)
    except Exception as error:  # whatever the user's forward may raise under vmap
        return Probe(_sentence(error), parameters)
    if not _equal(stacked.weights(), expected, 1e-4 if x.dtype == torch.float32 else 1e-8):
        return Probe("stacked, it gives other numbers than alone", parameters)
    return Probe(None, parameters)


def _try_mixed(program: Alone, x: torch.Tensor, y: torch.Tensor, variant: Variant) -> None:
    try:
        _one_step(program, x, y, [variant.seed])
        program.predict(x)
    except Exception as error:  # whatever the user's forward may raise when it meets other number types
        raise ModelError(
            f"the model fails with train.precision {variant.train.precision!r}, under torch.autocast: {_sentence(error)}; "
            "set train.precision to 'float32'"
        ) from error


def _one_step(program: BaseProgram, x: torch.Tensor, y: torch.Tensor, seeds: Sequence[int]) -> dict[str, torch.Tensor]:
    members = len(seeds)
    keys = torch.from_numpy(noise_keys(list(seeds), program.num_keys, range(1)))[0] if program.num_keys else None
    lr = torch.from_numpy(np.full(members, 1e-2)).to(x.dtype)
    program.step(x.expand(members, *x.shape), y.expand(members, *y.shape), keys, lr)
    return program.weights()


def _sentence(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def _equal(stacked: dict[str, torch.Tensor], alone: list[dict[str, torch.Tensor]], tolerance: float) -> bool:
    """Whether all parameters agree to ``tolerance`` of the largest: large inputs make large steps, and rounding goes along."""
    pairs = [(t, torch.cat([a[n] for a in alone])) for n, t in stacked.items()]
    largest = max(1.0, *(float(expected.abs().max()) for _, expected in pairs))
    return all(torch.allclose(found, expected, rtol=tolerance, atol=tolerance * largest) for found, expected in pairs)
