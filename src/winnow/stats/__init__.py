"""Intervals, paired tests and corrections: pure numerics."""

from winnow.stats._compare import PairedComparison, Verdict, compare_arms
from winnow.stats._interval import Interval, in_range, one_row, t_interval
from winnow.stats._paired import holm, minimum_detectable_effect, sign_flip_test, smallest_seeds
from winnow.stats._rows import area_parts, largest_parts

__all__ = [
    "Interval",
    "PairedComparison",
    "Verdict",
    "area_parts",
    "compare_arms",
    "holm",
    "in_range",
    "largest_parts",
    "minimum_detectable_effect",
    "one_row",
    "sign_flip_test",
    "smallest_seeds",
    "t_interval",
]
