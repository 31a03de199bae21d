"""The documents that the three studies leave in the ledger, as records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from winnow.records import Document, Record
from winnow.stats import Interval, Verdict

__all__ = [
    "AblationRecord",
    "ArmRecord",
    "BestRecord",
    "BudgetRecord",
    "Check",
    "ComparisonRecord",
    "Decision",
    "FinalRecord",
    "Ground",
    "LeaderRecord",
    "LookRecord",
    "LooksRecord",
    "MemberRecord",
    "SearchRecord",
    "Settings",
    "SimplifiedRecord",
    "TrialRecord",
]


# -- search ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialRecord(Record):
    """One trial of a search.

    ``values`` are by dotted path. Where it failed, ``score`` is None, and ``reason`` says why.
    """

    number: int
    status: Literal["finished", "failed"] = "finished"
    score: float | None = None
    reason: str | None = None
    seconds: float | None = None
    epochs: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LeaderRecord(Record):
    """A trial that was trained again, and its scores on fresh seeds; NaN where one failed."""

    trial: int
    values: Mapping[str, Any] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    interval: Interval | None = None


@dataclass(frozen=True)
class BestRecord(Record):
    """The winner."""

    trial: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    recipe_yaml: str | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class SearchRecord(Document):
    """What a search found.

    ``ranges`` are spelled as in a recipe, by dotted path. ``higher_is_better`` is None in ledgers
    that do not record it.
    """

    NAME: ClassVar[str] = "search"

    sampler: str = ""
    metric: str = ""
    higher_is_better: bool | None = None
    ranges: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[TrialRecord, ...] = ()
    leaders: tuple[LeaderRecord, ...] = ()
    best: BestRecord | None = None
    notes: tuple[str, ...] = ()


# -- ablation --------------------------------------------------------------------------------------

# On what ground parts may go, or not
Ground = Literal[
    "identical",  # no prediction changed
    "shown",  # to be no worse
    "mean",  # is no worse, which is enough where that was asked for
    "failures",  # are more without them
    "few pairs",  # finished
    "worse",  # shown to be
    "not shown",  # to be no worse, nor to be worse
    "together",  # they change predictions, and none does by itself
]


@dataclass(frozen=True)
class Check(Record):
    """The full recipe against one without some parts.

    Attributes:
        without: the parts.
        full, simplified: the scores of both.
        difference: simplified minus full, pair by pair, in units of the score, turned so that
            negative means that the simplified recipe is worse; its lower end is that of a one-sided
            test at the level of this check (see ``simplify``).
        accepted: these parts may go.
        identical: not one prediction differs, on any seed.
        reason: why, in a sentence.
        ground: why, as a code; None in older ledgers.
    """

    without: tuple[str, ...]
    full: Interval
    simplified: Interval
    difference: Interval
    accepted: bool
    identical: bool
    reason: str
    ground: Ground | None = None


@dataclass(frozen=True)
class ComparisonRecord(Record):
    """One part: the paired difference that it makes, and the tests of it; see
    ``stats.PairedComparison``.

    Attributes:
        what: the part in words.
        trained: trainings without it.
        scores: without it, by seed; NaN where a training failed.
        saved: epochs that it saves, of parts that are there to save time.
    """

    name: str = ""
    what: str = ""
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float | None = None
    p_holm: float | None = None
    p_same: float | None = None
    p_failures: float | None = None
    verdict: Verdict | None = None
    at_least_smallest: bool = False
    identical: bool = False
    n: int | None = None
    lost: int = 0
    failed: int | None = None
    failed_with: int | None = None
    trained: int | None = None
    correlation: float | None = None
    mde: float | None = None
    scores: tuple[float, ...] = ()
    saved: Interval | None = None


@dataclass(frozen=True)
class ArmRecord(Record):
    """The recipe with all its parts: its score and one score for each seed."""

    interval: Interval | None = None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class SimplifiedRecord(Record):
    """The recipe without the parts that may go; see ``Simplification``."""

    dropped: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    recipe_yaml: str | None = None
    accepted: bool | None = None
    checks: tuple[Check, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Settings(Record):
    """The settings in which two looks at the same question differ."""

    seeds: int
    smallest_effect: float
    confidence: float


@dataclass(frozen=True)
class LookRecord(Record):
    """Which look at its question an ablation was, from 1, and the settings of those before."""

    number: int = 1
    asked_confidence: float | None = None
    earlier: tuple[Settings, ...] = ()


@dataclass(frozen=True)
class AblationRecord(Document):
    """What an ablation showed. None: not recorded, or not known."""

    NAME: ClassVar[str] = "ablation"

    metric: str = ""
    seeds: tuple[int, ...] | None = None
    smallest_effect: float | None = None
    confidence: float | None = None
    validation_rows: int | None = None
    one_row: float | None = None
    looks: LookRecord | None = None
    reference: ArmRecord | None = None
    comparisons: tuple[ComparisonRecord, ...] = ()
    notes: tuple[str, ...] = ()
    simplified: SimplifiedRecord | None = None


@dataclass(frozen=True)
class LooksRecord(Document):
    """The looks that were taken at each question, in their order."""

    NAME: ClassVar[str] = "looks"

    questions: Mapping[str, tuple[Settings, ...]] = field(default_factory=dict)


# -- final training --------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemberRecord(Record):
    """A final training: its seed and its outcome (see ``recipe.Outcome``)."""

    seed: int | None = None
    variant_id: str = ""
    status: Literal["finished", "failed"] = "finished"
    reason: str | None = None
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    best_epoch: int = -1
    epochs: int | None = None
    steps: int = 0
    seconds: float = 0.0
    weights: str | None = None
    fleet: str = ""
    predictions_digest: str | None = None
    stopped: str | None = None
    cause: str | None = None
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FinalRecord(Document):
    """The final training; ``shipped`` is the position of the member that ships."""

    NAME: ClassVar[str] = "final"

    recipe_yaml: str | None = None
    metric: str = ""
    seeds: tuple[int, ...] | None = None
    outcomes: tuple[MemberRecord, ...] = ()
    shipped: int | None = None
    score: Interval | None = None


# -- minutes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decision(Record):
    """What was chosen for the sake of the minutes.

    Attributes:
        stage: that asked.
        question: as the study names it.
        options: as they stood, from the most to the least, in words; ``done`` is one of them.
        asked: what would have been done without a limit.
        done: what was chosen.
        reason: why not all; empty where it is all.
    """

    stage: str
    question: str
    options: tuple[str, ...]
    asked: str
    done: str
    reason: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether less was done than could have been at this point."""
        return self.done != self.options[0]

    def sentence(self, minutes: float) -> str:
        """Return what was done instead of what was asked, and why.

        Args:
            minutes: that the run has.
        """
        unit = "minute" if minutes == 1 else "minutes"
        return f"{self.done}, not {self.asked}, to keep to {minutes:g} {unit}: {self.reason}"


@dataclass(frozen=True)
class BudgetRecord(Document):
    """The minutes of a run and what was decided for their sake.

    Attributes:
        minutes, goal, question: what was asked.
        finished: the run has come to its end.
        seconds: that it has taken.
        reserve: seconds that are kept for what comes after the last training.
        decisions: in their order.
        cut: ids of trainings that were not finished in time.
        notes: what was left out.
    """

    NAME: ClassVar[str] = "budget"

    minutes: float | None = None
    goal: str = ""
    question: str = ""
    finished: bool = False
    seconds: float = 0.0
    reserve: float = 0.0
    decisions: tuple[Decision, ...] = ()
    cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
