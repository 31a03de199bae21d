"""Intervals, paired tests and corrections: pure numerics."""

from winnow.stats._comparison import (
    PairedComparison,
    Verdict,
    compare_arms,
    difference_interval,
)
from winnow.stats._digits import decimals, in_digits
from winnow.stats._equivalence import FEWEST_PAIRS
from winnow.stats._failures import fails_more
from winnow.stats._granularity import (
    in_range,
    least_deviation,
    one_row,
    row_step,
    shown_margin,
)
from winnow.stats._interval import Interval, at_confidence, t_interval
from winnow.stats._paired import holm, minimum_detectable_effect, sign_flip_test, smallest_seeds
from winnow.stats._paired_rows import paired_rows
from winnow.stats._paired_shares import paired_shares
from winnow.stats._resampling import drawn_half, resampled
from winnow.stats._row_means import RowGroup, mean_over_rows
from winnow.stats._rows_interval import FEW_ROWS, rows_interval

__all__ = [
    "FEWEST_PAIRS",
    "FEW_ROWS",
    "Interval",
    "PairedComparison",
    "RowGroup",
    "Verdict",
    "at_confidence",
    "compare_arms",
    "decimals",
    "difference_interval",
    "drawn_half",
    "fails_more",
    "holm",
    "in_digits",
    "in_range",
    "least_deviation",
    "mean_over_rows",
    "minimum_detectable_effect",
    "one_row",
    "paired_rows",
    "paired_shares",
    "resampled",
    "row_step",
    "rows_interval",
    "shown_margin",
    "sign_flip_test",
    "smallest_seeds",
    "t_interval",
]
