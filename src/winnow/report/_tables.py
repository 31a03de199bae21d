"""Rows of the report's tables where they are more than a document's own rows."""

from __future__ import annotations

import difflib
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from winnow.compression import CandidateRecord, CompressionRecord
from winnow.evaluation import EvaluationRecord, ScatterRecord
from winnow.execution import PlanRecord, RunRecord, Sitting
from winnow.report import _format as fmt
from winnow.report._curves import finished, mean_curve, score_curve
from winnow.report._documents import Documents
from winnow.study import (
    AblationRecord,
    ComparisonRecord,
    FinalRecord,
    MemberRecord,
    SearchRecord,
)

__all__ = [
    "STAGES",
    "batches",
    "column_facts",
    "confused",
    "curve_rows",
    "effects",
    "failures",
    "fleets",
    "members",
    "missing",
    "notes",
    "recipe_lines",
    "residuals",
    "seeds",
    "sittings",
    "speed",
    "trained",
    "trial_score",
]


STAGES = {  # document: (what it is, the commands that make one)
    "run": ("record of how it was started", "`winnow run`"),
    "data": ("description of the data", "any training"),
    "plan": ("plan of the fleets", "any training"),
    "search": ("search", "`winnow search` or `winnow run`"),
    "ablation": ("ablation", "`winnow ablate` or `winnow run`"),
    "final": ("final training", "`winnow train` or `winnow run`"),
    "evaluation": ("measurement on the test rows", "`winnow evaluate` or `winnow run`"),
    "baselines": ("comparison with baselines", "`winnow evaluate` or `winnow run`"),
    "compression": ("compression", "`winnow compress` or `winnow run`"),
    "bundle": ("bundle", "`winnow compress` or `winnow run`"),
}
MAX_CURVE_ROWS = 40
MOST_CATEGORIES = 8  # of a column, by name
# Facts of a column that its row has in cells of their own, or that are no use to a reader
TOLD_ELSEWHERE = {
    "name",
    "kind",
    "required",
    "missing_allowed",
    "format",
    "others",
    "whole",
    "example",
    "gaps",
    "categories",
    "minimum",
    "maximum",
}
QUANTILES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}


class Failure(NamedTuple):
    """A training that failed: in which stage, which of its trainings, and why."""

    stage: str
    which: str
    reason: str | None


class FleetRow(NamedTuple):
    """Fleets of one kind: what they are, and how many there were."""

    study: str
    how: str
    members: int
    reason: str
    number: int


class CurveRow(NamedTuple):
    """The mean curves at one epoch (from 1), and the extremes of the score over seeds."""

    epoch: int
    train: float | None
    validation: float | None
    score: float | None
    low: float | None
    high: float | None


class ConfusedRow(NamedTuple):
    """A confusion: how many test rows it has, and their share of the truth's rows."""

    truth: str
    predicted: str
    rows: int
    share: float


def missing(documents: Documents) -> dict[str, str]:
    """Return for each absent document a sentence that says what is not there and what would make
    it.
    """
    sentences: dict[str, str] = {}
    for name, (what, maker) in STAGES.items():
        if name not in documents:
            sentences[name] = f"There is no {what} in this run: {maker} makes one."
    return sentences


def trained(documents: Documents) -> bool:
    """Tell whether any training left a trace."""
    return any(name in documents for name in ("search", "ablation", "final"))


def failures(documents: Documents) -> list[Failure]:
    """Return the trainings that failed and why, in the order of the stages."""
    rows: list[Failure] = []
    if documents.search is not None:
        for trial in documents.search.trials:
            if trial.status == "failed":
                rows.append(Failure("search", f"trial {trial.number}", trial.reason))
    if documents.ablation is not None:
        for part in documents.ablation.comparisons:
            if part.lost:
                rows.append(Failure("ablation", f"without {part.name}", _lost(part)))
    if documents.final is not None:
        for outcome in documents.final.outcomes:
            if outcome.status == "failed":
                rows.append(Failure("final training", f"seed {outcome.seed}", outcome.reason))
    return rows


def _lost(part: ComparisonRecord) -> str:
    reason = f"{fmt.plural(part.lost, 'pair')} lost to failed trainings"
    if part.failed is not None:
        reason += f": {part.failed} failed without it, {part.failed_with} with it"
    return reason


def notes(documents: Documents) -> list[tuple[str, str]]:
    """Return (stage, note) of what the stages noted, in their order; then the documents that this
    report does not know.

    The notes of the compression stand beside its table.
    """
    d = documents
    noted = (d.run, d.data, d.plan, d.search, d.ablation, d.evaluation, d.baselines)
    rows: list[tuple[str, str]] = []
    for document in noted:
        if document is not None:
            rows += [(document.NAME, note) for note in document.notes]
    for name in documents.unknown:
        rows.append(("report", f"the ledger also holds {name!r}, which this report does not show"))
    return rows


def fleets(plan: PlanRecord) -> list[FleetRow]:
    """Return the fleets of a plan, those of the same study, way, size and reason as one row.

    The rows stand in the order in which the first of them trained.
    """
    # A counter keeps the order of first sight.
    alike = Counter((f.study, f.how, f.members, f.reason) for f in plan.fleets)
    return [FleetRow(*fleet, number) for fleet, number in alike.items()]


def members(plan: PlanRecord) -> int:
    """Return how many trainings there were over all fleets."""
    return sum(fleet.members for fleet in plan.fleets)


def column_facts(column: Mapping[str, Any]) -> str:
    """Return what is known about a column beside its name and kind, in one line."""
    facts: list[str] = []
    low, high = column.get("minimum"), column.get("maximum")
    if fmt.finite(low) or isinstance(low, str):  # dates are text
        facts.append(f"{fmt.value(low)} to {fmt.value(high)}")
    categories = column.get("categories")
    if categories:
        facts.append(_first_categories(categories))
    if column.get("others"):
        rarer = fmt.plural(column["others"], "rarer category", "rarer categories")
        facts.append(f"{rarer} share one feature")
    for key, fact in column.items():
        if key not in TOLD_ELSEWHERE and fact not in (None, "", []):
            facts.append(f"{key} {fmt.value(fact)}")
    if column.get("gaps"):
        facts.append(f"{fmt.plural(column['gaps'], 'gap')} in the training rows")
    return "; ".join(facts)


def _first_categories(categories: Sequence[object]) -> str:
    names = ", ".join(map(str, categories[:MOST_CATEGORIES]))
    more = len(categories) - MOST_CATEGORIES
    return f"{names} and {more} more" if more > 0 else names


def curve_rows(final: FinalRecord) -> list[CurveRow]:
    """Return the mean curves by epoch, and the extremes of the score over seeds.

    There are at most ``MAX_CURVE_ROWS``, evenly spread, and the last epoch.
    """
    done = finished(final)
    key = score_curve(done)
    train, validation = mean_curve(done, "train_loss"), mean_curve(done, "validation_loss")
    score = mean_curve(done, key) if key else []
    length = max(len(train), len(validation), len(score))
    if not length:
        return []
    step = -(-length // MAX_CURVE_ROWS)  # rounded up, so that there are not more rows
    rows: list[CurveRow] = []
    for epoch in sorted({*range(0, length, step), length - 1}):
        scores = _scores_at(done, key, epoch) if key else []
        rows.append(
            CurveRow(
                epoch=epoch + 1,
                train=_at(train, epoch),
                validation=_at(validation, epoch),
                score=_at(score, epoch),
                low=min(scores, default=None),
                high=max(scores, default=None),
            )
        )
    return rows


def _at(curve: Sequence[float], epoch: int) -> float | None:
    return curve[epoch] if epoch < len(curve) else None


def _scores_at(outcomes: Sequence[MemberRecord], key: str, epoch: int) -> list[float]:
    """Return the scores of the seeds that reached an epoch."""
    scores = [_at(outcome.curves.get(key, ()), epoch) for outcome in outcomes]
    return [score for score in scores if score is not None and fmt.finite(score)]


def confused(evaluation: EvaluationRecord, most: int = 8) -> list[ConfusedRow]:
    """Return the most frequent confusions.

    Args:
        evaluation: of the model that ships.
        most: rows.
    """
    counts = evaluation.confusion or ()
    classes = [str(name) for name in evaluation.classes or range(len(counts))]
    rows: list[ConfusedRow] = []
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if i != j and count:
                share = count / sum(row)
                rows.append(ConfusedRow(classes[i], classes[j], count, share))
    return sorted(rows, key=lambda row: -row.rows)[:most]


def effects(ablation: AblationRecord) -> list[ComparisonRecord]:
    """Return the comparisons, the largest help first, those without a number last."""

    def rank(row: ComparisonRecord) -> float:
        return -row.mean if fmt.finite(row.mean) else math.inf

    return sorted(ablation.comparisons, key=rank)


def batches(compressed: CompressionRecord) -> list[str]:
    """Return the batch sizes that latencies were measured at, ascending, as the document spells
    them.
    """

    def rank(batch: str) -> tuple[bool, int, str]:
        is_number = str(batch).isdigit()
        return not is_number, int(batch) if is_number else 0, str(batch)

    found = {batch for one in compressed.candidates for batch in one.latency}
    return sorted(found, key=rank)


def residuals(evaluation: EvaluationRecord) -> dict[str, float]:
    """Return quantiles of prediction minus truth over the recorded test rows, by their names."""
    scatter = evaluation.scatter or ScatterRecord()
    errors = sorted(p - t for t, p in zip(scatter.truth, scatter.prediction, strict=True))
    if not errors:
        return {}
    return {name: _quantile(errors, share) for name, share in QUANTILES.items()}


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile by linear interpolation between order statistics."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def recipe_lines(before: str | None, after: str) -> list[tuple[bool, str]]:
    """Return ``after`` line by line, each with whether it differs from ``before``."""
    lines = after.rstrip().splitlines()
    if not before:
        return [(False, line) for line in lines]
    # Without its heuristic, which takes lines that come often for no match at all
    matcher = difflib.SequenceMatcher(None, before.rstrip().splitlines(), lines, autojunk=False)
    same: set[int] = set()
    for block in matcher.get_matching_blocks():
        same.update(range(block.b, block.b + block.size))
    return [(i not in same, line) for i, line in enumerate(lines)]


def speed(
    candidate: CandidateRecord, batch: str, against: Literal["versus_eager", "versus_onnx"]
) -> str:
    """Return how many times as fast a candidate is, with its interval where there is one."""
    shown = getattr(candidate.speedup.get(batch), against, None)
    if shown is not None:
        if fmt.half_width(shown):
            return fmt.interval(shown)
        return fmt.number(shown.mean, significant=3)
    # Documents without intervals have one factor, of the first batch size.
    if batch == next(iter(candidate.latency), None):
        return fmt.number(getattr(candidate, against), significant=3)
    return fmt.ABSENT


def seeds(documents: Documents) -> list[tuple[str, str]]:
    """Return (what for, seeds) of every seed that was used."""
    run, ablation, final = documents.run, documents.ablation, documents.final
    rows: list[tuple[str, str]] = []
    if run is not None and run.seed is not None:
        rows.append(("seed of the recipe", str(run.seed)))
    if ablation is not None and ablation.seeds is not None:
        rows.append(("seeds of the ablation", ", ".join(map(str, ablation.seeds))))
    if final is not None and final.seeds is not None:
        rows.append(("seeds of the final training", ", ".join(map(str, final.seeds))))
    return rows


def sittings(run: RunRecord | None) -> list[tuple[str, str]]:
    """Return (when, what changed) of every sitting that went on with other versions or on another
    machine than the one before it.
    """
    every = () if run is None else run.sittings or ()
    rows: list[tuple[str, str]] = []
    for before, now in itertools.pairwise(every):
        rows.append((now.began or "later", _changed(before, now)))
    return rows


def _changed(before: Sitting, now: Sitting) -> str:
    """Return what changed: ``torch 2.13 in place of 2.12; cores 8 in place of 2``."""
    changes: list[str] = []
    for was, known in ((before.versions, now.versions), (before.machine, now.machine)):
        for name in dict.fromkeys([*was, *known]):
            old, new = was.get(name), known.get(name)
            if old != new:
                changes.append(f"{fmt.words(name)} {fmt.value(new)} in place of {fmt.value(old)}")
    return "; ".join(changes)


def trial_score(search: SearchRecord, number: int) -> float | None:
    """Return the score of one trial, by its number; None where it has none."""
    for trial in search.trials:
        if trial.number == number:
            return trial.score
    return None
