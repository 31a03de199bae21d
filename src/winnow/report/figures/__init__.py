"""The figures of the report, one file each under the contract of ``BaseFigure``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import plotly.graph_objects as go

from winnow.errors import did_you_mean
from winnow.records import Document
from winnow.report._documents import typed
from winnow.report._errors import ReportError
from winnow.report.figures._base import BaseFigure
from winnow.report.figures._compression import CompressionBars
from winnow.report.figures._confusion import ConfusionMatrix
from winnow.report.figures._curves import LearningCurves
from winnow.report.figures._forest import ForestPlot
from winnow.report.figures._metrics import MetricDots
from winnow.report.figures._search_history import SearchHistory
from winnow.report.figures._slices import RangeSlices
from winnow.report.figures._truth_scatter import TruthScatter

__all__ = ["FIGURES", "BaseFigure", "FigureName", "figure"]

FigureName = Literal[
    "search_history",
    "slices",
    "curves",
    "forest",
    "metrics",
    "confusion",
    "truth_scatter",
    "compression",
]

# By name, in the order in which they stand in the report
FIGURES: dict[str, BaseFigure[Any]] = {
    one.name: one
    for one in (
        SearchHistory(),
        RangeSlices(),
        ForestPlot(),
        LearningCurves(),
        MetricDots(),
        ConfusionMatrix(),
        TruthScatter(),
        CompressionBars(),
    )
}


def figure(name: FigureName, document: Document | Mapping[str, Any]) -> go.Figure:
    """Draw one of the report's figures, to show in a notebook or to change.

    Args:
        name: ``search_history`` or ``slices`` (of the document ``search``), ``curves`` (``final``),
            ``forest`` (``ablation``), ``metrics``, ``confusion`` or ``truth_scatter``
            (``evaluation``), ``compression`` (``compression``).
        document: the facts that the stage left in the ledger, plain or as a record.

    Returns:
        A figure of Plotly's.

    Raises:
        ReportError: for a name that is no figure's, or a document that cannot be read.
        NothingToDraw: the document holds nothing to draw; a ``ReportError``.

    Example:
        >>> from winnow.report import figure
        >>> search = {"metric": "accuracy", "trials": [{"number": 0, "score": 0.9}]}
        >>> figure("search_history", search).data[0].y
        (0.9,)
    """
    if name not in FIGURES:
        raise ReportError(
            f"`name` must be a figure's, got {name!r}{did_you_mean(name, list(FIGURES))}"
        )
    wanted = FIGURES[name]
    return wanted.draw(typed(wanted.document, document))
