"""How many digits of an interval are worth showing."""

from __future__ import annotations

import math

__all__ = ["decimals", "in_digits"]

MOST_DECIMALS = 12  # beyond them float64 shows its own rounding
FEWEST_DECIMALS = -300  # 10 ** 300 is near the largest number of float64


def decimals(half: float, mean: float) -> int:
    """Return how many decimals show what an interval tells, for ``in_digits``.

    That is one digit of its half width, or two if the first is a 1: the rows and seeds say nothing
    about the digits after them. An interval without a width gets three digits of its mean.

    Args:
        half: half the width, >= 0, in units of the mean.
        mean: the middle of the interval.

    Returns:
        At most 12. It is negative where digits before the point are too many as well: -2 means
        that hundreds are shown.

    Example:
        >>> decimals(0.004, 0.973), decimals(0.012, 0.973), decimals(120.0, 3012.34)
        (3, 3, -1)
    """
    # The last bit of equal values may differ, and that is no width
    has_width = 1e-9 * abs(mean) < half < math.inf
    scale = half if has_width else abs(mean)
    if not 0 < scale < math.inf:
        return 3
    exponent = math.floor(math.log10(scale))
    if not has_width:
        return min(max(2 - exponent, 0), MOST_DECIMALS)
    begins_with_one = scale < 2 * 10.0**exponent
    digits = 2 if begins_with_one else 1
    return min(max(digits - 1 - exponent, FEWEST_DECIMALS), MOST_DECIMALS)


def in_digits(value: float, digits: int) -> str:
    """Return ``value`` with ``digits`` decimals, as text.

    Args:
        value: any number; NaN and infinities keep their names.
        digits: from ``decimals``; negative to round to tens, hundreds and so on.

    Example:
        >>> in_digits(0.97312, 3), in_digits(3012.34, -1)
        ('0.973', '3010')
    """
    rounded = round(value, digits) if math.isfinite(value) else value
    shown = max(digits, 0)
    return f"{rounded:.{shown}f}"
