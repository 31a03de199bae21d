"""Figures and the HTML report, drawn from the documents that the stages of a run left in the
ledger.
"""

from winnow.report._documents import Documents
from winnow.report._errors import NothingToDraw, ReportError
from winnow.report._report import render_report, write_report
from winnow.report.figures import FigureName, figure

__all__ = [
    "Documents",
    "FigureName",
    "NothingToDraw",
    "ReportError",
    "figure",
    "render_report",
    "write_report",
]
