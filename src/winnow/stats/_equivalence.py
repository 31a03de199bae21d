"""Can an arm be shown to make no difference? Two one-sided tests, and what they need."""

from __future__ import annotations

import math

from scipy import special

from winnow.stats._arrays import Floats
from winnow.stats._granularity import all_equal

__all__ = ["FEWEST_PAIRS", "no_difference_p_value"]

# The fewest pairs with which an exact one-sided sign test reaches 0.05. That fewer pairs are alike
# proves little: a part may act in one training of two.
FEWEST_PAIRS = 5


def no_difference_p_value(
    differences: Floats,
    least_sd: float,
    margin: float,
    step: float,
    *,
    identical: bool,
    fails_more: bool,
) -> float:
    """Return the p value of "no difference", before any correction for many arms.

    Args:
        differences: pair by pair, shape (pairs,).
        least_sd: is taken for the sample deviation where that is smaller.
        margin: within which the mean is to lie; 0: no margin can be shown.
        step: in which the scores move; 0 where they move freely.
        identical: no prediction changed on any seed.
        fails_more: more trainings failed without the part than with it.

    Returns:
        A probability: 1 where nothing can be shown, 0 where no prediction changed.
    """
    if fails_more or len(differences) < FEWEST_PAIRS:
        return 1.0
    if identical:
        return 0.0
    if margin <= 0:
        return 1.0
    return _two_one_sided_tests(differences, least_sd, margin, step)


def _two_one_sided_tests(differences: Floats, least_sd: float, margin: float, step: float) -> float:
    """Return the larger p value of two t tests against a mean of -margin and of +margin.

    Source: D. J. Schuirmann (1987), with a continuity correction for scores that move in steps.
    """
    # Without a floor under their deviation, equal differences would show any margin at all
    if least_sd == 0 and all_equal(differences):
        return 1.0
    n = len(differences)
    sd = max(float(differences.std(ddof=1)), least_sd)
    error = sd / math.sqrt(n)
    half_a_step = step / (2 * n)
    distance = margin - abs(float(differences.mean())) - half_a_step
    return float(special.stdtr(n - 1, -distance / error))
