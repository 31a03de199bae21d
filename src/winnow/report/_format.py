"""Numbers, intervals, sizes and times as text.

Minus signs are U+2212, so that columns of figures line up; a number and its unit are not parted by
the end of a line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from winnow.recipe import metric_label
from winnow.stats import decimals as decimals_of
from winnow.stats import in_digits

__all__ = [
    "ABSENT",
    "Shown",
    "common_places",
    "count",
    "duration",
    "finite",
    "half_width",
    "interval",
    "interval_ends",
    "interval_mean",
    "level",
    "ms",
    "names",
    "number",
    "open_range",
    "option",
    "p_value",
    "percent",
    "places",
    "places_between",
    "plural",
    "signed",
    "size",
    "value",
    "words",
]

ABSENT = "–"
NBSP = "\u00a0"  # between a number and its unit


class Shown(Protocol):
    """An interval, or a row that has one; NaN for an end that is missing."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def finite(x: Any) -> bool:
    """Tell whether ``x`` is a number that can be drawn: not None, NaN or infinite."""
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def number(x: Any, decimals: int | None = None, significant: int = 4) -> str:
    """Return a number as text; what is no number becomes a dash.

    Args:
        x: any value.
        decimals: places after the point; None: as many as ``significant`` leaves.
        significant: digits, where no ``decimals`` are given.
    """
    if not finite(x):
        return ABSENT
    text = _in_significant(x, significant) if decimals is None else in_digits(x, decimals)
    if float(text) == 0:
        text = text.lstrip("-")  # no "-0.000"
    return text.replace("-", "−")


def _in_significant(x: float, significant: int) -> str:
    if 1e4 <= abs(x) < 1e15:
        return f"{x:.0f}"  # 12345 rather than 1.234e+04
    text = f"{x:.{significant}g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}"  # 2.1e-6 rather than 2.1e-06


def signed(x: Any, decimals: int | None = None) -> str:
    """Return ``number`` with its sign written out."""
    text = number(x, decimals)
    has_sign = text == ABSENT or text.startswith("−") or float(text) == 0
    return text if has_sign else f"+{text}"


def half_width(shown: Shown) -> float | None:
    """Return half the width of an interval; None where it has none (one value, a missing end)."""
    return half_of(shown.low, shown.high)


def half_of(low: Any, high: Any) -> float | None:
    """Return half the distance of two ends; None where one is missing."""
    if not (finite(low) and finite(high)):
        return None
    half: float = (high - low) / 2
    # Equal values may differ in a last bit
    is_wide = half > 1e-9 * max(abs(low), abs(high))
    return half if is_wide else 0.0


def places(shown: Shown | None) -> int | None:
    """Return the places that show an interval; None where there is none.

    They give 1 significant digit of its half width, 2 where that digit is a 1.
    """
    return None if shown is None else places_between(shown.low, shown.high)


def places_between(low: Any, high: Any) -> int | None:
    """Return ``places`` of an interval with these ends."""
    half = half_of(low, high)
    if half is None or half <= 0:
        return None
    return decimals_of(half, 0.0)


def _own_places(shown: Shown) -> int | None:
    """Return ``places``; 3 for an interval without width around a number of ordinary size."""
    is_ordinary = shown.mean == 0 or 0.001 <= abs(shown.mean) < 100
    if half_width(shown) == 0 and is_ordinary:
        return 3
    return places(shown)


def common_places(rows: Iterable[Shown | None]) -> int | None:
    """Return the places for a column of intervals; None where none of them has any.

    They are what the narrowest calls for, but not more than one beyond the widest.
    """
    found = [own for own in map(places, rows) if own is not None]
    if not found:
        return None
    return min(max(found), min(found) + 1)


def interval(shown: Shown | None, *, sign: bool = False, decimals: int | None = None) -> str:
    """Return ``0.973 [0.969, 0.977]``; only the mean where there is no interval.

    Args:
        shown: the interval; None becomes a dash.
        sign: whether signs are written out.
        decimals: see ``places``; None: those that the interval calls for.
    """
    if not shown or not finite(shown.mean):
        return ABSENT
    ends = interval_ends(shown, sign=sign, decimals=decimals)
    mean = interval_mean(shown, sign=sign, decimals=decimals)
    return f"{mean} {ends}" if ends else mean


def interval_mean(shown: Shown, *, sign: bool = False, decimals: int | None = None) -> str:
    """Return the mean alone, with the places that its interval calls for."""
    write = signed if sign else number
    return write(shown.mean, _own_places(shown) if decimals is None else decimals)


def interval_ends(shown: Shown, *, sign: bool = False, decimals: int | None = None) -> str:
    """Return ``[0.969, 0.977]``; empty where there is no interval."""
    if half_width(shown) is None:
        return ""
    write = signed if sign else number
    decimals = _own_places(shown) if decimals is None else decimals
    low, high = write(shown.low, decimals), write(shown.high, decimals)
    return f"[{low}, {high}]"


def p_value(p: Any) -> str:
    """Return a p value in three places; below a thousandth, ``< 0.001``."""
    if not finite(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(x: Any) -> str:
    """Return a share in [0, 1] as per cent, without places unless it is small."""
    if not finite(x):
        return ABSENT
    decimals = 0 if x >= 0.1 or x == 0 else 1
    return f"{100 * x:.{decimals}f}{NBSP}%"


def level(confidence: Any) -> str:
    """Return a confidence in (0, 1) as per cent, with the places it has: 97.5 %."""
    if not finite(confidence):
        return ABSENT
    return f"{100 * confidence:.4g}{NBSP}%"


def size(num_bytes: Any) -> str:
    """Return bytes in decimal units: 34.8 kB."""
    if not finite(num_bytes):
        return ABSENT
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{_three_digits(num_bytes / scale, whole_from=100)}{NBSP}{unit}"
    return f"{num_bytes:.0f}{NBSP}B"


def _three_digits(x: float, *, whole_from: float) -> str:
    """Return a number in 3 significant digits, and whole from a size at which ``g`` would write an
    exponent.
    """
    return f"{x:.0f}" if x >= whole_from else f"{x:.3g}"


def ms(x: Any) -> str:
    """Return milliseconds to 3 significant digits."""
    if not finite(x):
        return ABSENT
    return f"{_three_digits(x, whole_from=1000)}{NBSP}ms"


def duration(seconds: Any) -> str:
    """Return a time as ``0.4 s``, ``2 min 11 s`` or ``3 h 05 min``."""
    if not finite(seconds):
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(n: Any) -> str:
    """Return a whole number with thin spaces between thousands."""
    if not finite(n):
        return ABSENT
    return f"{n:,.0f}".replace(",", "\u202f")


def plural(n: int, word: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 seed``, ``5 seeds``.

    Args:
        n: how many.
        word: for one.
        many: for others; None: ``word`` with an ``s``.
    """
    if n == 1:
        return f"{count(n)} {word}"
    return f"{count(n)} {many or word + 's'}"


def names(items: Iterable[object], *, last: str = "and") -> str:
    """Return names in a row: ``a``, ``a and b``, ``a, b and c``."""
    texts = [str(item) for item in items]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def value(x: object) -> str:
    """Return a setting's value, of any kind, in one line."""
    if x is None:
        return ABSENT
    if isinstance(x, bool):
        return "yes" if x else "no"
    if isinstance(x, float):
        return number(x)
    if isinstance(x, list | tuple):
        items = ", ".join(value(item) for item in x)
        return f"[{items}]"
    if isinstance(x, Mapping):
        return ", ".join(f"{key} {value(item)}" for key, item in x.items())
    return str(x)


def words(name: object) -> str:
    """Return a metric's or a state's name in reading form.

    ``log_loss`` becomes ``log loss``, ``roc_auc`` becomes ``ROC AUC``.
    """
    return metric_label(str(name))


def option(x: object) -> str:
    """Return one option of a choice: its value, or the kind of a record."""
    if isinstance(x, Mapping) and "kind" in x:
        return str(x["kind"])
    return value(x)


def open_range(spelled: object) -> str:
    """Return a range in reading form: ``0.001 to 0.5, log``.

    Args:
        spelled: as a recipe spells it, ``{"log": [0.001, 0.5]}``; anything else is a value.
    """
    if not isinstance(spelled, Mapping) or len(spelled) != 1:
        return value(spelled)
    kind, bounds = next(iter(spelled.items()))
    if kind == "choice":
        return f"one of {names(map(option, bounds), last='or')}"
    low, high = bounds
    return f"{value(low)} to {value(high)}, {kind}"
