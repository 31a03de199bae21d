"""Rows of the report's tables where they are more than a document's own rows."""

from __future__ import annotations

import difflib
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from winnow.compression import CandidateRecord
from winnow.evaluation import EvaluationRecord, ScatterRecord
from winnow.execution import PlanRecord, RunRecord, Sitting
from winnow.report import _format as fmt
from winnow.report._documents import Documents
from winnow.report._figures_results import batches
from winnow.report._figures_training import mean_curve, score_curve
from winnow.study import AblationRecord, ComparisonRecord, FinalRecord, SearchRecord

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


def missing(documents: Documents) -> dict[str, str]:
    """For each absent document a sentence that says what is not there and what would make it."""
    return {
        name: f"There is no {what} in this run: {maker} makes one."
        for name, (what, maker) in STAGES.items()
        if name not in documents
    }


def trained(documents: Documents) -> bool:
    """Whether any training left a trace."""
    return any(name in documents for name in ("search", "ablation", "final"))


def failures(documents: Documents) -> list[dict[str, Any]]:
    """Trainings that failed and why: (stage, which, reason)."""
    rows = []
    if documents.search is not None:
        rows += [
            {"stage": "search", "which": f"trial {trial.number}", "reason": trial.reason}
            for trial in documents.search.trials
            if trial.status == "failed"
        ]
    if documents.ablation is not None:
        rows += [
            {"stage": "ablation", "which": f"without {part.name}", "reason": _lost(part)}
            for part in documents.ablation.comparisons
            if part.lost
        ]
    if documents.final is not None:
        rows += [
            {"stage": "final training", "which": f"seed {one.seed}", "reason": one.reason}
            for one in documents.final.outcomes
            if one.status == "failed"
        ]
    return rows


def _lost(part: ComparisonRecord) -> str:
    reason = f"{fmt.plural(part.lost, 'pair')} lost to failed trainings"
    if part.failed is not None:
        reason += f": {part.failed} failed without it, {part.failed_with} with it"
    return reason


def notes(documents: Documents) -> list[tuple[str, str]]:
    """What the stages noted, (stage, note), in the order of the stages; then documents that
    this report does not know. The notes of the compression stand beside its table.
    """
    d = documents
    noted = (d.run, d.data, d.plan, d.search, d.ablation, d.evaluation, d.baselines)
    known = [
        (document.NAME, note)
        for document in noted
        if document is not None
        for note in document.notes
    ]
    return known + [
        ("report", f"the ledger also holds {name!r}, which this report does not show")
        for name in documents.unknown
    ]


def fleets(plan: PlanRecord) -> list[dict[str, Any]]:
    """Fleets of the same study, way, size and reason as one row with their number, in the order
    in which they trained.
    """
    kinds: Counter[tuple[str, str, int, str]] = Counter()  # keeps the order of first sight
    for fleet in plan.fleets:
        kinds[(fleet.study, fleet.how, fleet.members, fleet.reason)] += 1
    return [
        {"study": s, "how": how, "members": size, "reason": why, "number": n}
        for (s, how, size, why), n in kinds.items()
    ]


def members(plan: PlanRecord) -> int:
    """Trainings over all fleets."""
    return sum(fleet.members for fleet in plan.fleets)


def column_facts(column: Mapping[str, Any]) -> str:
    """What is known about a column beside its name and kind, in one line."""
    skip = {
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
    out = []
    if fmt.finite(column.get("minimum")) or isinstance(column.get("minimum"), str):
        out.append(f"{fmt.value(column['minimum'])} to {fmt.value(column.get('maximum'))}")
    if categories := column.get("categories"):
        more = f" and {len(categories) - 8} more" if len(categories) > 8 else ""
        out.append(", ".join(map(str, categories[:8])) + more)
    if column.get("others"):
        out.append(
            f"{fmt.plural(column['others'], 'rarer category', 'rarer categories')} share one "
            f"feature"
        )
    out += [
        f"{key} {fmt.value(x)}"
        for key, x in column.items()
        if key not in skip and x not in (None, "", [])
    ]
    if column.get("gaps"):
        out.append(f"{fmt.plural(column['gaps'], 'gap')} in the training rows")
    return "; ".join(out)


def curve_rows(final: FinalRecord) -> list[dict[str, Any]]:
    """The mean curves by epoch (from 1), and the extremes of the score over seeds; at most
    ``MAX_CURVE_ROWS``, evenly spread.
    """
    done = [o for o in final.outcomes if o.status == "finished" and o.curves]
    key = score_curve(done)
    train, validation = mean_curve(done, "train_loss"), mean_curve(done, "validation_loss")
    score = mean_curve(done, key) if key else []
    length = max(len(train), len(validation), len(score))
    step = max(1, -(-length // MAX_CURVE_ROWS))
    epochs = sorted({*range(0, length, step), length - 1}) if length else []
    rows = []
    for e in epochs:
        at = [o.curves[key][e] for o in done if key and len(o.curves.get(key, ())) > e]
        at = [v for v in at if fmt.finite(v)]
        rows.append(
            {
                "epoch": e + 1,
                "train": train[e] if e < len(train) else None,
                "validation": validation[e] if e < len(validation) else None,
                "score": score[e] if e < len(score) else None,
                "low": min(at, default=None),
                "high": max(at, default=None),
            }
        )
    return rows


def confused(evaluation: EvaluationRecord, most: int = 8) -> list[dict[str, Any]]:
    """The most frequent confusions: truth, prediction, rows, share of the truth's rows."""
    counts = evaluation.confusion or ()
    classes = [str(c) for c in evaluation.classes or range(len(counts))]
    rows: list[dict[str, Any]] = [
        {"truth": classes[i], "predicted": classes[j], "rows": n, "share": n / sum(row)}
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(rows, key=lambda r: -r["rows"])[:most]


def effects(ablation: AblationRecord) -> list[ComparisonRecord]:
    """The comparisons, the largest help first, those without a number last."""
    return sorted(ablation.comparisons, key=lambda c: -c.mean if fmt.finite(c.mean) else math.inf)


def residuals(evaluation: EvaluationRecord) -> dict[str, float]:
    """Quantiles of prediction minus truth over the recorded test rows (linear interpolation
    between order statistics).
    """
    scatter = evaluation.scatter or ScatterRecord()
    errors = sorted(p - t for t, p in zip(scatter.truth, scatter.prediction, strict=True))
    if not errors:
        return {}

    def quantile(q: float) -> float:
        place = q * (len(errors) - 1)
        below = int(place)
        above = min(below + 1, len(errors) - 1)
        return errors[below] + (place - below) * (errors[above] - errors[below])

    return {
        name: quantile(q)
        for name, q in (
            ("5 %", 0.05),
            ("25 %", 0.25),
            ("median", 0.5),
            ("75 %", 0.75),
            ("95 %", 0.95),
        )
    }


def recipe_lines(before: str | None, after: str) -> list[tuple[bool, str]]:
    """``after`` line by line, each with whether it differs from ``before``."""
    lines = after.rstrip().splitlines()
    if not before:
        return [(False, line) for line in lines]
    matcher = difflib.SequenceMatcher(None, before.rstrip().splitlines(), lines, autojunk=False)
    same = {j for _, j, n in matcher.get_matching_blocks() for j in range(j, j + n)}
    return [(j not in same, line) for j, line in enumerate(lines)]


def speed(
    candidate: CandidateRecord, batch: str, against: Literal["versus_eager", "versus_onnx"]
) -> str:
    """How many times as fast, with its interval where there is one."""
    shown = getattr(candidate.speedup.get(batch), against, None)
    if shown is not None:
        return (
            fmt.interval(shown) if fmt.half_width(shown) else fmt.number(shown.mean, significant=3)
        )
    return (
        fmt.number(getattr(candidate, against), significant=3)
        if batch == next(iter(candidate.latency), None)
        else fmt.ABSENT
    )


def seeds(documents: Documents) -> list[tuple[str, str]]:
    """Every seed that was used, by what for."""
    run, ablation, final = documents.run, documents.ablation, documents.final
    found = [
        ("seed of the recipe", run and run.seed),
        ("seeds of the ablation", ablation and ablation.seeds),
        ("seeds of the final training", final and final.seeds),
    ]
    return [
        (what, ", ".join(map(str, used)) if isinstance(used, Sequence) else str(used))
        for what, used in found
        if used is not None
    ]


def sittings(run: RunRecord | None) -> list[tuple[str, str]]:
    """When the run went on with other versions or on another machine, and what was other than
    in the sitting before.
    """
    every = (run and run.sittings) or ()
    return [
        (now.began or "later", _changed(before, now)) for before, now in itertools.pairwise(every)
    ]


def _changed(before: Sitting, now: Sitting) -> str:
    """``torch 2.13 in place of 2.12; cores 8 in place of 2``."""
    out = []
    for was, known in ((before.versions, now.versions), (before.machine, now.machine)):
        for name in dict.fromkeys([*was, *known]):
            if was.get(name) != known.get(name):
                out.append(
                    f"{fmt.words(name)} {fmt.value(known.get(name))} in place of "
                    f"{fmt.value(was.get(name))}"
                )
    return "; ".join(out)


def trial_score(search: SearchRecord, number: int) -> float | None:
    """The score of one trial, by its number."""
    return next((t.score for t in search.trials if t.number == number), None)
