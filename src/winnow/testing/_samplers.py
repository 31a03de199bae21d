"""The contract of samplers."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from winnow.methods import BaseSampler, TriedSettings
from winnow.spec import Choice, Integer, Log, OpenSetting, Uniform
from winnow.testing._contract import calling, expect, expect_family

__all__ = ["check_sampler"]

# What every sampler must cope with: both scales, whole numbers, a choice and a setting under it
_SPACE = {
    setting.path: setting
    for setting in (
        OpenSetting("train.dropout", Uniform(0.0, 0.5)),
        OpenSetting("train.batch_size", Integer(8, 64)),
        OpenSetting("train.optimizer", Choice("sgd", "adamw")),
        OpenSetting("train.optimizer.sgd.lr", Log(1e-3, 1.0), ("train.optimizer", "sgd")),
    )
}
_AT_ONCE = 8
_ROUNDS = 3


def check_sampler(sampler: BaseSampler) -> None:
    """Check that a sampler keeps the contract of ``BaseSampler``.

    Each proposal has a value in its range for every open setting that applies, and no other; the
    same call gives the same proposals, and what was tried stays as it is; later rounds are not
    those before over again; a round in which every training failed is no hindrance.

    Args:
        sampler: with its settings.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import Sobol
        >>> check_sampler(Sobol())
    """
    name = expect_family(sampler, BaseSampler)
    tried: list[TriedSettings] = []
    before: list[Any] = []
    for number in range(_ROUNDS):
        found = _propose(name, sampler, tried, start=number * _AT_ONCE)
        again = len(found) == _AT_ONCE and all(values in before for values in found)
        expect(
            not again,
            f"{name}: propose gives the same settings again in round {number + 1}; let them follow "
            f"from `start`, the number of those that were proposed before",
        )
        before += found
        failed = number == 0
        tried += [TriedSettings(v, math.nan if failed else -float(i)) for i, v in enumerate(found)]


def _propose(
    name: str, sampler: BaseSampler, tried: Sequence[TriedSettings], *, start: int
) -> list[dict[str, Any]]:
    kept = copy.deepcopy(tried)

    def propose() -> list[dict[str, Any]]:
        given = copy.deepcopy(tried)
        found = sampler.propose(_AT_ONCE, space=_SPACE, tried=given, seed=1, start=start)
        expect(
            repr(given) == repr(kept),
            f"{name}: propose changes what was tried, which it is only lent",
        )
        return found

    with calling(f"{name}: propose"):
        found, again = propose(), propose()
    expect(
        found == again,
        f"{name}: propose gives other settings for the same arguments; let all that is random "
        f"follow from `seed` and `start`",
    )
    expect(
        len(found) <= _AT_ONCE,
        f"{name}: propose gives {len(found)} settings where {_AT_ONCE} were asked for",
    )
    for values in found:
        _check_values(name, values)
    return found


def _check_values(name: str, values: Mapping[str, Any]) -> None:
    unknown = sorted(set(values) - set(_SPACE))
    expect(not unknown, f"{name}: propose gives {unknown}, which are no open settings")
    for path, setting in _SPACE.items():
        applies = setting.applies(values)
        expect(
            applies == (path in values),
            f"{name}: propose {'leaves out' if applies else 'gives'} {path}, which "
            f"{'applies' if applies else 'does not apply'} to {dict(values)}",
        )
        expect(
            not applies or _is_in(setting, values[path]),
            f"{name}: propose gives {path} {values.get(path)!r}, which is not in {setting.range}",
        )


def _is_in(setting: OpenSetting, value: Any) -> bool:
    over = setting.range
    if isinstance(over, Choice):
        return value in over.labels
    is_right = isinstance(value, int) if isinstance(over, Integer) else isinstance(value, float)
    return is_right and over.low <= value <= over.high
