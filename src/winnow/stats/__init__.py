"""Intervals, paired tests and corrections: pure numerics."""

from winnow.stats._compare import PairedComparison, Verdict, compare_arms
from winnow.stats._interval import Interval, in_range, one_row, t_interval
from winnow.stats._paired import holm, minimum_detectable_effect, sign_flip_test, smallest_seeds
from winnow.stats._row_means import RowGroup, mean_over_rows, paired_shares
from winnow.stats._rows import area_parts

__all__ = [
    "Interval",
    "PairedComparison",
    "RowGroup",
    "Verdict",
    "area_parts",
    "compare_arms",
    "holm",
    "in_range",
    "mean_over_rows",
    "minimum_detectable_effect",
    "one_row",
    "paired_shares",
    "sign_flip_test",
    "smallest_seeds",
    "t_interval",
]
