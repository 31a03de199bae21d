"""Do trainings fail more often without a part? Exact tests on counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from winnow.stats._arrays import Flags
from winnow.stats._paired import holm

__all__ = ["fails_more", "failure_p_values"]


def failure_p_values(reference: Flags, arms: Mapping[str, Flags]) -> list[float]:
    """Return the p value of "trainings fail more often without the part", for each arm.

    It is the larger of the paired and the pooled one of ``fails_more``, the latter corrected by
    Holm: an arm must fail more often than its own partner and than all others.

    Args:
        reference: which trainings of the reference failed, shape (S,).
        arms: the same of each arm, by name.
    """
    failures = {name: int(failed.sum()) for name, failed in arms.items()}
    all_failures = sum(failures.values())
    all_trainings = sum(len(failed) for failed in arms.values())
    paired, pooled = [], []
    for name, failed in arms.items():
        others = (all_failures - failures[name], all_trainings - len(failed))
        p_paired, p_pooled = fails_more(reference.tolist(), failed.tolist(), others)
        paired.append(p_paired)
        pooled.append(p_pooled)
    # Only the pooled test looks at the arms as one family; the paired one holds arm by arm
    corrected = holm(pooled)
    return [max(p, float(q)) for p, q in zip(paired, corrected, strict=True)]


def fails_more(
    reference: Sequence[bool], arm: Sequence[bool], others: tuple[int, int] = (0, 0)
) -> tuple[float, float]:
    """Return two one-sided p values against "``arm`` fails by chance as often as ``reference``".

    The first is paired: of the seeds on which just one of the two failed, each is the arm's with
    probability 1/2 (McNemar's exact test). The second is pooled: the failures are spread at random
    over the trainings of the arm, of the reference and of ``others`` (Fisher's exact test). The
    first holds whatever other arms do; the second needs fewer failures, because the others show how
    rare they are.

    Args:
        reference: whether each training of the reference failed, one for each seed.
        arm: the same of the arm, on the same seeds.
        others: (failed, trained) over the other arms.

    Returns:
        The paired and the pooled p value, both in [0, 1].

    Source: Q. McNemar (1947); R. A. Fisher, Statistical Methods for Research Workers (1934),
    section 21.02.

    Example:
        >>> fails_more([False, False, False], [True, True, True])
        (0.125, 0.05)
    """
    only_arm = 0
    only_reference = 0
    for reference_failed, arm_failed in zip(reference, arm, strict=True):
        only_arm += arm_failed and not reference_failed
        only_reference += reference_failed and not arm_failed
    others_failed, others_trained = others
    failed = sum(reference) + sum(arm) + others_failed
    trained = len(reference) + len(arm) + others_trained
    paired = _coin_tail(only_arm, only_arm + only_reference)
    pooled = _hypergeometric_tail(sum(arm), len(arm), failed, trained)
    return paired, pooled


def _coin_tail(heads: int, tosses: int) -> float:
    """Return the probability of at least so many heads, by integers that cannot round."""
    patterns = sum(math.comb(tosses, k) for k in range(heads, tosses + 1))
    return patterns / 2**tosses


def _hypergeometric_tail(seen: int, drawn: int, marked: int, total: int) -> float:
    """Return the probability that ``drawn`` of ``total``, ``marked`` of which are marked, hold at
    least ``seen`` marked ones.
    """
    patterns = 0
    for k in range(seen, min(drawn, marked) + 1):
        patterns += math.comb(marked, k) * math.comb(total - marked, drawn - k)
    return patterns / math.comb(total, drawn)
