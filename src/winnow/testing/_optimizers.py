"""The contract of optimizers. Axes: V members; a parameter has its own shape behind V."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from winnow.methods import BaseOptimizer
from winnow.testing._contract import (
    calling,
    columns,
    differing_members,
    expect,
    expect_family,
    neutral_columns,
    numbers,
    others,
    same,
)
from winnow.testing._fleets import check_fleet

__all__ = ["check_optimizer"]

Named = dict[str, Tensor]
States = dict[str, dict[str, Tensor]]

_SHAPES = {"weight": (4, 3), "bias": (4,)}
_STEPS = 3


def check_optimizer(optimizer: BaseOptimizer) -> None:
    """Check that an optimizer keeps the contract of ``BaseOptimizer``.

    Parameters and state are changed in place and have a leading V; a member gets what it gets
    alone, also when others leave the fleet, and a copy of it goes on as it does; settings may
    differ between members, and each has an effect; a neutral setting has the effect of one that is
    left out; what is said to be elementwise may be laid flat, and what is said to compile never
    looks at values. A tiny model is trained, as a fleet and alone, in double precision.

    Args:
        optimizer: with settings at which it does something.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import AdamW
        >>> check_optimizer(AdamW(weight_decay=0.1))
    """
    name = expect_family(optimizer, BaseOptimizer)
    members = differing_members(optimizer)
    with calling(name):
        _check_state(name, members)
        _check_solo(name, members)
        _check_leaving_and_copying(name, members)
        _check_neutral(name, optimizer)
        if optimizer.elementwise:
            _check_flat(name, members)
        if optimizer.compiles:
            _check_compiles(name, members)
    changed = others(optimizer)
    curves = check_fleet(name, [{"optimizer": m} for m in (optimizer, *changed.values())])
    for setting, curve in zip(changed, curves[1:], strict=True):
        expect(
            curve != curves[0],
            f"{name}: its setting {setting!r} has no effect on a training",
        )


class _Walk:
    """Members on their way: their parameters, their state and the number of steps."""

    def __init__(
        self,
        members: Sequence[BaseOptimizer],
        params: Named,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.method = type(members[0])
        self.settings = columns(members) if settings is None else settings
        self.params = {n: t.clone() for n, t in params.items()}
        self.states: States = self.method.init(self.params)
        self.number = 0

    def step(self, grads: Named, number: Tensor | None = None) -> None:
        self.number += 1
        if number is None:
            number = torch.tensor(float(self.number), dtype=torch.float64)
        with torch.no_grad():
            if self.method.perturbs:
                own = {n: t.clone() for n, t in grads.items()}
                self.method.perturb_(self.params, own, self.states, self.settings)
            own = {n: t.clone() for n, t in grads.items()}
            self.method.step_(self.params, own, self.states, self.settings, number=number)

    def steps(self, first: int, last: int, of: Callable[[Tensor], Tensor] = lambda t: t) -> _Walk:
        """Take these steps; ``of`` takes the members' gradients from those of all."""
        for number in range(first, last):
            self.step({n: of(t) for n, t in _gradients(number).items()})
        return self

    def map(self, change: Callable[[Tensor], Tensor]) -> _Walk:
        """The members that ``change`` takes or repeats, as far as these have come."""
        other = _Walk.__new__(_Walk)
        other.method, other.number = self.method, self.number
        other.settings = {
            n: change(v) if isinstance(v, Tensor) else v for n, v in self.settings.items()
        }
        other.params = {n: change(t).clone() for n, t in self.params.items()}
        other.states = {
            n: {slot: change(t).clone() for slot, t in state.items()}
            for n, state in self.states.items()
        }
        return other


_MOST = 16  # members at most, of which each check takes the first


def _gradients(number: int) -> Named:
    return numbers(100 + number, _MOST, _SHAPES)


def _begin(members: int) -> Named:
    return {n: t[:members] for n, t in numbers(0, _MOST, _SHAPES).items()}


def _walk(members: Sequence[BaseOptimizer], settings: dict[str, Any] | None = None) -> _Walk:
    return _Walk(members, _begin(len(members)), settings)


def _check_state(name: str, members: Sequence[BaseOptimizer]) -> None:
    walk, V = _walk(members), len(members)
    begin = {n: t.clone() for n, t in walk.params.items()}
    tensors = {n: (t, dict(walk.states[n])) for n, t in walk.params.items()}
    for state in walk.states.values():
        for slot, tensor in state.items():
            expect(
                tensor.dim() > 0 and tensor.shape[0] == V,
                f"{name}: its state {slot!r} is of shape {tuple(tensor.shape)} for {V} members, "
                f"and must have a leading axis of {V}",
            )
    walk.steps(0, _STEPS, lambda t: t[:V])
    for param, (tensor, state) in tensors.items():
        moved = not torch.equal(tensor, begin[param])
        expect(
            moved and walk.params[param] is tensor,
            f"{name}: a step does not change parameters in place, and has no effect",
        )
        expect(
            bool(torch.isfinite(tensor).all()),
            f"{name}: after {_STEPS} steps a parameter is not finite",
        )
        now = walk.states[param]
        replaced = [slot for slot in {**state, **now} if now.get(slot) is not state.get(slot)]
        expect(
            not replaced,
            f"{name}: a step gives its state {replaced} as another tensor, and must change the "
            f"tensors of `init` in place",
        )


def _check_solo(name: str, members: Sequence[BaseOptimizer]) -> None:
    V = len(members)
    together = _walk(members).steps(0, _STEPS, lambda t: t[:V])
    for i, member in enumerate(members):
        own = _Walk([member], {n: t[i : i + 1] for n, t in _begin(V).items()})
        own.steps(0, _STEPS, lambda t, i=i: t[i : i + 1])  # type: ignore[misc]
        expect(
            same(own.params, together.params, of=lambda t, i=i: t[i : i + 1]),  # type: ignore[misc]
            f"{name}: steps of member {i} of {V} give other parameters than its steps alone",
        )


def _check_leaving_and_copying(name: str, members: Sequence[BaseOptimizer]) -> None:
    V, half = len(members), _STEPS - 1
    whole = _walk(members).steps(0, half, lambda t: t[:V])
    rows = torch.tensor([V - 1, 0])
    left = whole.map(lambda t: t[rows]).steps(half, _STEPS + 1, lambda t: t[rows])
    copied = whole.map(lambda t: t[:1].repeat(2, *[1] * (t.dim() - 1)))
    copied.steps(half, _STEPS + 1, lambda t: t[:1].repeat(2, *[1] * (t.dim() - 1)))
    whole.steps(half, _STEPS + 1, lambda t: t[:V])
    expect(
        same(left.params, whole.params, of=lambda t: t[rows]),
        f"{name}: members go on differently when others have left, so its state does not hold "
        f"all that it remembers",
    )
    expect(
        same(copied.params, whole.params, of=lambda t: t[:1].expand(2, *t.shape[1:])),
        f"{name}: a copy of a member goes on differently, so its state does not hold all that it "
        f"remembers",
    )


def _check_neutral(name: str, optimizer: BaseOptimizer) -> None:
    members = [optimizer] * 2
    for setting, value in optimizer.neutral.items():
        with_it = {**columns(members), setting: neutral_columns(optimizer, 2)[setting]}
        left_out = columns(members, without=[setting])
        found = _walk(members, with_it).steps(0, _STEPS, lambda t: t[:2])
        expected = _walk(members, left_out).steps(0, _STEPS, lambda t: t[:2])
        expect(
            same(found.params, expected.params),
            f"{name}: {setting} {value:g}, which is said to be neutral, gives other steps than "
            f"{setting} left out",
        )


def _check_flat(name: str, members: Sequence[BaseOptimizer]) -> None:
    V = len(members)
    shaped = _walk(members).steps(0, _STEPS, lambda t: t[:V])
    flat = _Walk(members, {"": _flat(_begin(V))})
    for number in range(_STEPS):
        flat.step({"": _flat({n: t[:V] for n, t in _gradients(number).items()})})
    expect(
        same(flat.params, {"": _flat(shaped.params)}),
        f"{name}: it says that it is elementwise, and gives other parameters where they are laid "
        f"flat",
    )


def _flat(tensors: Named) -> Tensor:
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], dim=1)


def _check_compiles(name: str, members: Sequence[BaseOptimizer]) -> None:
    walk, V = _walk(members), len(members)
    names, slots = list(walk.params), {n: list(s) for n, s in walk.states.items()}

    def step(
        params: list[Tensor],
        states: list[Tensor],
        grads: list[Tensor],
        lr_V1: Tensor,
        number: Tensor,
    ) -> None:
        rest = iter(states)
        walk.params = dict(zip(names, params, strict=True))
        walk.states = {n: {slot: next(rest) for slot in slots[n]} for n in names}
        walk.settings = {**walk.settings, "lr": lr_V1}
        walk.step(dict(zip(names, grads, strict=True)), number)

    states = [t for state in walk.states.values() for t in state.values()]
    grads = [t[:V] for t in _gradients(0).values()]
    params, number = list(walk.params.values()), torch.ones((), dtype=torch.float64)
    try:
        make_fx(step)(params, states, grads, walk.settings["lr"], number)
    except Exception as error:  # whatever tracing may raise
        first = str(error).strip().splitlines()[0]
        raise AssertionError(
            f"{name}: it says that it compiles, and its step looks at values of tensors ({first}); "
            f"compute with tensors only, or set `compiles = False`"
        ) from error
