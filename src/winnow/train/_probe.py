"""Before training: can these members run as one program, and does it give the numbers that each gives alone?"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from winnow.data import Prepared
from winnow.methods import noise_keys
from winnow.recipe import Variant
from winnow.train._build import build_members
from winnow.train._lanes import rehearse
from winnow.train._program import Alone, BaseProgram
from winnow.train._settings import dtype_of, make_lanes
from winnow.train._signature import signature
from winnow.train._stacked import Stacked, stacking

__all__ = ["Probe", "probe", "shape_key"]

_ROWS = 4  # of the tiny batch


@dataclass(frozen=True)
class Probe:
    """What a try-out of two members told.

    Attributes:
        reason: why they cannot be stacked, in a sentence; None when they can.
        parameters: trainable numbers of one member.
        member_bytes: memory of one member in a fleet, without activations: parameters, gradient, optimiser state, best
            weights.
        row_bytes: memory of the activations of one row of one member's batch.
    """

    reason: str | None
    parameters: int
    member_bytes: int
    row_bytes: int


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
    """Run one step of two members on a tiny batch, stacked and alone, and compare.

    Raises:
        ModelError: the model cannot be built.
    """
    pair = [variant, variant.model_copy(update={"seed": variant.seed + 1})]
    modules = build_members(pair, prepared)
    lanes = make_lanes(pair, prepared.task, dtype_of(variant))
    x, y = prepared.tensors("train", dtype_of(variant))
    rows = min(_ROWS, len(x))
    x, y = x[:rows], y[:rows]
    draws = [rehearse(module, x) for module in modules]
    alone = [
        Alone(copy.deepcopy(m), make_lanes([v], prepared.task, x.dtype), noise_seed=v.seed if d else None)
        for v, m, d in zip(pair, modules, draws, strict=True)
    ]
    saved = _Saved()
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda t: t):
        expected = [_one_step(program, x, y, [v.seed]) for program, v in zip(alone, pair, strict=True)]
    (piece,) = alone[0].pieces
    parameters = piece.params.numel()
    size = parameters * piece.params.element_size()
    found = Probe(None, parameters, size * (4 + len(piece.state)), saved.nbytes // (2 * rows) + 1)
    if any(draws):
        reason = "its forward pass draws random numbers from PyTorch's global generator"
        return Probe(reason, found.parameters, found.member_bytes, found.row_bytes)
    if signature(modules[0]) != signature(modules[1]):
        return Probe("its structure depends on the seed", found.parameters, found.member_bytes, found.row_bytes)
    try:
        with stacking():
            stacked = Stacked(modules, lanes)
            _one_step(stacked, x, y, [v.seed for v in pair])
            stacked.predict(x)
    except Exception as error:  # whatever the user's forward may raise under vmap
        return Probe(_sentence(error), found.parameters, found.member_bytes, found.row_bytes)
    if not _equal(stacked.weights(), expected, 1e-4 if x.dtype == torch.float32 else 1e-8):
        return Probe("stacked, it gives other numbers than alone", found.parameters, found.member_bytes, found.row_bytes)
    return found


class _Saved:
    """Counts the bytes that autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.nbytes = 0

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.nbytes += tensor.numel() * tensor.element_size()
        return tensor


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
