"""The metrics on the test rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.evaluation import EvaluationRecord
from winnow.report import _format as fmt
from winnow.report._errors import NothingToDraw
from winnow.report._sentences import say
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import (
    BLUE,
    ORANGE,
    axis_suffix,
    blank,
    error_bars,
    fold,
    label,
    translucent,
)
from winnow.stats import Interval

__all__ = ["MetricDots"]

# Heights in a panel, which has no scale of its own in this direction
SEEDS_AT, MEAN_AT = 0.4, -0.4


class MetricDots(BaseFigure[EvaluationRecord]):
    """Each metric on the test rows: one dot per final seed, the mean with its interval below, a
    ring around the shipped model.
    """

    name: ClassVar[str] = "metrics"
    document = EvaluationRecord

    def draw(self, evaluation: EvaluationRecord, /) -> go.Figure:
        shown: list[tuple[str, Interval]] = []
        for name, interval in evaluation.metrics.items():
            if interval is not None and fmt.finite(interval.mean):
                shown.append((name, interval))
        if not shown:
            raise NothingToDraw("No metric was measured on the test rows.")
        figure = blank(300)
        for i, (name, interval) in enumerate(shown):
            _add_metric(
                figure,
                i,
                name,
                interval,
                per_seed=evaluation.per_seed.get(name, ()),
                shipped=evaluation.shipped.get(name),
            )
        fold(figure, len(shown), columns=2, row_pixels=52, gap_x=0.25, gap_pixels=34)
        return figure

    def alternative(self, evaluation: EvaluationRecord, /) -> str:
        return "Each test metric: one dot per final seed, the mean and its interval"

    def caption(self, evaluation: EvaluationRecord, /) -> Markup:
        return say(
            "One dot per final seed, the mean with its interval below, a ring around the model "
            "that ships."
        )


def _add_metric(
    figure: go.Figure,
    i: int,
    name: str,
    interval: Interval,
    *,
    per_seed: Sequence[float | None],
    shipped: float | None,
) -> None:
    """Add the panel of one metric.

    Args:
        figure: to add to.
        i: the number of the panel, from 0.
        name: of the metric.
        interval: its mean with the interval.
        per_seed: one value for each final seed.
        shipped: that of the model that ships.
    """
    suffix = axis_suffix(i)
    said = fmt.words(name)
    # All panels have the same names, so the first stands for them in the legend.
    panel: dict[str, Any] = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": i == 0}
    figure.add_scatter(
        x=list(per_seed),
        y=[SEEDS_AT] * len(per_seed),
        mode="markers",
        name="one final seed",
        marker={"color": translucent(BLUE, 0.7), "size": 8},
        hovertemplate=f"{said} %{{x:.5g}}<extra></extra>",
        **panel,
    )
    figure.add_scatter(
        x=[interval.mean],
        y=[MEAN_AT],
        mode="markers",
        name="mean and interval",
        marker={"color": ORANGE, "size": 9, "symbol": "diamond"},
        error_x=error_bars([interval], ORANGE),
        text=[fmt.interval(interval)],
        hovertemplate=f"{said} %{{text}}<extra></extra>",
        **panel,
    )
    if fmt.finite(shipped):
        figure.add_scatter(
            x=[shipped],
            y=[SEEDS_AT],
            mode="markers",
            name="shipped",
            marker={
                "color": BLUE,
                "size": 14,
                "symbol": "circle-open",
                "line": {"width": 1.8},
            },
            hoverinfo="skip",
            **panel,
        )
    axis = {
        "tickvals": [0],
        "ticktext": [label(said)],
        "range": [-1, 1],
        "showgrid": False,
        "fixedrange": True,
    }
    figure.update_layout({f"yaxis{suffix}": axis, f"xaxis{suffix}": {"nticks": 6}})
