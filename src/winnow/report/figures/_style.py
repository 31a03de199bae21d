"""What every figure shares: colors, signs for verdicts, the layout, panels that fold into one
column on a narrow screen.

Each color has a contrast of at least 3 : 1 on white *and* on the report's dark page, and no pair is
told apart by red against green, so a figure needs no second version. Text and grid lines get their
colors from the page's style sheet.
"""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from winnow.report import _format as fmt

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "TEAL",
    "VERDICTS",
    "VerdictStyle",
    "add_narrow",
    "axis_suffix",
    "blank",
    "error_bars",
    "fold",
    "label",
    "labels",
    "log_axis",
    "translucent",
]

BLUE, ORANGE, TEAL, GREY = "#2a7ab8", "#cc5a14", "#168a70", "#7f858c"
INK, RULE = "#33383d", "#dde1e5"
FONT = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, "
    "sans-serif"
)


class VerdictStyle(NamedTuple):
    """How a verdict of the ablation looks: its color, Plotly's symbol, its sign in text, its words.

    Verdicts differ by their symbols too, for those who do not see the colors.
    """

    color: str
    symbol: str
    sign: str
    words: str


VERDICTS: dict[str, VerdictStyle] = {
    "helps": VerdictStyle(BLUE, "triangle-up", "▲", "helps"),
    "needed": VerdictStyle(TEAL, "star", "★", "needed"),
    "hurts": VerdictStyle(ORANGE, "triangle-down", "▼", "hurts"),
    "no difference": VerdictStyle(GREY, "square", "■", "no difference"),
    "undecided": VerdictStyle(GREY, "diamond-open", "◇", "we cannot tell"),
}

_AXIS: dict[str, Any] = {
    "gridcolor": RULE,
    "zeroline": False,
    "linecolor": RULE,
    "automargin": True,
    "minexponent": 5,
    "title": {"standoff": 8, "font": {"size": 12}},
    "tickfont": {"size": 12},
}
_LAYOUT: dict[str, Any] = {
    "font": {"family": FONT, "size": 12, "color": INK},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "margin": {"l": 8, "r": 12, "t": 36, "b": 8, "pad": 2},
    "separators": ".\u202f",
    "legend": {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "font": {"size": 12},
    },
    "hoverlabel": {
        "bgcolor": "#22272c",
        "bordercolor": "#22272c",
        "font": {"color": "#f3f4f5", "size": 12, "family": FONT},
    },
    "hovermode": "closest",
    "dragmode": "zoom",
}


def blank(height: int, **layout: Any) -> go.Figure:
    """Return an empty figure in the report's style.

    Args:
        height: in pixels.
        layout: as ``update_layout`` takes it.
    """
    template = go.layout.Template(layout={**_LAYOUT, "xaxis": _AXIS, "yaxis": _AXIS})
    figure = go.Figure(
        layout={"template": template, "height": height, "autosize": True, "meta": {"narrow": {}}}
    )
    return figure.update_layout(**layout)


def add_narrow(figure: go.Figure, changes: Mapping[str, Any]) -> None:
    """Add to what changes on a narrow page, by dotted path; the report's script applies it."""
    # Plotly's properties are copies, so the whole is set anew.
    figure.layout.meta = {"narrow": {**figure.layout.meta["narrow"], **changes}}


# -- text ------------------------------------------------------------------------------------------


def label(text: object, length: int = 40) -> str:
    """Return user text for a figure: cut, and escaped, because Plotly reads a few HTML tags.

    Args:
        text: any.
        length: characters that are kept.
    """
    shown = str(text)
    if len(shown) > length:  # the middle goes: long names of modules differ at their ends
        tail = length // 2
        shown = f"{shown[: length - tail - 1]}…{shown[-tail:]}"
    return html.escape(shown, quote=False)


def labels(texts: Iterable[object], length: int = 40) -> list[str]:
    """Return ``label`` of each, told apart by a number where cutting made two the same.

    Plotly would merge their rows.
    """
    told_apart: list[str] = []
    for text in texts:
        told_apart.append(_unlike(told_apart, label(text, length)))
    return told_apart


def _unlike(taken: Collection[str], name: str) -> str:
    """Return ``name``, with the first number behind it that makes it none of ``taken``."""
    shown, number = name, 1
    while shown in taken:
        number += 1
        shown = f"{name} ({number})"
    return shown


# -- colors and axes -------------------------------------------------------------------------------


def translucent(color: str, alpha: float) -> str:
    """Return ``#rrggbb`` as ``rgba(...)``; ``alpha`` in [0, 1]."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis from ``low`` to ``high``, both above 0.

    Ticks stand at 1, 2 and 5 of each decade, at decades on a wide axis, and at every other decade
    on a very wide one.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    num_decades = math.log10(high / low)
    steps = (1,) if num_decades > 2.2 else (1, 2, 5)
    stride = 2 if num_decades > 3.2 else 1
    ticks: list[float] = []
    for decade in range(first, last + 1, stride):
        ticks += [float(f"{step}e{decade}") for step in steps]  # exact, where a power would round
    reach = 0.04 * num_decades
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [fmt.number(tick) for tick in ticks],
        "range": [math.log10(low) - reach, math.log10(high) + reach],
    }


def error_bars(intervals: Sequence[fmt.Shown], color: str, *, width: int = 4) -> dict[str, Any]:
    """Return Plotly's error bars for intervals.

    Args:
        intervals: the bars reach from the mean to either end; 0 where there is no interval.
        color: of the bars.
        width: of the ends, in pixels.
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": [i.high - i.mean if fmt.finite(i.high) else 0 for i in intervals],
        "arrayminus": [i.mean - i.low if fmt.finite(i.low) else 0 for i in intervals],
        "color": color,
        "thickness": 1.6,
        "width": width,
    }


# -- panels ----------------------------------------------------------------------------------------


def axis_suffix(i: int) -> str:
    """Return what stands behind ``x`` and ``y`` in the names of the axes of panel ``i``, from 0.

    Plotly counts from 1, and gives the first no number.
    """
    return "" if i == 0 else str(i + 1)


def fold(
    figure: go.Figure,
    num_panels: int,
    *,
    columns: int,
    row_pixels: int,
    gap_x: float = 0.06,
    gap_pixels: int = 62,
) -> None:
    """Lay panels out in columns; below each other, at the same height each, on a narrow page.

    Panel i has the axes that ``axis_suffix`` names.

    Args:
        figure: with the panels.
        num_panels: how many.
        columns: at most, on a wide page.
        row_pixels: height of a panel.
        gap_x: between columns, as a share of the width.
        gap_pixels: between rows.
    """
    wide = _grid(num_panels, min(columns, num_panels), row_pixels, gap_x, gap_pixels)
    figure.layout.height = wide.height
    for i, (x, y) in enumerate(wide.domains):
        suffix = axis_suffix(i)
        figure.update_layout({f"xaxis{suffix}": {"domain": x, "anchor": f"y{suffix}"}})
        figure.update_layout({f"yaxis{suffix}": {"domain": y, "anchor": f"x{suffix}"}})
    narrow = _grid(num_panels, 1, row_pixels, gap_x, gap_pixels)
    changes: dict[str, Any] = {"height": narrow.height}
    for i, (x, y) in enumerate(narrow.domains):
        suffix = axis_suffix(i)
        changes[f"xaxis{suffix}.domain"] = x
        changes[f"yaxis{suffix}.domain"] = y
    add_narrow(figure, changes)


class _Grid(NamedTuple):
    """A height in pixels, and (x domain, y domain) of each panel in shares of the figure."""

    height: int
    domains: list[tuple[list[float], list[float]]]


def _grid(num_panels: int, columns: int, row_pixels: int, gap_x: float, gap_pixels: int) -> _Grid:
    """Return where panels stand, left to right, the top row first."""
    rows = -(-num_panels // columns)
    pixels = rows * row_pixels + (rows - 1) * gap_pixels
    gap_y = gap_pixels / pixels
    width = (1 - gap_x * (columns - 1)) / columns
    height = (1 - gap_y * (rows - 1)) / rows
    domains: list[tuple[list[float], list[float]]] = []
    for i in range(num_panels):
        row, column = divmod(i, columns)
        left, top = column * (width + gap_x), 1 - row * (height + gap_y)
        # Plotly refuses a domain that a rounding error has pushed out of [0, 1].
        domains.append(([left, min(1.0, left + width)], [max(0.0, top - height), top]))
    return _Grid(pixels + 90, domains)  # 90: the legend above, the titles below
