"""What the report refuses."""

from __future__ import annotations

from winnow.errors import WinnowError

__all__ = ["NothingToDraw", "ReportError"]


class ReportError(WinnowError, ValueError):
    """The report cannot be made as asked."""


class NothingToDraw(ReportError):
    """A document holds nothing for a figure; the message says why, and stands in the figure's
    place in the report.
    """
