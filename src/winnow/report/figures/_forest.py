"""The ablation as a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.report import _format as fmt
from winnow.report._errors import NothingToDraw
from winnow.report._sentences import say
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import (
    GREY,
    VERDICTS,
    VerdictStyle,
    add_narrow,
    blank,
    error_bars,
    labels,
    translucent,
)
from winnow.study import AblationRecord, ComparisonRecord

__all__ = ["ForestPlot"]

NamedRows = Sequence[tuple[str, ComparisonRecord]]


class ForestPlot(BaseFigure[AblationRecord]):
    """Each part's mean effect with its interval, the largest help on top; the band is the smallest
    effect of interest.

    Right of zero the part helps, left of it the part hurts.
    """

    name: ClassVar[str] = "forest"
    document = AblationRecord

    def draw(self, ablation: AblationRecord, /) -> go.Figure:
        compared = [row for row in ablation.comparisons if fmt.finite(row.mean)]
        if not compared:
            raise NothingToDraw("No part could be compared, so there is no forest plot to draw.")
        compared.sort(key=lambda row: -row.mean)
        names = labels(row.name for row in compared)
        rows = list(zip(names, compared, strict=True))
        figure = blank(38 * len(rows) + 120)
        if ablation.smallest_effect:
            _add_band(figure, ablation.smallest_effect)
        figure.add_vline(x=0, line={"color": GREY, "width": 1})
        for verdict, style in VERDICTS.items():
            _add_verdict(figure, style, [pair for pair in rows if pair[1].verdict == verdict])
        figure.update_layout(margin_r=190)
        figure.update_yaxes(
            categoryorder="array",
            categoryarray=names[::-1],
            showgrid=False,
            range=[-0.6, len(rows) - 0.4],
        )
        figure.update_xaxes(title_text=f"← hurts    effect on {_metric(ablation)}    helps →")
        _label_rows(figure, rows)
        return figure

    def alternative(self, ablation: AblationRecord, /) -> str:
        metric = _metric(ablation)
        return f"Forest plot: effect of each part on {metric} with its interval and verdict"

    def caption(self, ablation: AblationRecord, /) -> Markup:
        text = say(
            "Mean effect of each part on {} with {} intervals: what is lost when the part goes, "
            "so right of zero the part helps.",
            _metric(ablation),
            fmt.level(ablation.confidence or 0.95),
        )
        if ablation.smallest_effect:
            text += say(
                " Shaded: effects below {}, declared beforehand not to matter.",
                fmt.number(ablation.smallest_effect),
            )
        return text


def _metric(ablation: AblationRecord) -> str:
    return fmt.words(ablation.metric or "score")


def _add_band(figure: go.Figure, smallest: float) -> None:
    """Shade the effects that were declared not to matter."""
    figure.add_shape(
        type="rect",
        fillcolor=translucent(GREY, 0.18),
        x0=-smallest,
        x1=smallest,
        y0=0,
        y1=1,
        yref="paper",
        layer="below",
        line={"width": 0},
    )


def _add_verdict(figure: go.Figure, style: VerdictStyle, rows: NamedRows) -> None:
    """Add the parts of one verdict, in its color and with its symbol."""
    if not rows:
        return
    compared = [row for _, row in rows]
    figure.add_scatter(
        x=[row.mean for row in compared],
        y=[name for name, _ in rows],
        mode="markers",
        name=style.words,
        marker={
            "color": style.color,
            "symbol": style.symbol,
            "size": 12,
            # An open symbol is its line; a filled one needs none.
            "line": {"color": style.color, "width": 2 if "open" in style.symbol else 0},
        },
        error_x=error_bars(compared, style.color, width=5),
        text=[_hover_text(row) for row in compared],
        hovertemplate="%{y}: " + style.words + "<br>%{text}<extra></extra>",
    )


def _hover_text(row: ComparisonRecord) -> str:
    effect = fmt.interval(row, sign=True)
    return f"{effect}, Holm p {fmt.p_value(row.p_holm)}, n = {row.n}"


def _label_rows(figure: go.Figure, rows: NamedRows) -> None:
    """Write the intervals right of the plot; on a narrow page the names stand above their rows
    instead.
    """
    common = {"xref": "paper", "showarrow": False, "xanchor": "left", "align": "left"}
    places = fmt.common_places(row for _, row in rows)
    wide, narrow = [], []
    for name, row in rows:
        effect = fmt.interval(row, sign=True, decimals=places)
        wide.append({**common, "x": 1.015, "y": name, "text": effect})
        narrow.append({**common, "x": 0, "y": name, "yshift": 15, "text": name})
    figure.layout.annotations = wide
    add_narrow(
        figure,
        {
            "annotations": narrow,
            "yaxis.showticklabels": False,
            "margin.r": 12,
            "height": 46 * len(rows) + 130,
        },
    )
