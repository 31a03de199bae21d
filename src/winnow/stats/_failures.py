"""Do trainings fail more often without a part? Exact tests on counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["fails_more"]


def fails_more(
    reference: Sequence[bool], arm: Sequence[bool], others: tuple[int, int] = (0, 0)
) -> tuple[float, float]:
    """Two p values against "``arm`` fails by chance as often", one-sided; both hold which trainings
    failed, seed by seed.

    The first is paired: of the seeds on which just one of the two failed, each is the arm's with
    probability 1/2 (McNemar's exact test). The second is pooled: the failures are spread at random
    over the trainings of the arm, of the reference and of ``others`` (Fisher's exact test). The
    first holds whatever other arms do; the second needs fewer failures, because the others show how
    rare they are.

    Args:
        others: (failed, trained) over the other arms.

    Source: Q. McNemar (1947); R. A. Fisher, Statistical Methods for Research Workers (1934),
    section 21.02.
    """
    only_arm = sum(b and not a for a, b in zip(reference, arm, strict=True))
    only_reference = sum(a and not b for a, b in zip(reference, arm, strict=True))
    discordant = only_arm + only_reference
    paired = sum(math.comb(discordant, k) for k in range(only_arm, discordant + 1)) / 2**discordant
    failed = sum(reference) + sum(arm) + others[0]
    return paired, _upper_tail(sum(arm), len(arm), failed, len(reference) + len(arm) + others[1])


def _upper_tail(seen: int, drawn: int, marked: int, total: int) -> float:
    """Probability that ``drawn`` of ``total``, ``marked`` of which are marked, hold at least
    ``seen`` marked ones.
    """
    ways = sum(
        math.comb(marked, k) * math.comb(total - marked, drawn - k)
        for k in range(seen, min(drawn, marked) + 1)
    )
    return ways / math.comb(total, drawn)
