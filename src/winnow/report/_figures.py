"""Figures by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import plotly.graph_objects as go

from winnow.compression import CompressionRecord
from winnow.errors import did_you_mean
from winnow.evaluation import EvaluationRecord
from winnow.records import Document
from winnow.report._documents import typed
from winnow.report._errors import ReportError
from winnow.report._figures_results import compression, confusion, forest, metrics, truth_scatter
from winnow.report._figures_training import curves, search_history, slices
from winnow.study import AblationRecord, FinalRecord, SearchRecord

__all__ = ["FIGURES", "FigureName", "figure"]

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

# Name: (the document it is drawn from, function)
FIGURES: dict[str, tuple[type[Document], Callable[[Any], go.Figure]]] = {
    "search_history": (SearchRecord, search_history),
    "slices": (SearchRecord, slices),
    "curves": (FinalRecord, curves),
    "forest": (AblationRecord, forest),
    "metrics": (EvaluationRecord, metrics),
    "confusion": (EvaluationRecord, confusion),
    "truth_scatter": (EvaluationRecord, truth_scatter),
    "compression": (CompressionRecord, compression),
}


def figure(name: FigureName, document: Document | Mapping[str, Any]) -> go.Figure:
    """One of the report's figures, to show in a notebook or to change.

    Args:
        name: ``search_history`` or ``slices`` (of the document ``search``), ``curves`` (``final``),
            ``forest`` (``ablation``), ``metrics``, ``confusion`` or ``truth_scatter``
            (``evaluation``), ``compression`` (``compression``).
        document: the facts that the stage left in the ledger, plain or as a record.

    Raises:
        ReportError: for a name that is no figure's, or a document that cannot be read.
        NothingToDraw: the document holds nothing to draw; a ``ReportError``.
    """
    if name not in FIGURES:
        raise ReportError(
            f"`name` must be a figure's, got {name!r}{did_you_mean(name, get_args(FigureName))}"
        )
    kind, draw = FIGURES[name]
    return draw(typed(kind, document))
