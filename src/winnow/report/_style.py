"""What every figure shares: colors, signs for verdicts, the layout, panels that fold into one
column on a narrow screen.

Each color has a contrast of at least 3 : 1 on white *and* on the report's dark page, and no pair is
told apart by red against green, so a figure needs no second version. Text and grid lines get their
colors from the page's style sheet.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from winnow.report import _format as fmt

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "TEAL",
    "VERDICTS",
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

# Verdict: (color, plotly's symbol, sign in text, words)
VERDICTS: dict[str, tuple[str, str, str, str]] = {
    "helps": (BLUE, "triangle-up", "▲", "helps"),
    "needed": (TEAL, "star", "★", "needed"),
    "hurts": (ORANGE, "triangle-down", "▼", "hurts"),
    "no difference": (GREY, "square", "■", "no difference"),
    "undecided": (GREY, "diamond-open", "◇", "we cannot tell"),
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
    """An empty figure in the report's style, ``height`` pixels high."""
    template = go.layout.Template(layout={**_LAYOUT, "xaxis": _AXIS, "yaxis": _AXIS})
    figure = go.Figure(
        layout={"template": template, "height": height, "autosize": True, "meta": {"narrow": {}}}
    )
    return figure.update_layout(**layout)


def label(text: Any, length: int = 40) -> str:
    """User text for a figure: cut to ``length`` characters, and escaped, because Plotly reads a
    few HTML tags in its text.
    """
    text = str(text)
    if len(text) > length:  # the middle goes: long names of modules differ at their ends
        tail = length // 2
        text = f"{text[: length - tail - 1]}…{text[-tail:]}"
    return html.escape(text, quote=False)


def labels(texts: Iterable[Any], length: int = 40) -> list[str]:
    """``label`` of each, told apart by a number where cutting made two the same: Plotly would
    merge their rows.
    """
    out: list[str] = []
    for text in texts:
        short = label(text, length)
        again = 2
        while (shown := short if again == 2 and short not in out else f"{short} ({again})") in out:
            again += 1
        out.append(shown)
    return out


def translucent(color: str, alpha: float) -> str:
    """``#rrggbb`` as ``rgba(...)``; ``alpha`` in [0, 1]."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def log_axis(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis from ``low`` to ``high``, both above 0.

    Ticks stand at 1, 2 and 5 of each decade, at decades on a wide axis, and at every other decade
    on a very wide one.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high / low)
    steps = (1,) if decades > 2.2 else (1, 2, 5)
    ticks = [
        float(f"{step}e{decade}")
        for decade in range(first, last + 1, 2 if decades > 3.2 else 1)
        for step in steps
    ]
    reach = 0.04 * decades
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [fmt.number(t) for t in ticks],
        "range": [math.log10(low) - reach, math.log10(high) + reach],
    }


def _domains(
    num_panels: int, columns: int, gap_x: float, gap_y: float
) -> list[tuple[list[float], list[float]]]:
    """(x domain, y domain) of each panel, left to right, top row first; gaps are fractions of
    the figure.
    """
    rows = -(-num_panels // columns)
    width = (1 - gap_x * (columns - 1)) / columns
    height = (1 - gap_y * (rows - 1)) / rows
    out = []
    for i in range(num_panels):
        left, top = (i % columns) * (width + gap_x), 1 - (i // columns) * (height + gap_y)
        out.append(([left, min(1.0, left + width)], [max(0.0, top - height), top]))
    return out


def fold(
    figure: go.Figure,
    num_panels: int,
    *,
    columns: int,
    row_pixels: int,
    gap_x: float = 0.06,
    gap_pixels: int = 62,
) -> None:
    """Lay panels out in ``columns``; below each other, at the same height each, where the page is
    narrow.

    Panel i uses the axes ``x{i}`` and ``y{i}`` (counted from 1, the first without a number). What
    changes on a narrow page is kept in ``layout.meta.narrow``, by dotted path; the report's script
    applies it.
    """
    narrow: dict[str, Any] = {}
    for wide, cols in ((True, min(columns, num_panels)), (False, 1)):
        rows = -(-num_panels // cols)
        height = rows * row_pixels + (rows - 1) * gap_pixels + 90
        gap_y = gap_pixels / (rows * row_pixels + (rows - 1) * gap_pixels)
        if wide:
            figure.layout.height = height
        else:
            narrow["height"] = height
        for i, (x, y) in enumerate(_domains(num_panels, cols, gap_x, gap_y)):
            suffix = "" if i == 0 else str(i + 1)
            if wide:
                figure.update_layout({f"xaxis{suffix}": {"domain": x, "anchor": f"y{suffix}"}})
                figure.update_layout({f"yaxis{suffix}": {"domain": y, "anchor": f"x{suffix}"}})
            else:
                narrow |= {f"xaxis{suffix}.domain": x, f"yaxis{suffix}.domain": y}
    figure.layout.meta = {"narrow": {**figure.layout.meta["narrow"], **narrow}}


def error_bars(intervals: Sequence[fmt.Shown], color: str, *, width: int = 4) -> dict[str, Any]:
    """Plotly's error bars for intervals: the distances from the mean to either end, 0 where
    there is no interval.
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
