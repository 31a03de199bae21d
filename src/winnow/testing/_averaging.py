"""The contract of averages of weights. Axes: V members, P elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from winnow.methods import BaseAveraging
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

__all__ = ["check_averaging"]

_ELEMENTS = 12
_STEPS = 8


def check_averaging(averaging: BaseAveraging) -> None:
    """Check that an averaging of weights keeps the contract of ``BaseAveraging``.

    The average is changed in place and the parameters are not; of parameters that stay as they are
    it is these parameters; a member gets what it gets alone, also when others leave the fleet;
    every element is averaged by itself; settings may differ between members, and each has an
    effect; at its neutral settings the average is the parameters; it never looks at values. A tiny
    model is trained, as a fleet and alone, in double precision.

    Args:
        averaging: with settings at which it does something within eight steps.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import EMA
        >>> check_averaging(EMA(decay=0.9))
    """
    name = expect_family(averaging, BaseAveraging)
    members = differing_members(averaging)
    with calling(f"{name}: update_"):
        _check_average(name, members)
        _check_solo(name, members)
        _check_settings(name, averaging)
        _check_compiles(name, members)
    check_fleet(name, [{"averaging": member} for member in members])


def _params(members: int) -> list[Tensor]:
    """Parameters before the first step and after each, (variants, elements)."""
    return [numbers(i, members, {"": (_ELEMENTS,)})[""] for i in range(_STEPS + 1)]


def _averages(
    members: Sequence[BaseAveraging],
    params: Sequence[Tensor],
    settings: dict[str, Any] | None = None,
    *,
    after: int = _STEPS,
    keep: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> list[Tensor]:
    """The average after each step; ``after`` some of them only the members that ``keep`` takes."""
    method = members[0]
    settings = columns(members) if settings is None else settings
    settings = {**settings, "num_steps": torch.full((len(members), 1), float(_STEPS)).double()}
    average = method.init({"": params[0]})[""]
    found = []
    for number, param in enumerate(params[1:], start=1):
        if number == after + 1:
            average = keep(average).clone()
            settings = {n: keep(v) if isinstance(v, Tensor) else v for n, v in settings.items()}
        own = keep(param) if number > after else param
        method.update_(average, own, number=torch.tensor(float(number)).double(), **settings)
        found.append(average.clone())
    return found


def _check_average(name: str, members: Sequence[BaseAveraging]) -> None:
    V = len(members)
    params = _params(V)
    before = [param.clone() for param in params]
    average = members[0].init({"": params[0]})[""]
    expect(
        average.shape == params[0].shape and average is not params[0],
        f"{name}: init must give a tensor of its own for each parameter, of the same shape",
    )
    found = _averages(members, params)
    expect(
        not torch.equal(found[-1][0], average[0]),
        f"{name}: it does not change the average in place, so it stays as it began",
    )
    expect(
        all(torch.equal(a, b) for a, b in zip(params, before, strict=True)),
        f"{name}: it changes the parameters themselves",
    )
    still = _averages(members, [params[0]] * len(params))
    expect(
        all(close(now, params[0]) for now in still),
        f"{name}: of parameters that stay as they are it gives others, so it is no average",
    )


def _check_solo(name: str, members: Sequence[BaseAveraging]) -> None:
    V = len(members)
    params = _params(V)
    together = _averages(members, params)
    for i, member in enumerate(members):
        alone = _averages([member], [param[i : i + 1] for param in params])
        expect(
            close(together[-1][i : i + 1], alone[-1]),
            f"{name}: the average of member {i} of {V} is another than alone",
        )
    left = _averages(members, params, after=_STEPS // 2, keep=lambda t: t[1:])
    expect(
        close(left[-1], together[-1][1:]),
        f"{name}: averages go on differently when another member has left, so the average does "
        f"not hold all that it remembers",
    )
    half = _ELEMENTS // 2
    part = _averages(members, [param[:, :half] for param in params])
    expect(
        close(part[-1], together[-1][:, :half]),
        f"{name}: the average of an element depends on other elements",
    )


def _check_settings(name: str, averaging: BaseAveraging) -> None:
    params = _params(2)
    now = torch.stack(_averages([averaging] * 2, params))
    for setting, other in others(averaging).items():
        changed = torch.stack(_averages([other] * 2, params))
        expect(
            not torch.equal(now, changed),
            f"{name}: its setting {setting!r} has no effect on the average",
        )
    if averaging.neutral:
        left = _averages([averaging] * 2, params, neutral_columns(averaging, 2))
        expect(
            all(torch.equal(a, b) for a, b in zip(left, params[1:], strict=True)),
            f"{name}: at its neutral settings ({dict(averaging.neutral)}) the average is not the "
            f"parameters",
        )


def _check_compiles(name: str, members: Sequence[BaseAveraging]) -> None:
    V = len(members)
    settings = {**columns(members), "num_steps": torch.full((V, 1), float(_STEPS)).double()}
    tensors = {n: v for n, v in settings.items() if isinstance(v, Tensor)}

    def update(average: Tensor, param: Tensor, number: Tensor, *own: Tensor) -> None:
        lent = {**settings, **dict(zip(tensors, own, strict=True))}
        members[0].update_(average, param, number=number, **lent)

    first, second = _params(V)[:2]
    try:
        make_fx(update)(first, second, torch.ones((), dtype=torch.float64), *tensors.values())
    except Exception as error:  # whatever tracing may raise
        why = str(error).strip().splitlines()[0]
        raise AssertionError(
            f"{name}: it looks at values of tensors ({why}); compute with tensors only"
        ) from error
