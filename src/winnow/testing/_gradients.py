"""The contract of gradient rules. Axes: V members; a parameter has its own shape behind V."""

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

_SHAPES = {"weight": (4, 3), "bias": (4,)}

Pieces = Sequence[Tensor]


def check_gradient_rule(rule: BaseGradientRule) -> None:
    """Check that a gradient rule keeps the contract of ``BaseGradientRule``.

    It changes the gradient in place and leaves the parameters alone; unless it is ``shaped``, it
    does the same whether the gradient comes in one piece or in several; a member gets what it gets
    alone; settings may differ between members, and each has an effect; at its neutral settings it
    does nothing. A tiny model is trained, as a fleet and alone, in double precision.

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
    check_fleet(name, [{"gradient_rules": [member]} for member in members])
    if rule.name:
        (setting,) = rule.member_settings()
        check_fleet(name, [{rule.name: getattr(member, setting)} for member in members])


def _check_members(name: str, members: Sequence[BaseGradientRule]) -> None:
    V = len(members)
    grads, params = _pieces(members[0], V)
    before = [param.clone() for param in params]
    found = _applied(members[0], grads, params, columns(members))
    expect(
        not torch.equal(found[0], _whole(grads)[0]),
        f"{name}: it does not change the gradient in place, so it has no effect",
    )
    expect(bool(torch.isfinite(found).all()), f"{name}: it makes the gradient other than finite")
    expect(
        all(torch.equal(now, then) for now, then in zip(params, before, strict=True)),
        f"{name}: it changes the parameters themselves",
    )
    if not members[0].shaped:
        whole = _applied(members[0], [_whole(grads)], [_whole(params)], columns(members))
        expect(
            close(whole, found),
            f"{name}: a gradient in one piece comes out differently than in several",
        )
    for i, member in enumerate(members):
        own_grads, own_params = ([piece[i : i + 1] for piece in all_] for all_ in (grads, params))
        alone = _applied(member, own_grads, own_params, columns([member]))
        expect(
            close(found[i : i + 1], alone),
            f"{name}: the gradient of member {i} of {V} comes out differently than alone",
        )


def _check_settings(name: str, rule: BaseGradientRule) -> None:
    grads, params = _pieces(rule, 2)
    now = _applied(rule, grads, params, columns([rule] * 2))
    for setting, other in others(rule).items():
        expect(
            not torch.equal(now, _applied(other, grads, params, columns([other] * 2))),
            f"{name}: its setting {setting!r} has no effect on the gradient",
        )
    if rule.neutral:
        left = _applied(rule, grads, params, neutral_columns(rule, 2))
        expect(
            torch.equal(left, _whole(grads)),
            f"{name}: it changes the gradient at its neutral settings ({dict(rule.neutral)})",
        )


def _pieces(rule: BaseGradientRule, members: int) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients and parameters in the form that a rule takes."""
    kinds = [list(numbers(seed, members, _SHAPES).values()) for seed in (0, 1)]
    grads, params = kinds if rule.shaped else [[t.flatten(1) for t in kind] for kind in kinds]
    return grads, params


def _applied(
    rule: BaseGradientRule, grads: Pieces, params: Pieces, settings: dict[str, Any]
) -> Tensor:
    """The whole gradient after the rule, (variants, elements)."""
    changed = [grad.clone() for grad in grads]
    rule.with_params_(changed, params, **settings)
    return _whole(changed)


def _whole(pieces: Pieces) -> Tensor:
    return torch.cat([piece.flatten(1) for piece in pieces], dim=1)
