"""May the parts that did nothing go, all together? A check on fresh seeds, and the rule that decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow.recipe import HIGHER_IS_BETTER, Ablate, Outcome
from winnow.stats import Interval, t_interval
from winnow.study import _common

__all__ = ["Check", "judge"]


@dataclass(frozen=True)
class Check:
    """The full recipe against the simplified one, on seeds that chose nothing.

    ``difference`` is simplified minus full, pair by pair, in units of the score, turned so that negative means that the
    simplified recipe is worse; its confidence is that of the rule (see ``judge``).
    """

    full: Interval
    simplified: Interval
    difference: Interval
    accepted: bool
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {k: getattr(self, k).to_dict() for k in ("full", "simplified", "difference")}


def judge(full: Sequence[Outcome], simplified: Sequence[Outcome], *, metric: str, ask: Ablate) -> Check:
    """Accept the simplified recipe unless the check speaks against it.

    With d the mean of simplified minus full (positive is better), [low, high] its t interval at confidence 2c - 1 (a one-sided
    test at c), and s the smallest effect of interest:

    1. rejected when more trainings of the simplified recipe fail than of the full one, or fewer than two pairs finish;
    2. accepted when low >= -s: it is not worse by more than s;
    3. accepted, with a word of caution, when only d >= -s: nothing speaks against it, but this many seeds cannot exclude a loss
       above s. Simpler wins a draw, because each part had been judged harmless by itself already;
    4. rejected otherwise.

    Source: non-inferiority test with margin s (D. J. Schuirmann 1987, one of the two one-sided tests), with rule 3 added.
    """
    sign = 1.0 if HIGHER_IS_BETTER[metric] else -1.0
    a, b = (np.asarray(_common.scores(outcomes)) for outcomes in (full, simplified))
    difference = t_interval(sign * (b - a), 2 * ask.confidence - 1)
    accepted, reason = _decide(difference, sum(not o.finished for o in full), sum(not o.finished for o in simplified), ask)
    return Check(t_interval(a, ask.confidence), t_interval(b, ask.confidence), difference, accepted, reason)


def _decide(d: Interval, failed_full: int, failed_simplified: int, ask: Ablate) -> tuple[bool, str]:
    s = ask.smallest_effect
    if failed_simplified > failed_full:
        return False, f"{failed_simplified} trainings failed without these parts, {failed_full} with them: they stay"
    if d.n < 2:
        return False, f"only {d.n} pairs of trainings finished, too few to check: the parts stay"
    if d.low >= -s:
        return True, f"not worse by more than {s:g} without these parts (difference {d}, confidence {d.confidence:g})"
    if d.mean >= -s:
        return True, (
            f"the difference without these parts is {d.mean:+.4g}, no loss beyond {s:g}; but {d.n} pairs cannot exclude a loss "
            f"of up to {-d.low:.4g}, more seeds would tell"
        )
    return False, f"worse by {-d.mean:.4g} without these parts, more than {s:g} (difference {d}): together they matter, they stay"
