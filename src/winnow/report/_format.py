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
    """Whether ``x`` is a number that can be drawn: not None, NaN or infinite."""
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def number(x: Any, decimals: int | None = None, significant: int = 4) -> str:
    """``x`` with ``decimals`` places, or else with ``significant`` digits. What is no number
    becomes a dash.
    """
    if not finite(x):
        return ABSENT
    if decimals is None:
        text = f"{x:.{significant}g}" if abs(x) < 1e4 or abs(x) >= 1e15 else f"{x:.0f}"
        if "e" in text:  # 2.1e-06 rather than 2.1e-06000
            mantissa, exponent = text.split("e")
            text = f"{mantissa}e{int(exponent)}"
    else:
        text = in_digits(x, decimals)
    if float(text) == 0:
        text = text.lstrip("-")  # no "-0.000"
    return text.replace("-", "−")


def signed(x: Any, decimals: int | None = None) -> str:
    """``number`` with its sign written out."""
    text = number(x, decimals)
    return text if text == ABSENT or text.startswith("−") or float(text) == 0 else f"+{text}"


def half_width(shown: Shown) -> float | None:
    """Half the width of an interval, None where it has none (one value, a missing end)."""
    return half_of(shown.low, shown.high)


def half_of(low: Any, high: Any) -> float | None:
    """Half the distance of two ends; None where one is missing."""
    if not (finite(low) and finite(high)):
        return None
    half: float = (high - low) / 2
    # Equal values may differ in a last bit
    return half if half > 1e-9 * max(abs(low), abs(high)) else 0.0


def places(shown: Shown | None) -> int | None:
    """Places that show an interval to 1 significant digit of its half width, 2 where that digit
    is a 1; None: no interval.
    """
    return None if shown is None else places_between(shown.low, shown.high)


def places_between(low: Any, high: Any) -> int | None:
    """``places`` of an interval with these ends."""
    half = half_of(low, high)
    if half is None or half <= 0:
        return None
    return decimals_of(half, 0.0)


def _own_places(shown: Shown) -> int | None:
    """``places``; 3 for an interval without width around a number of ordinary size."""
    flat = half_width(shown) == 0 and (shown.mean == 0 or 0.001 <= abs(shown.mean) < 100)
    return 3 if flat else places(shown)


def common_places(rows: Iterable[Shown | None]) -> int | None:
    """Places for a column of intervals: what the narrowest calls for, but not more than one
    beyond the widest.
    """
    found = [p for p in map(places, rows) if p is not None]
    return min(max(found), min(found) + 1) if found else None


def interval(shown: Shown | None, *, sign: bool = False, decimals: int | None = None) -> str:
    """``0.973 [0.969, 0.977]``; only the mean where there is no interval. ``decimals``: see
    ``places``.
    """
    if not shown or not finite(shown.mean):
        return ABSENT
    ends = interval_ends(shown, sign=sign, decimals=decimals)
    mean = interval_mean(shown, sign=sign, decimals=decimals)
    return f"{mean} {ends}" if ends else mean


def interval_mean(shown: Shown, *, sign: bool = False, decimals: int | None = None) -> str:
    """The mean alone, with the places that its interval calls for."""
    return (signed if sign else number)(
        shown.mean, _own_places(shown) if decimals is None else decimals
    )


def interval_ends(shown: Shown, *, sign: bool = False, decimals: int | None = None) -> str:
    """``[0.969, 0.977]``; empty where there is no interval."""
    if half_width(shown) is None:
        return ""
    write = signed if sign else number
    decimals = _own_places(shown) if decimals is None else decimals
    return f"[{write(shown.low, decimals)}, {write(shown.high, decimals)}]"


def p_value(p: Any) -> str:
    """Three places; below a thousandth, ``< 0.001``."""
    if not finite(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(x: Any) -> str:
    """A share in [0, 1] as per cent, without places unless it is small."""
    return (
        ABSENT
        if not finite(x)
        else f"{100 * x:.0f}{NBSP}%"
        if x >= 0.1 or x == 0
        else f"{100 * x:.1f}{NBSP}%"
    )


def level(confidence: Any) -> str:
    """A confidence in (0, 1) as per cent, with the places it has: 97.5 %."""
    return ABSENT if not finite(confidence) else f"{100 * confidence:.4g}{NBSP}%"


def size(num_bytes: Any) -> str:
    """Bytes in decimal units: 34.8 kB."""
    if not finite(num_bytes):
        return ABSENT
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            shown = num_bytes / scale
            return f"{shown:.0f}{NBSP}{unit}" if shown >= 100 else f"{shown:.3g}{NBSP}{unit}"
    return f"{num_bytes:.0f}{NBSP}B"


def ms(x: Any) -> str:
    """Milliseconds to 3 significant digits."""
    if not finite(x):
        return ABSENT
    return f"{x:.3g}{NBSP}ms" if x < 1000 else f"{x:.0f}{NBSP}ms"


def duration(seconds: Any) -> str:
    """``0.4 s``, ``2 min 11 s``, ``3 h 05 min``."""
    if not finite(seconds):
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(n: Any) -> str:
    """A whole number with thin spaces between thousands."""
    return ABSENT if not finite(n) else f"{n:,.0f}".replace(",", "\u202f")


def plural(n: int, word: str, many: str | None = None) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{count(n)} {word if n == 1 else many or word + 's'}"


def names(items: Any, *, last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    items = [str(item) for item in items]
    return (
        items[0]
        if len(items) == 1
        else f"{', '.join(items[:-1])} {last} {items[-1]}"
        if items
        else ""
    )


def value(x: Any) -> str:
    """A setting's value, of any kind, in one line."""
    if x is None:
        return ABSENT
    if isinstance(x, bool):
        return "yes" if x else "no"
    if isinstance(x, int | float):
        return str(x) if isinstance(x, int) else number(x)
    if isinstance(x, list | tuple):
        return f"[{', '.join(value(item) for item in x)}]"
    if isinstance(x, Mapping):
        return ", ".join(f"{key} {value(item)}" for key, item in x.items())
    return str(x)


def words(name: Any) -> str:
    """A metric's or a state's name in reading form: ``log_loss`` -> ``log loss``, ``roc_auc``
    -> ``ROC AUC``.
    """
    return metric_label(str(name))


def option(x: Any) -> str:
    """One option of a choice: its value, or the kind of a record."""
    return str(x["kind"]) if isinstance(x, Mapping) and "kind" in x else value(x)


def open_range(spelled: Any) -> str:
    """A range as a recipe spells it, ``{"log": [0.001, 0.5]}``, in reading form: ``0.001 to
    0.5, log``.
    """
    if not isinstance(spelled, Mapping) or len(spelled) != 1:
        return value(spelled)
    kind, bounds = next(iter(spelled.items()))
    if kind == "choice":
        return f"one of {names(map(option, bounds), last='or')}"
    return f"{value(bounds[0])} to {value(bounds[1])}, {kind}"
