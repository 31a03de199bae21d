"""The candidates of compression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.compression import CandidateRecord, CompressionRecord, LatencyRecord
from winnow.report import _format as fmt
from winnow.report._errors import NothingToDraw
from winnow.report._sentences import say
from winnow.report._tables import batches
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import (
    GREY,
    TEAL,
    add_narrow,
    axis_suffix,
    blank,
    fold,
    label,
    labels,
    translucent,
)

__all__ = ["CompressionBars"]

COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One quantity of every candidate.

    Attributes:
        title: of its axis.
        values: where the bars end; None for one that was not measured.
        upper: where the whiskers end; None where there is none.
    """

    title: str
    values: Sequence[float | None]
    upper: Sequence[float | None]


class CompressionBars(BaseFigure[CompressionRecord]):
    """Size, and median latency by batch size (the whisker ends at the 95th percentile), of each
    candidate.
    """

    name: ClassVar[str] = "compression"
    document = CompressionRecord

    def draw(self, compressed: CompressionRecord, /) -> go.Figure:
        candidates = compressed.candidates
        if not candidates:
            raise NothingToDraw("No candidate was measured.")
        panels = [_size_panel(candidates)]
        panels += [_latency_panel(candidates, batch) for batch in batches(compressed)]
        figure = blank(240)
        for i, panel in enumerate(panels):
            _add_panel(figure, i, panel, candidates, compressed.chosen)
        figure.update_layout(barmode="overlay", bargap=0.35)
        row_pixels = max(76, 30 * len(candidates))
        fold(figure, len(panels), columns=COLUMNS, row_pixels=row_pixels, gap_x=0.06)
        return figure

    def alternative(self, compressed: CompressionRecord, /) -> str:
        return "Size and latency of each candidate"

    def caption(self, compressed: CompressionRecord, /) -> Markup:
        return say("Size and median latency; the whisker ends at the 95th percentile.")


def _size_panel(candidates: Sequence[CandidateRecord]) -> Panel:
    sizes = [None if one.bytes is None else one.bytes / 1000 for one in candidates]
    return Panel("size, kB", sizes, [None] * len(candidates))


def _latency_panel(candidates: Sequence[CandidateRecord], batch: str) -> Panel:
    timed = [one.latency.get(batch, LatencyRecord()) for one in candidates]
    medians, upper = [one.median_ms for one in timed], [one.p95_ms for one in timed]
    return Panel(f"ms at batch {batch}", medians, upper)


def _add_panel(
    figure: go.Figure,
    i: int,
    panel: Panel,
    candidates: Sequence[CandidateRecord],
    chosen: str | None,
) -> None:
    """Add panel ``i``, with the chosen candidate in a color of its own."""
    suffix = axis_suffix(i)
    names = labels((one.name for one in candidates), 24)
    is_chosen = [one.name == chosen for one in candidates]
    for name, color, wanted in (("chosen", TEAL, True), ("not chosen", GREY, False)):
        rows = [k for k, found in enumerate(is_chosen) if found is wanted]
        figure.add_bar(
            x=[panel.values[k] for k in rows],
            y=[names[k] for k in rows],
            orientation="h",
            name=name,
            showlegend=i == 0 and bool(rows),
            marker={"color": translucent(color, 0.85)},
            error_x=_whiskers([_reach(panel, k) for k in rows]),
            hovertemplate=f"%{{y}}: %{{x:.4g}} {label(panel.title)}<extra></extra>",
            xaxis=f"x{suffix}",
            yaxis=f"y{suffix}",
        )
    y_axis = {
        "categoryorder": "array",
        "categoryarray": names[::-1],
        "showgrid": False,
        "showticklabels": i % COLUMNS == 0,
    }
    x_axis = {"title": {"text": panel.title}, "rangemode": "tozero", "nticks": 5}
    figure.update_layout({f"yaxis{suffix}": y_axis, f"xaxis{suffix}": x_axis})
    # Below each other, every panel is the leftmost.
    add_narrow(figure, {f"yaxis{suffix}.showticklabels": True})


def _reach(panel: Panel, k: int) -> float:
    """Return how far the whisker of candidate ``k`` reaches beyond its bar."""
    value, upper = panel.values[k], panel.upper[k]
    if value is None or upper is None or not (fmt.finite(value) and fmt.finite(upper)):
        return 0
    return upper - value


def _whiskers(reach: Sequence[float]) -> dict[str, Any] | None:
    """Return Plotly's error bars to one side; None where there are none."""
    if not any(reach):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": list(reach),
        "arrayminus": [0] * len(reach),
        "color": GREY,
        "width": 4,
    }
