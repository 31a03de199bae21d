"""The contract of penalties. Axes: V members; a parameter has its own shape behind V."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from winnow.methods import BasePenalty
from winnow.testing._contract import (
    calling,
    close,
    columns,
    differing_members,
    expect,
    expect_family,
    neutral_columns,
    numbers,
    others,
)
from winnow.testing._fleets import check_fleet

__all__ = ["check_penalty"]

_SHAPE = (4, 3)


def check_penalty(penalty: BasePenalty) -> None:
    """Check that a penalty keeps the contract of ``BasePenalty``.

    It adds to the gradient in place, leaves the parameter alone, and does nothing where it does
    not apply; a member gets what it gets alone; settings may differ between members, and each has
    an effect; at its neutral settings it adds nothing; what is said to be elementwise may be laid
    flat. A tiny model is trained, as a fleet and alone, in double precision.

    Args:
        penalty: with settings at which it does something.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import L1
        >>> check_penalty(L1(strength=0.1))
    """
    name = expect_family(penalty, BasePenalty)
    members = differing_members(penalty)
    with calling(f"{name}: add_gradient_"):
        _check_adds(name, members)
        _check_settings(name, penalty)
    check_fleet(name, [{"penalties": [member]} for member in members])


def _check_adds(name: str, members: Sequence[BasePenalty]) -> None:
    V = len(members)
    param = numbers(0, V, {"": _SHAPE})[""]
    before, settings = param.clone(), columns(members)
    added = _added(members[0], param, settings)
    expect(torch.equal(param, before), f"{name}: it changes the parameter itself")
    expect(
        bool(added.flatten(1).any(dim=1)[0]),
        f"{name}: it adds nothing to the gradient in place, so it has no effect",
    )
    expect(bool(torch.isfinite(added).all()), f"{name}: the gradient that it adds is not finite")
    begun = numbers(1, V, {"": _SHAPE})[""]
    expect(
        close(_added(members[0], param, settings, begin=begun), added),
        f"{name}: what it adds depends on the gradient that is there already",
    )
    expect(
        not _added(members[0], param, settings, where=0.0).any(),
        f"{name}: it adds a gradient where it does not apply (`where` is 0)",
    )
    for i, member in enumerate(members):
        alone = _added(member, param[i : i + 1], columns([member]))
        expect(
            close(added[i : i + 1], alone),
            f"{name}: member {i} of {V} gets another gradient than alone",
        )
    if members[0].elementwise:
        flat = _added(members[0], param.flatten(1), settings)
        expect(
            close(flat, added.flatten(1)),
            f"{name}: it says that it is elementwise, and adds another gradient where parameters "
            f"are laid flat",
        )


def _check_settings(name: str, penalty: BasePenalty) -> None:
    param = numbers(0, 2, {"": _SHAPE})[""]
    now = _added(penalty, param, columns([penalty] * 2))
    for setting, other in others(penalty).items():
        changed = _added(other, param, columns([other] * 2))
        expect(
            not torch.equal(now, changed),
            f"{name}: its setting {setting!r} has no effect on the gradient",
        )
    if penalty.neutral:
        expect(
            not _added(penalty, param, neutral_columns(penalty, 2)).any(),
            f"{name}: it adds a gradient at its neutral settings ({dict(penalty.neutral)})",
        )


def _added(
    penalty: BasePenalty,
    param: Tensor,
    settings: dict[str, Any],
    *,
    begin: Tensor | None = None,
    where: float = 1.0,
) -> Tensor:
    """What a penalty adds to a gradient, the shape of the parameter."""
    axes = [1] * (param.dim() - 1)
    shaped = {n: v.view(-1, *axes) if isinstance(v, Tensor) else v for n, v in settings.items()}
    grad = torch.zeros_like(param) if begin is None else begin.clone()
    penalty.add_gradient_(grad, param, where, **shaped)
    return grad if begin is None else grad - begin
