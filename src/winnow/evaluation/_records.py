"""The documents about the test rows, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from winnow.records import Document, Record
from winnow.stats import Interval

__all__ = ["Baseline", "BaselinesRecord", "EvaluationRecord", "ScatterRecord"]


@dataclass(frozen=True)
class ScatterRecord(Record):
    """Truth and prediction of some test rows, in the units of the target."""

    truth: tuple[float, ...] = ()
    prediction: tuple[float, ...] = ()


@dataclass(frozen=True)
class EvaluationRecord(Document):
    """Metrics on the test rows; see ``Evaluation``."""

    NAME: ClassVar[str] = "evaluation"

    task: str | None = None
    metrics: Mapping[str, Interval | None] = field(default_factory=dict)
    per_seed: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    shipped: Mapping[str, float] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] | None = None
    classes: tuple[Any, ...] | None = None
    rows: int | None = None
    scatter: ScatterRecord | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Baseline(Record):
    """One baseline on the test rows.

    Attributes:
        name: ``constant``, ``linear`` or ``boosting``.
        what: what it is, in words.
        metrics: of its predictions for the test rows, by name; empty where it was left out.
        gain: how much better than it the model is by the recipe's metric (above 0 is better, of
            losses too), with the interval over other rows like the test rows; None where it was
            left out, and before there is a model.
        seconds: of fitting and predicting.
        note: why it was left out, or what it was not given.
    """

    name: str
    what: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    gain: Interval | None = None
    seconds: float = 0.0
    note: str | None = None


@dataclass(frozen=True)
class BaselinesRecord(Document):
    """The baselines, and what they say about a model; see ``Baselines``."""

    NAME: ClassVar[str] = "baselines"

    metric: str = ""
    higher_is_better: bool | None = None
    rows: int | None = None
    file: str | None = None
    shipped: Mapping[str, float] = field(default_factory=dict)
    baselines: tuple[Baseline, ...] = ()
    beats_constant: bool = False
    one_answer: Any = None
    ranks: Interval | None = None
    verdict: str = ""
    notes: tuple[str, ...] = ()
