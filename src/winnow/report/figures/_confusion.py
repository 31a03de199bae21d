"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.evaluation import EvaluationRecord
from winnow.report._errors import NothingToDraw
from winnow.report._sentences import say
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._style import BLUE, ORANGE, add_narrow, blank, labels, translucent

__all__ = ["ConfusionMatrix"]

# At most 60 % of the color: text in the page's ink stays readable on it, light or dark.
STRONGEST = 0.6
FAINTEST_RIGHT, FAINTEST_WRONG = 0.05, 0.2  # a single wrong row is to be seen
# Classes up to which every cell has its number, in the larger type, and every class its name
MOST_NUMBERED, MOST_LARGE, MOST_NAMED = 20, 12, 30

Counts = Sequence[Sequence[int]]


class ConfusionMatrix(BaseFigure[EvaluationRecord]):
    """Counts of truth (rows) against prediction (columns); the color is the share of the row."""

    name: ClassVar[str] = "confusion"
    document = EvaluationRecord

    def draw(self, evaluation: EvaluationRecord, /) -> go.Figure:
        counts = [list(row) for row in evaluation.confusion or ()]
        if not counts:
            raise NothingToDraw("There is no confusion matrix: the task has no classes.")
        classes = labels(evaluation.classes or range(len(counts)), 18)
        figure = blank(min(620, 150 + 40 * len(classes)), showlegend=False)
        _add_cells(figure, counts, classes, right=True)
        _add_cells(figure, counts, classes, right=False)
        if len(classes) <= MOST_NUMBERED:
            size = 12 if len(classes) <= MOST_LARGE else 10
            figure.layout.annotations = _numbers(counts, size)
        _set_axes(figure, len(classes))
        height = min(480, 96 + 31 * len(classes))
        add_narrow(figure, {"height": height, "margin.l": 4, "margin.r": 4})
        return figure.update_layout(margin_t=10)

    def alternative(self, evaluation: EvaluationRecord, /) -> str:
        return "Confusion matrix: counts of truth against prediction"

    def caption(self, evaluation: EvaluationRecord, /) -> Markup:
        return say(
            "Rows: truth; columns: prediction. Numbers are test rows; blue is right, orange is "
            "wrong, and the colour is stronger the larger the share of the row."
        )


def _add_cells(figure: go.Figure, counts: Counts, classes: list[str], *, right: bool) -> None:
    """Add the cells of right predictions, or of wrong ones, each in its color."""
    color = BLUE if right else ORANGE
    faintest = FAINTEST_RIGHT if right else FAINTEST_WRONG
    figure.add_heatmap(
        name="right" if right else "wrong",
        z=_shares(counts, right=right),
        x=classes,
        y=classes,
        zmin=0,
        zmax=1,
        colorscale=[[0, translucent(color, faintest)], [1, translucent(color, STRONGEST)]],
        showscale=False,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        customdata=counts,
        hovertemplate="truth %{y}, predicted %{x}<br>%{customdata} rows, %{z:.1%} of this "
        "truth<extra></extra>",
    )


def _shares(counts: Counts, *, right: bool) -> list[list[float | None]]:
    """Return the share of its row for each cell; None for the cells of the other kind.

    Wrong cells without a row are left empty; the diagonal is drawn whole.
    """
    shares: list[list[float | None]] = []
    for i, row in enumerate(counts):
        total = sum(row)
        cells: list[float | None] = []
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            is_shown = (i == j) is right and bool(share or right)
            cells.append(share if is_shown else None)
        shares.append(cells)
    return shares


def _numbers(counts: Counts, size: int) -> list[dict[str, Any]]:
    """Return the counts as text in their cells; nothing stands where there is none."""
    numbers: list[dict[str, Any]] = []
    for j, row in enumerate(counts):
        for i, count in enumerate(row):
            if count:
                text = {"text": str(count), "showarrow": False, "font": {"size": size}}
                numbers.append({"x": i, "y": j, **text})
    return numbers


def _set_axes(figure: go.Figure, num_classes: int) -> None:
    category = {
        "type": "category",
        "tickson": "boundaries",
        "tickmode": "linear" if num_classes <= MOST_NAMED else "auto",
        "constrain": "domain",
        "ticks": "",
    }
    figure.update_xaxes(title_text="predicted", constraintoward="left", **category)
    figure.update_yaxes(title_text="truth", autorange="reversed", scaleanchor="x", **category)
