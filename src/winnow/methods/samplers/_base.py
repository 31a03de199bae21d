"""The contract of samplers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.methods._method import BaseMethod
from winnow.spec import OpenSetting

__all__ = ["BaseSampler", "TriedSettings", "settings_at"]


@dataclass(frozen=True)
class TriedSettings:
    """Settings that were trained, and how well that went.

    Attributes:
        values: by dotted path; of a choice of records, the option's label.
        score: higher is better, whatever the metric of the recipe; NaN where the training failed.
    """

    values: Mapping[str, Any]
    score: float


class BaseSampler(BaseMethod):
    """What a search tries next.

    A sampler is a function of its arguments and keeps nothing between two calls: what it needs to
    know is in ``tried``. A search that is stopped and goes on asks the same questions again, and
    receives the same answers.

    Class attributes:
        title: what a report calls it; empty: the name of the class.

    Example:
        >>> class Corners(BaseSampler):
        ...     def propose(self, n, *, space, tried, seed, start):
        ...         rng = np.random.default_rng([seed, start])
        ...         shares = rng.integers(2, size=(n, len(space))) * 0.999
        ...         return [settings_at(space, row) for row in shares]
    """

    title: ClassVar[str] = ""

    def propose(
        self,
        n: int,
        *,
        space: Mapping[str, OpenSetting],
        tried: Sequence[TriedSettings],
        seed: int,
        start: int,
    ) -> list[dict[str, Any]]:
        """Return the next settings to try, by dotted path.

        Settings that were proposed before are dropped, and others are asked for in their place.

        Args:
            n: how many; fewer are taken to be the last ones.
            space: the open settings by path. One under a choice comes after it, and belongs in the
                proposal only where it ``applies``.
            tried: all that was trained so far, in the order in which it was proposed.
            seed: of everything random, in [0, 2**31); the same in every call of a search.
            start: how many were proposed before in this search, with those that were dropped.
        """
        raise NotImplementedError("a sampler defines propose")


def settings_at(space: Mapping[str, OpenSetting], shares: Iterable[float]) -> dict[str, Any]:
    """Return the settings at a point of the unit cube.

    Args:
        space: the open settings by path.
        shares: in [0, 1), one for each open setting. Those of settings that do not apply are not
            used, so that every setting has an axis of its own.
    """
    values: dict[str, Any] = {}
    for (path, setting), share in zip(space.items(), shares, strict=True):
        if setting.applies(values):
            values[path] = setting.range.at(float(share))
    return values
