"""What the server needs of a model, and what it allows of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from winnow.bundle import Manifest

__all__ = ["Limits", "Predictor", "PredictorAnswer"]


class PredictorAnswer(Protocol):
    """Answers to some rows; a ``winnow.bundle.Answer`` is one."""

    @property
    def predictions(self) -> Any:
        """Class labels or numbers, one for each row."""
        ...

    @property
    def probabilities(self) -> Any:
        """(rows, classes); None for regression."""
        ...

    @property
    def warnings(self) -> Sequence[Sequence[tuple[str, str]]]:
        """For each row (field, message) of every value unlike any in the training rows."""
        ...


class Predictor(Protocol):
    """Something that predicts from rows; a ``winnow.bundle.Bundle`` is one. Called from several
    threads at once.
    """

    @property
    def schema(self) -> Sequence[Mapping[str, Any]]:
        """The input columns in order: name, kind (number, category, boolean, array) and what
        was observed in training.
        """
        ...

    @property
    def manifest(self) -> Manifest:
        """What is known about the model; everything in it may be missing."""
        ...

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""
        ...

    @property
    def classes(self) -> Sequence[Any] | None:
        """The class labels in the order of the probabilities; None for regression."""
        ...

    def answer(self, rows: Any, /) -> PredictorAnswer:
        """Return what the model says to the rows, from one pass."""
        ...


@dataclass(frozen=True)
class Limits:
    """What one request may hold, and how long it may take. Sizes in bytes, characters and rows;
    time in seconds.
    """

    max_body_bytes: int = 2**20
    max_rows: int = 1000
    max_text_length: int = 1000  # characters of one text value
    max_problems: int = 100  # mistakes listed in one answer
    body_seconds: float = 30.0  # time for a body to arrive

    def __post_init__(self) -> None:
        for name in vars(self):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be above 0, got {getattr(self, name)!r}")
