"""Random search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from winnow.methods.samplers._base import BaseSampler, TriedSettings, settings_at
from winnow.spec import OpenSetting

__all__ = ["Random"]


class Random(BaseSampler):
    """Every setting is drawn by itself, from the distribution of its range."""

    title: ClassVar[str] = "random search"

    kind: Literal["random"] = "random"

    def propose(
        self,
        n: int,
        *,
        space: Mapping[str, OpenSetting],
        tried: Sequence[TriedSettings],
        seed: int,
        start: int,
    ) -> list[dict[str, Any]]:
        """Return the next ``n`` draws; see ``BaseSampler.propose``.

        Each has a generator of its own, so that it does not depend on the size of a batch.

        Source: Bergstra & Bengio 2012.
        """
        import numpy as np

        generators = [np.random.default_rng([seed, start + i]) for i in range(n)]
        return [settings_at(space, rng.random(len(space))) for rng in generators]
