"""Intervals, paired tests and corrections: pure numerics."""

from winnow.stats._compare import PairedComparison, Verdict, compare_arms
from winnow.stats._interval import Interval, in_range, one_row, t_interval
from winnow.stats._paired import holm, minimum_detectable_effect, sign_flip_test, smallest_seeds

__all__ = [
    "Interval",
    "PairedComparison",
    "Verdict",
    "compare_arms",
    "holm",
    "in_range",
    "minimum_detectable_effect",
    "one_row",
    "sign_flip_test",
    "smallest_seeds",
    "t_interval",
]
