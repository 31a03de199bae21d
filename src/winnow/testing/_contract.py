"""What the checks of all families share: members that differ, their settings as tensors, and
sentences.

Axes: V members; a parameter has its own shape behind V.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from winnow.methods import BaseMethod

__all__ = [
    "calling",
    "close",
    "columns",
    "differing_members",
    "expect",
    "expect_family",
    "neutral_columns",
    "numbers",
    "others",
    "same",
]

M = TypeVar("M", bound=BaseMethod)
Named = Mapping[str, Tensor]

_TOLERANCE = 1e-10  # of double precision, where the same sums are taken in another order


def expect(fulfilled: bool, sentence: str) -> None:
    """Raise ``AssertionError`` with the sentence unless it is fulfilled."""
    if not fulfilled:
        raise AssertionError(sentence)


def expect_family(method: Any, family: type[BaseMethod]) -> str:
    """Return the name of a method for sentences, once it is one of this family.

    Args:
        method: with its settings.
        family: the contract that it must be under.
    """
    found = f"the class {method.__name__}" if isinstance(method, type) else f"{method!r}"
    expect(
        isinstance(method, family),
        f"expected a {family.__name__} with its settings, got {found}",
    )
    return type(method).__name__


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Say what was called where it raises."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:  # whatever a method may raise
        raise AssertionError(f"{what} raises {type(error).__name__}: {error}") from error


def others(method: M) -> dict[str, M]:
    """For each setting that may differ between members, the method with another value of it.

    A setting without another value that the method takes is left out.
    """
    found = {}
    for name in type(method).member_settings():
        now = getattr(method, name)
        for value in _other_values(now):
            try:
                found[name] = type(method)(**{**dict(method), name: value})
            except Exception:  # not a value of this setting, so the next is tried
                continue
            break
    return found


def _other_values(now: Any) -> list[Any]:
    if isinstance(now, bool):
        return [not now]
    if isinstance(now, int):
        return [now + 1, now - 1]
    if now is None or (isinstance(now, float) and not math.isfinite(now)):
        return [0.5, 1.0]
    if isinstance(now, float):
        return [value for value in (now / 2, now / 2 + 0.25, 0.5, 1.0, 2.0) if value != now]
    return []


def differing_members(method: M) -> list[M]:
    """At least three members: the method itself first, then those that differ in one setting."""
    members = [method, *others(method).values()]
    return members + [method] * (3 - len(members))


def columns(members: Sequence[BaseMethod], *, without: Sequence[str] = ()) -> dict[str, Any]:
    """The settings as a fleet passes them.

    Args:
        members: methods of one class.
        without: names of settings that are left out.

    Returns:
        Numbers that may differ as tensors (variants, 1), the rest as it is.
    """
    kind = type(members[0])
    settings = {}
    for name in kind.model_fields:
        values = [getattr(member, name) for member in members]
        values = [kind.neutral.get(name) if value is None else value for value in values]
        if name == "kind" or name in without:
            continue
        if name in kind.member_settings() and all(isinstance(v, int | float) for v in values):
            settings[name] = torch.tensor(values, dtype=torch.float64).unsqueeze(1)
        else:
            settings[name] = values[0]
    return settings


def neutral_columns(method: BaseMethod, members: int) -> dict[str, Any]:
    """The settings, those that can be neutral at the value at which they have no effect."""
    column = torch.ones(members, 1, dtype=torch.float64)
    neutral = {name: value * column for name, value in type(method).neutral.items()}
    return {**columns([method] * members), **neutral}


def numbers(seed: int, members: int, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Random tensors by name, each (variants, *shape), in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(members, *shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def close(found: Tensor, expected: Tensor) -> bool:
    """Whether they are the same but for rounding in double precision."""
    same_shape = found.shape == expected.shape
    return same_shape and torch.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE)


def same(found: Named, expected: Named, *, of: Callable[[Tensor], Tensor] = lambda t: t) -> bool:
    """Whether all tensors are the same but for rounding.

    Args:
        found: tensors by name.
        expected: tensors by the same names.
        of: takes what is compared from a tensor of ``expected``.
    """
    return all(close(tensor, of(expected[name])) for name, tensor in found.items())
