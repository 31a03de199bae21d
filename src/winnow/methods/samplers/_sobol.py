"""Sobol' points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from winnow.methods.samplers._base import BaseSampler, TriedSettings, settings_at
from winnow.spec import OpenSetting

__all__ = ["Sobol"]


class Sobol(BaseSampler):
    """Points that fill the space more evenly than random ones, and learn from no score.

    A number of trials that is a power of two keeps them balanced. A setting under a choice has an
    axis of its own, which counts only where its option is taken.
    """

    title: ClassVar[str] = "Sobol' points"

    kind: Literal["sobol"] = "sobol"

    def propose(
        self,
        n: int,
        *,
        space: Mapping[str, OpenSetting],
        tried: Sequence[TriedSettings],
        seed: int,
        start: int,
    ) -> list[dict[str, Any]]:
        """Return the next ``n`` points of the sequence; see ``BaseSampler.propose``.

        Source: ``scipy.stats.qmc.Sobol`` with its scrambling (a linear matrix and a digital shift).
        """
        from scipy.stats import qmc

        sequence = qmc.Sobol(d=len(space), scramble=True, rng=seed)
        # SciPy warns of other numbers of points than powers of two, which a search may ask for.
        points = sequence.random_base2((start + n - 1).bit_length())
        return [settings_at(space, point) for point in points[start : start + n]]
