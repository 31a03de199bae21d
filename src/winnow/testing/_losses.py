"""The contract of losses. Axes: V members, B batch, C outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from winnow.methods import BaseLoss, Batch
from winnow.recipe import Model
from winnow.testing._contract import (
    calling,
    close,
    columns,
    differing_members,
    expect,
    expect_family,
    neutral_columns,
    others,
)
from winnow.testing._fleets import Task, Tiny, check_fleet

__all__ = ["check_loss"]

_BATCH, _CLASSES, _FEATURES = 6, 4, 3
_SURE = 30.0  # a logit of this size is a probability of 1 in single precision


def check_loss(loss: BaseLoss) -> None:
    """Check that a loss keeps the contract of ``BaseLoss``.

    It gives a number for each row of each member, finite, with a finite gradient that is not zero
    everywhere; a member gets what it gets alone; settings may differ between members, and each has
    an effect, in one of its tasks at least; a neutral setting has the effect of one that is left
    out; soft targets, where it takes them, mean the same as classes. A tiny model is trained, as a
    fleet and alone, in double precision.

    Args:
        loss: with its settings; checked for its ``task``, or for both.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import Focal
        >>> check_loss(Focal(gamma=1.5))
    """
    name = expect_family(loss, BaseLoss)
    tasks: Sequence[Task] = ("classification", "regression")
    members = differing_members(loss)
    idle = set(others(loss))
    own_of_batch = any("of_batch" in vars(c) for c in type(loss).__mro__ if c is not BaseLoss)
    called = "of_batch" if own_of_batch else "per_row"
    for task in tasks if loss.task is None else [loss.task]:
        outputs, targets = _rows(task, len(members))
        with calling(f"{name}: {called}"):
            _check_rows(name, members, outputs, targets)
            _check_neutral(name, loss, outputs, targets)
            idle &= _without_effect(loss, outputs, targets)
            if loss.soft_targets and task == "classification":
                _check_soft(name, members, outputs, targets)
        teacher = {"teacher": Model(Tiny)} if loss.hears_teacher else {}
        check_fleet(name, [{"loss": member, **teacher} for member in members], task)
    for setting in sorted(idle):
        expect(False, f"{name}: its setting {setting!r} has no effect on the loss")


def _rows(task: Task, members: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    if task == "classification":
        shape = (members, _BATCH, _CLASSES)
        targets = torch.randint(0, _CLASSES, shape[:2], generator=generator)
    else:
        shape = (members, _BATCH, 1)
        targets = torch.randn(shape[:2], generator=generator, dtype=torch.float64)
    return torch.randn(shape, generator=generator, dtype=torch.float64), targets


def _check_rows(
    name: str, members: Sequence[BaseLoss], outputs_VBC: Tensor, targets_VB: Tensor
) -> None:
    found_VB, gradient = _with_gradient(members, outputs_VBC, targets_VB)
    expect(
        found_VB.shape == targets_VB.shape,
        f"{name}: per_row gives shape {tuple(found_VB.shape)} for {len(members)} members and "
        f"{_BATCH} rows, and must give {tuple(targets_VB.shape)}",
    )
    expect(
        gradient is not None,
        f"{name}: per_row cannot be differentiated by the outputs",
    )
    assert gradient is not None
    expect(
        bool((gradient != 0).flatten(1).any(dim=1).all()),
        f"{name}: its gradient is zero everywhere, so it has no effect",
    )
    for scale in (1.0, _SURE):
        values, slope = _with_gradient(members, scale * outputs_VBC, targets_VB)
        assert slope is not None
        finite = torch.isfinite(values).all() and torch.isfinite(slope).all()
        expect(
            bool(finite),
            f"{name}: the loss or its gradient is not finite for outputs of size {scale:g}",
        )
    for i, member in enumerate(members):
        alone = _per_row([member], outputs_VBC[i : i + 1], targets_VB[i : i + 1])
        expect(
            close(found_VB[i : i + 1], alone),
            f"{name}: per_row of member {i} of {len(members)} is another than alone",
        )


def _without_effect(loss: BaseLoss, outputs_VBC: Tensor, targets_VB: Tensor) -> set[str]:
    """Return the settings whose change changes no row's loss."""
    V = len(outputs_VBC)
    now = _per_row([loss] * V, outputs_VBC, targets_VB)
    changed = {
        setting: _per_row([other] * V, outputs_VBC, targets_VB)
        for setting, other in others(loss).items()
    }
    return {setting for setting, found in changed.items() if torch.equal(now, found)}


def _check_neutral(name: str, loss: BaseLoss, outputs_VBC: Tensor, targets_VB: Tensor) -> None:
    V, batch = len(outputs_VBC), _batch(loss, outputs_VBC, targets_VB)
    for setting, value in loss.neutral.items():
        at_neutral = {**columns([loss] * V), setting: neutral_columns(loss, V)[setting]}
        left_out = columns([loss] * V, without=[setting])
        expect(
            close(
                loss.of_batch(outputs_VBC, batch, **at_neutral),
                loss.of_batch(outputs_VBC, batch, **left_out),
            ),
            f"{name}: {setting} {value:g}, which is said to be neutral, gives another loss than "
            f"{setting} left out",
        )


def _check_soft(
    name: str, members: Sequence[BaseLoss], outputs_VBC: Tensor, targets_VB: Tensor
) -> None:
    """A class that is certain is the class itself."""
    soft_VBC = torch.nn.functional.one_hot(targets_VB, _CLASSES).to(outputs_VBC.dtype)
    expect(
        close(
            _per_row(members, outputs_VBC, soft_VBC),
            _per_row(members, outputs_VBC, targets_VB),
        ),
        f"{name}: per_row of probabilities that are 1 for a class is another than of the class",
    )


def _per_row(members: Sequence[BaseLoss], outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
    settings: dict[str, Any] = columns(members)
    batch = _batch(members[0], outputs_VBC, targets_VB)
    return members[0].of_batch(outputs_VBC, batch, **settings)


def _batch(loss: BaseLoss, outputs_VBC: Tensor, targets_VB: Tensor) -> Batch:
    """Return a batch with these targets, inputs, and a teacher that says something of its own."""
    V, B, C = outputs_VBC.shape
    generator = torch.Generator().manual_seed(1)
    # The same for all members, so that one alone sees and hears what it does among others
    said_BC = torch.randn(B, C, generator=generator, dtype=outputs_VBC.dtype)
    inputs_BF = torch.randn(B, _FEATURES, generator=generator, dtype=outputs_VBC.dtype)
    teacher = said_BC.expand(V, B, C) if loss.hears_teacher else None
    return Batch(inputs_BF.expand(V, B, _FEATURES), targets_VB, teacher=teacher)


def _with_gradient(
    members: Sequence[BaseLoss], outputs_VBC: Tensor, targets_VB: Tensor
) -> tuple[Tensor, Tensor | None]:
    """The loss, and its gradient by the outputs; None where there is none."""
    leaf = outputs_VBC.clone().requires_grad_()
    values = _per_row(members, leaf, targets_VB)
    if not values.requires_grad:
        return values, None
    (gradient,) = torch.autograd.grad(values.sum(), leaf, allow_unused=True)
    return values.detach(), gradient
