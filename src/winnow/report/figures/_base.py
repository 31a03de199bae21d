"""The contract of a figure of the report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

import plotly.graph_objects as go
from markupsafe import Markup

from winnow.records import Document

__all__ = ["BaseFigure"]

Kind = TypeVar("Kind", bound=Document)


class BaseFigure(ABC, Generic[Kind]):
    """One figure of the report: what it is drawn from, how it is drawn, and what stands below it.

    A figure is one file in ``report/figures/``, its line in ``FIGURES`` and a ``m.figure(name)`` in
    the section of the report where it stands. It reads one document and nothing else, so that it
    can also be drawn alone, in a notebook.

    What it must keep to:

    - ``draw`` raises ``NothingToDraw`` where the document holds nothing for it; its message then
      stands in the figure's place. Otherwise it begins with ``blank`` and gives a height in pixels.
    - It leaves the document as it is, and draws the same for the same document.
    - Text of the user's goes through ``label`` or ``labels`` into the plot, because Plotly reads
      HTML in it, and through ``say`` into the caption.
    - What changes on a narrow page stands in ``layout.meta.narrow``, by dotted path.
    - Nothing is told by color alone.

    Attributes:
        name: by which it is asked for.
        document: the kind of document that it is drawn from.
    """

    name: ClassVar[str]
    document: ClassVar[type[Document]]

    @abstractmethod
    def draw(self, document: Kind, /) -> go.Figure:
        """Draw the figure.

        Raises:
            NothingToDraw: the document holds nothing to draw.
        """

    @abstractmethod
    def alternative(self, document: Kind, /) -> str:
        """Return what the figure shows, for those who cannot see it."""

    @abstractmethod
    def caption(self, document: Kind, /) -> Markup:
        """Return how the figure is read, in a sentence or two."""
