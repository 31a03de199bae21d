from __future__ import annotations

import math
from typing import Any

import pytest

from winnow.report import _format as fmt
from winnow.stats import Interval

from .documents import interval


def shown_as(document: dict[str, Any], **how: Any) -> str:
    return fmt.interval(Interval.from_dict(document), **how)


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (0.97312, 0.0042, "0.973 [0.969, 0.977]"),
        (0.97312, 0.0012, "0.9731 [0.9719, 0.9743]"),  # a leading 1 gets a second digit
        (54.13, 0.83, "54.1 [53.3, 55.0]"),
        (2921.4, 241.0, "2900 [2700, 3200]"),
        (0.5, 0.0, "0.500 [0.500, 0.500]"),  # every seed gave the same
        (4 / 9, 1e-16, "0.444 [0.444, 0.444]"),  # the same but for rounding
        (1e-5, 0.0, "1e−5 [1e−5, 1e−5]"),
    ],
)
def test_interval_shows_the_digits_that_its_width_supports(
    mean: float, half: float, shown: str
) -> None:
    assert shown_as({"mean": mean, "low": mean - half, "high": mean + half}) == shown


def test_interval_without_ends_is_its_mean_and_nothing_is_a_dash() -> None:
    assert shown_as({"mean": 0.25, "low": None, "high": math.nan}) == "0.25"
    assert shown_as({"mean": math.nan, "low": 0.1, "high": 0.2}) == fmt.ABSENT
    assert fmt.interval(None) == fmt.ABSENT
    assert (
        shown_as({"mean": -0.002, "low": -0.0043, "high": 0.0003}, sign=True)
        == "−0.002 [−0.004, 0.000]"
    )


@pytest.mark.parametrize("scale", [1e-5, 1e-2, 1.0, 300.0])
def test_an_interval_reads_back_within_a_twentieth_of_its_width(scale: float) -> None:
    exact = interval([scale * x for x in (1.0, 1.3, 0.9, 1.1)])
    mean, low, high = (float(x.strip("[],")) for x in shown_as(exact).replace("−", "-").split())
    width = exact["high"] - exact["low"]
    for shown, name in ((mean, "mean"), (low, "low"), (high, "high")):
        assert abs(shown - exact[name]) <= 0.26 * width


def test_a_column_of_intervals_has_one_number_of_places() -> None:
    rows = [
        {"low": -0.03, "high": 0.03},
        {"low": -0.0004, "high": 0.0004},
        {"low": None, "high": None},
    ]
    # 2 for the widest, 4 for the narrowest: one beyond the widest
    assert fmt.common_places(map(Interval.from_dict, rows)) == 3
    assert fmt.common_places([]) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (math.inf, "–"),
        (True, "–"),
        (0.1 + 0.2, "0.3"),
        (-0.00001, "−1e−5"),
        (123456.0, "123456"),
        (2.1e-6, "2.1e−6"),
    ],
)
def test_number(value: object, shown: str) -> None:
    assert fmt.number(value) == shown


def test_numbers_carry_a_sign_but_zero_has_none() -> None:
    assert fmt.number(-0.0004, 3) == "0.000"
    assert fmt.signed(0.0004, 3) == "0.000"
    assert fmt.signed(0.25, 2) == "+0.25"
    assert fmt.signed(-0.25, 2) == "−0.25"


def test_p_values_sizes_and_times() -> None:
    assert [fmt.p_value(p) for p in (0.0625, 0.0049, 0.0004, 1.0, None)] == [
        "0.062",
        "0.005",
        "< 0.001",
        "1.000",
        "–",
    ]
    assert [fmt.size(b).replace(fmt.NBSP, " ") for b in (512, 34_817, 4_815_814, 2.5e9)] == [
        "512 B",
        "34.8 kB",
        "4.82 MB",
        "2.5 GB",
    ]
    assert [fmt.duration(s) for s in (0.42, 42, 131.4, 11_100)] == [
        "0.4 s",
        "42 s",
        "2 min 11 s",
        "3 h 05 min",
    ]
    assert fmt.ms(0.01214).replace(fmt.NBSP, " ") == "0.0121 ms"
    assert [fmt.percent(x).replace(fmt.NBSP, " ") for x in (0.95, 0.028, 0.0)] == [
        "95 %",
        "2.8 %",
        "0 %",
    ]


def test_a_level_keeps_its_places() -> None:
    assert [fmt.level(c).replace(fmt.NBSP, " ") for c in (0.95, 0.975, 2 * 0.95 - 1, 0.999)] == [
        "95 %",
        "97.5 %",
        "90 %",
        "99.9 %",
    ]


def test_names_plurals_and_values() -> None:
    assert fmt.names(["a", "b", "c"]) == "a, b and c"
    assert fmt.plural(1, "class", "classes") == "1 class"
    assert fmt.plural(1200, "class", "classes") == "1\u202f200 classes"
    assert fmt.value([128, [1, 2.5], None, True]) == "[128, [1, 2.5], –, yes]"
    assert fmt.open_range({"log": [1e-4, 0.1]}) == "0.0001 to 0.1, log"
    assert (
        fmt.open_range({"choice": [{"kind": "sgd", "lr": 0.1}, {"kind": "adamw"}]})
        == "one of sgd or adamw"
    )
    assert fmt.words("roc_auc") == "ROC AUC"
