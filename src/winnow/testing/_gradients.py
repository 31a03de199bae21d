"""The contract of gradient rules. Axes: V members, P elements of one parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from winnow.methods import BaseGradientRule
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

__all__ = ["check_gradient_rule"]

_PIECES = {"weight": (12,), "bias": (4,)}


def check_gradient_rule(rule: BaseGradientRule) -> None:
    """Check that a gradient rule keeps the contract of ``BaseGradientRule``.

    It changes the gradient in place, the same whether it comes in one piece or in several; a member
    gets what it gets alone; settings may differ between members, and each has an effect; at its
    neutral settings it does nothing. A tiny model is trained with a rule that has a setting in
    ``Train``, as a fleet and alone, in double precision.

    Args:
        rule: with settings at which it does something to a gradient of norm 4.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import ClipNorm
        >>> check_gradient_rule(ClipNorm(max_norm=0.1))
    """
    name = expect_family(rule, BaseGradientRule)
    members = differing_members(rule)
    with calling(f"{name}: apply_"):
        _check_members(name, members)
        _check_settings(name, rule)
    if rule.name:
        (setting,) = rule.member_settings()
        check_fleet(name, [{rule.name: getattr(member, setting)} for member in members])


def _check_members(name: str, members: Sequence[BaseGradientRule]) -> None:
    V = len(members)
    pieces = list(numbers(0, V, _PIECES).values())
    found = _applied(members[0], pieces, columns(members))
    begin = torch.cat(pieces, dim=1)
    expect(
        not torch.equal(found[0], begin[0]),
        f"{name}: it does not change the gradient in place, so it has no effect",
    )
    expect(bool(torch.isfinite(found).all()), f"{name}: it makes the gradient other than finite")
    expect(
        close(_applied(members[0], [begin], columns(members)), found),
        f"{name}: a gradient in one piece comes out differently than in several",
    )
    for i, member in enumerate(members):
        alone = _applied(member, [piece[i : i + 1] for piece in pieces], columns([member]))
        expect(
            close(found[i : i + 1], alone),
            f"{name}: the gradient of member {i} of {V} comes out differently than alone",
        )


def _check_settings(name: str, rule: BaseGradientRule) -> None:
    pieces = list(numbers(0, 2, _PIECES).values())
    now = _applied(rule, pieces, columns([rule] * 2))
    for setting, other in others(rule).items():
        expect(
            not torch.equal(now, _applied(other, pieces, columns([other] * 2))),
            f"{name}: its setting {setting!r} has no effect on the gradient",
        )
    if rule.neutral:
        left = _applied(rule, pieces, neutral_columns(rule, 2))
        expect(
            torch.equal(left, torch.cat(pieces, dim=1)),
            f"{name}: it changes the gradient at its neutral settings ({dict(rule.neutral)})",
        )


def _applied(rule: BaseGradientRule, pieces: Sequence[Tensor], settings: dict[str, Any]) -> Tensor:
    """The whole gradient after the rule, (variants, elements)."""
    grads = [piece.clone() for piece in pieces]
    rule.apply_(grads, **settings)
    return torch.cat(grads, dim=1)
