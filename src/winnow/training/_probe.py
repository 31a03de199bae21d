"""Before training: can these members run as one program, and does it give the numbers that each
gives alone?
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from winnow.data import PreparedData
from winnow.errors import ModelError, kind_and_line
from winnow.methods import SGD, Batch
from winnow.models import masks_of
from winnow.recipe import Used, Variant
from winnow.training._augment import Augmentation
from winnow.training._batches import head_batch
from winnow.training._build import build_members, build_program
from winnow.training._dropout import dry_run
from winnow.training._find_methods import methods_key
from winnow.training._make_methods import make_methods
from winnow.training._methods import Methods
from winnow.training._noise import noise_keys
from winnow.training._program import BaseProgram, ParameterGroup, init_state_, perturb_, update_
from winnow.training._settings import dtype_of
from winnow.training._signature import difference, signature
from winnow.training._stack import stacking
from winnow.training._stacked import StackedProgram

__all__ = ["Probe", "probe", "shape_key"]

_ROWS = 4  # of the tiny batch
_STEPS = 3  # that methods are tried with

# What makes a step that of plain gradient descent
_PLAIN: dict[str, Any] = {
    "optimizer": SGD(momentum=0.0),
    "clip_norm": None,
    "gradient_rules": (),
    "averaging": None,
}


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
    """Return what is equal for variants that may share a fleet: the data, the program and the
    shapes of its tensors.

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
        methods_key(train),
        train.precision,
        signature(module),
        tuple(sorted(masks_of(module))),
    )


def probe(variant: Variant, prepared: PreparedData) -> Probe:
    """Run one step of two members on a tiny batch, stacked and alone, and compare: without mixed
    precision, whose rounding would hide a difference. With it both need only run. The step is plain
    gradient descent's: an adaptive method makes a whole step of what is only rounding, where a
    gradient is zero (a bias before batch normalization).

    Raises:
        ModelError: the model cannot be built, or fails in mixed precision.
    """
    plain = _without_adaptive_methods(variant)
    pair = [plain, plain.model_copy(update={"seed": plain.seed + 1})]
    modules = build_members(pair, prepared)
    dtype = dtype_of(plain)
    methods = make_methods(pair, prepared.task, dtype)
    rows = head_batch(prepared, _ROWS, dtype)
    draws = [dry_run(module, rows.inputs) for module in modules]
    alone = [_alone(m, v, prepared, mixed=False) for v, m in zip(pair, modules, strict=True)]
    if methods.mixed:
        _try_mixed(_alone(modules[0], plain, prepared, mixed=True), rows, variant, prepared)
    expected = [
        _one_step(program, rows, [v], prepared) for program, v in zip(alone, pair, strict=True)
    ]
    parameters = sum(group.params.numel() for group in alone[0].groups)
    if any(draws):
        return Probe(
            "its forward pass draws random numbers from a global generator, of PyTorch, Python "
            "or NumPy",
            parameters,
        )
    differs = difference(modules[0], modules[1])
    if differs is not None:
        return Probe(
            f"two members that differ only in the seed are not built alike: {differs}", parameters
        )
    try:
        with stacking():
            # The last is compared.
            for tried in [methods, replace(methods, mixed=False)][not methods.mixed :]:
                stacked = StackedProgram(copy.deepcopy(modules), tried)
                _one_step(stacked, rows, pair, prepared)
                stacked.predict(rows.inputs)
    except Exception as error:  # whatever the user's forward may raise under vmap
        return Probe(kind_and_line(error), parameters)
    if not _equal(stacked.weights(), expected, 1e-4 if dtype == torch.float32 else 1e-8):
        return Probe("stacked, it gives other numbers than alone", parameters)
    shapes = {n: p.shape for n, p in modules[0].named_parameters() if p.requires_grad}
    return Probe(_try_methods(variant, prepared.task, shapes), parameters)


def _without_adaptive_methods(variant: Variant) -> Variant:
    return _with(variant, **_PLAIN)


def _with(variant: Variant, **settings: Any) -> Variant:
    return variant.model_copy(update={"train": variant.train.model_copy(update=settings)})


def _alone(
    module: nn.Module, variant: Variant, prepared: PreparedData, *, mixed: bool
) -> BaseProgram:
    methods = make_methods([variant], prepared.task, dtype_of(variant))
    methods = replace(methods, mixed=mixed)
    copied = [copy.deepcopy(module)]
    return build_program(copied, [variant], prepared, stacked=False, methods=methods)


def _try_methods(variant: Variant, task: str, shapes: Mapping[str, torch.Size]) -> str | None:
    """Return why a method of the step that is no part of winnow cannot be used for several members;
    None when each can. Every one is tried by itself, beside plain gradient descent.
    """
    train = variant.train
    settings: list[tuple[str, str, Any]] = [
        ("optimizer", "optimizer", train.optimizer),
        ("averaging of weights", "averaging", train.averaging),
    ]
    for rule in train.gradient_rules:
        settings.append(("gradient rule", "gradient_rules", (rule,)))
    for what, setting, value in settings:
        method = value[0] if isinstance(value, tuple) else value
        if isinstance(method, Used):
            tried = _with(variant, **{**_PLAIN, setting: value})
            reason = _try_steps(tried, what, task, shapes)
            if reason is not None:
                return reason
    return None


def _try_steps(
    variant: Variant, what: str, task: str, shapes: Mapping[str, torch.Size]
) -> str | None:
    """Return why steps of two members, stacked, are none or other ones than alone; None when they
    are not.

    They are given gradients, the same stacked and alone, in double precision: what differs then is
    the doing of ``what``, a method, and not rounding's.
    """
    pair = [variant, variant]
    generator = torch.Generator().manual_seed(0)
    steps = [
        {
            n: torch.randn(2, *shape, generator=generator, dtype=torch.float64)
            for n, shape in shapes.items()
        }
        for _ in range(1 + _STEPS)
    ]
    try:
        stacked = _stepped(_double(pair, task), steps)
        for i in range(2):
            own = [{n: t[i : i + 1] for n, t in step.items()} for step in steps]
            alone = _stepped(_double(pair[:1], task), own)
            for name, found in alone.items():
                if not torch.allclose(stacked[name][i : i + 1], found, rtol=1e-9, atol=1e-12):
                    return f"its {what}, stacked, gives other numbers than alone"
    except Exception as error:  # whatever the user's method may raise
        return f"its {what} fails for several members: {kind_and_line(error)}"
    return None


def _double(variants: Sequence[Variant], task: str) -> Methods:
    return make_methods(variants, task, torch.float64, num_steps=[_STEPS] * len(variants))


def _stepped(
    methods: Methods, steps: Sequence[Mapping[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Return parameters, or their averages, that begin as the first of ``steps`` and see the others
    as gradients.
    """
    first, *rest = steps
    groups = [
        ParameterGroup(n, t.flatten(1).clone(), {}, False, t.shape[1:]) for n, t in first.items()
    ]
    init_state_(methods, groups)
    lr_V1 = torch.full((len(groups[0].params), 1), 1e-2, dtype=torch.float64)
    with torch.no_grad():
        for number, gradients in enumerate(rest, start=1):
            if methods.optimizer.perturbs:
                perturb_(methods, groups, [t.flatten(1).clone() for t in gradients.values()], lr_V1)
            grads = [t.flatten(1).clone() for t in gradients.values()]
            update_(methods, groups, grads, lr_V1, torch.tensor(float(number), dtype=torch.float64))
    return {group.name: group.evaluated for group in groups}


def _try_mixed(program: BaseProgram, rows: Batch, variant: Variant, prepared: PreparedData) -> None:
    try:
        _one_step(program, rows, [variant], prepared)
        program.predict(rows.inputs)
    # Whatever the user's forward may raise when it meets other number types
    except Exception as error:
        raise ModelError(
            f"the model fails with train.precision {variant.train.precision!r}, under "
            f"torch.autocast: {kind_and_line(error)}; "
            "set train.precision to 'float32'"
        ) from error


def _one_step(
    program: BaseProgram,
    rows: Batch,
    variants: Sequence[Variant],
    prepared: PreparedData,
) -> dict[str, torch.Tensor]:
    members, seeds = len(variants), [variant.seed for variant in variants]
    keys = None
    if program.num_keys:
        keys = torch.from_numpy(noise_keys(seeds, program.num_keys, range(1)))[0]
    dtype = dtype_of(variants[0])
    lr = torch.full((members,), 1e-2, dtype=dtype)
    augment = Augmentation.of(variants, prepared, range(1), dtype)
    batch = rows.map(lambda tensor: tensor.expand(members, *tensor.shape))
    program.step(augment(batch, 0), keys, lr)
    return program.weights()


def _equal(
    stacked: dict[str, torch.Tensor], alone: list[dict[str, torch.Tensor]], tolerance: float
) -> bool:
    """Return whether all parameters agree to ``tolerance`` of the largest: large inputs make large
    steps, and rounding goes along.
    """
    pairs = [(t, torch.cat([a[n] for a in alone])) for n, t in stacked.items()]
    largest = max(1.0, *(float(expected.abs().max()) for _, expected in pairs))
    return all(
        torch.allclose(found, expected, rtol=tolerance, atol=tolerance * largest)
        for found, expected in pairs
    )
