"""Predictions beside the truth."""

from __future__ import annotations

from typing import ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.evaluation import EvaluationRecord, ScatterRecord
from winnow.report import _format as fmt
from winnow.report._errors import NothingToDraw
from winnow.report._sentences import say
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import BLUE, GREY, add_narrow, blank, translucent

__all__ = ["TruthScatter"]


class TruthScatter(BaseFigure[EvaluationRecord]):
    """Predicted against true values of test rows; on the diagonal a prediction is right."""

    name: ClassVar[str] = "truth_scatter"
    document = EvaluationRecord

    def draw(self, evaluation: EvaluationRecord, /) -> go.Figure:
        scatter = evaluation.scatter or ScatterRecord()
        truth: list[float] = []
        prediction: list[float] = []
        for t, p in zip(scatter.truth, scatter.prediction, strict=True):
            if fmt.finite(t) and fmt.finite(p):
                truth.append(t)
                prediction.append(p)
        if not truth:
            raise NothingToDraw(
                "There are no predictions to draw: the task is not regression, or none was "
                "recorded."
            )
        figure = blank(440, showlegend=False)
        both = truth + prediction
        _add_diagonal(figure, min(both), max(both))
        figure.add_scatter(
            x=truth,
            y=prediction,
            mode="markers",
            name="test row",
            marker={"color": translucent(BLUE, 0.6), "size": 6},
            hovertemplate="truth %{x:.4g}<br>predicted %{y:.4g}<extra></extra>",
        )
        figure.update_xaxes(title_text="truth", constrain="domain", constraintoward="left")
        figure.update_yaxes(title_text="predicted", scaleanchor="x", constrain="domain")
        add_narrow(figure, {"height": 350})
        return figure.update_layout(margin_t=10)

    def alternative(self, evaluation: EvaluationRecord, /) -> str:
        return "Predicted against true values of test rows"

    def caption(self, evaluation: EvaluationRecord, /) -> Markup:
        scatter = evaluation.scatter or ScatterRecord()
        rows, drawn = evaluation.rows or 0, len(scatter.truth)
        share = ""
        if drawn < rows:
            share = say(" of {} of the {} test rows", drawn, fmt.count(rows))
        return say("Predicted against true values{}. On the line a prediction is right.", share)


def _add_diagonal(figure: go.Figure, low: float, high: float) -> None:
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        name="right",
        line={"color": GREY, "width": 1.2},
        hoverinfo="skip",
    )
