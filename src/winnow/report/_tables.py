"""Rows of the report's tables where they are more than a document's own rows."""

from __future__ import annotations

import difflib
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from winnow.report import _format as fmt
from winnow.report._figures_results import batches
from winnow.report._figures_training import mean_curve, score_curve

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

Document = Mapping[str, Any]
Documents = Mapping[str, Document]

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
BESIDE = ("looks", "budget")  # documents whose content others repeat
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
    return any(documents.get(name) for name in ("search", "ablation", "final"))


def failures(documents: Documents) -> list[dict[str, Any]]:
    """Trainings that failed and why: (stage, which, reason)."""
    rows = []
    for trial in documents.get("search", {}).get("trials") or ():
        if trial.get("status") == "failed":
            rows.append(
                {
                    "stage": "search",
                    "which": f"trial {trial.get('number')}",
                    "reason": trial.get("reason"),
                }
            )
    for part in documents.get("ablation", {}).get("comparisons") or ():
        if part.get("lost"):
            which = f"without {part.get('name')}"
            reason = f"{fmt.plural(part['lost'], 'pair')} lost to failed trainings"
            if part.get("failed") is not None:
                reason += f": {part['failed']} failed without it, {part['failed_with']} with it"
            rows.append({"stage": "ablation", "which": which, "reason": reason})
    for outcome in documents.get("final", {}).get("outcomes") or ():
        if outcome.get("status") == "failed":
            rows.append(
                {
                    "stage": "final training",
                    "which": f"seed {outcome.get('seed')}",
                    "reason": outcome.get("reason"),
                }
            )
    return rows


def notes(documents: Documents) -> list[tuple[str, str]]:
    """What the stages noted, (stage, note), in the order of the stages; then documents that
    this report does not know.
    """
    stages = [name for name in STAGES if name != "compression"]  # its notes stand beside its table
    known = [
        (name, str(note)) for name in stages for note in documents.get(name, {}).get("notes") or ()
    ]
    unknown = [name for name in documents if name not in STAGES and name not in BESIDE]
    return known + [
        ("report", f"the ledger also holds {name!r}, which this report does not show")
        for name in unknown
    ]


def fleets(plan: Document) -> list[dict[str, Any]]:
    """Fleets of the same study, way, size and reason as one row with their number, in the order
    in which they trained.
    """
    kinds: Counter[tuple[str, str, int, str]] = Counter()  # keeps the order of first sight
    for fleet in plan.get("fleets") or ():
        kinds[
            (
                str(fleet.get("study") or ""),
                str(fleet.get("how")),
                int(fleet.get("members") or 0),
                fleet.get("reason") or "",
            )
        ] += 1
    return [
        {"study": s, "how": how, "members": size, "reason": why, "number": n}
        for (s, how, size, why), n in kinds.items()
    ]


def members(plan: Document) -> int:
    """Trainings over all fleets."""
    return sum(int(fleet.get("members") or 0) for fleet in plan.get("fleets") or ())


def column_facts(column: Document) -> str:
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


def curve_rows(final: Document) -> list[dict[str, Any]]:
    """The mean curves by epoch (from 1), and the extremes of the score over seeds; at most
    ``MAX_CURVE_ROWS``, evenly spread.
    """
    done = [
        o for o in final.get("outcomes") or () if o.get("status") == "finished" and o.get("curves")
    ]
    key = score_curve(done)
    train, validation = mean_curve(done, "train_loss"), mean_curve(done, "validation_loss")
    score = mean_curve(done, key) if key else []
    length = max(len(train), len(validation), len(score))
    step = max(1, -(-length // MAX_CURVE_ROWS))
    epochs = sorted({*range(0, length, step), length - 1}) if length else []
    rows = []
    for e in epochs:
        at = [o["curves"][key][e] for o in done if key and len(o["curves"].get(key) or ()) > e]
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


def confused(evaluation: Document, most: int = 8) -> list[dict[str, Any]]:
    """The most frequent confusions: truth, prediction, rows, share of the truth's rows."""
    counts = evaluation.get("confusion") or []
    classes = [str(c) for c in evaluation.get("classes") or range(len(counts))]
    rows = [
        {"truth": classes[i], "predicted": classes[j], "rows": n, "share": n / sum(row)}
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(rows, key=lambda r: -r["rows"])[:most]


def effects(ablation: Document) -> list[Document]:
    """The comparisons, the largest help first, those without a number last."""
    rows = list(ablation.get("comparisons") or ())
    return sorted(rows, key=lambda c: -c["mean"] if fmt.finite(c.get("mean")) else math.inf)


def residuals(evaluation: Document) -> dict[str, float]:
    """Quantiles of prediction minus truth over the recorded test rows (linear interpolation
    between order statistics).
    """
    scatter = evaluation.get("scatter") or {}
    errors = sorted(
        p - t
        for t, p in zip(scatter.get("truth") or (), scatter.get("prediction") or (), strict=True)
    )
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


def speed(candidate: Document, batch: str, against: str) -> str:
    """How many times as fast, with its interval where there is one; ``against``:
    ``versus_eager`` or ``versus_onnx``.
    """
    shown = ((candidate.get("speedup") or {}).get(batch) or {}).get(against)
    if shown:
        return (
            fmt.interval(shown)
            if fmt.half_width(shown)
            else fmt.number(shown.get("mean"), significant=3)
        )
    return (
        fmt.number(candidate.get(against), significant=3)
        if batch == next(iter(candidate.get("latency") or ()), None)
        else fmt.ABSENT
    )


def seeds(documents: Documents) -> list[tuple[str, str]]:
    """Every seed that was used, by what for."""
    found = [
        ("seed of the recipe", documents.get("run", {}).get("seed")),
        ("seeds of the ablation", documents.get("ablation", {}).get("seeds")),
        ("seeds of the final training", documents.get("final", {}).get("seeds")),
    ]
    return [
        (what, ", ".join(map(str, used)) if isinstance(used, Sequence) else str(used))
        for what, used in found
        if used is not None
    ]


def sittings(run: Document) -> list[tuple[str, str]]:
    """When the run went on with other versions or on another machine, and what was other than
    in the sitting before.
    """
    every = list(run.get("sittings") or ())
    return [
        (str(now.get("began") or "later"), _changed(before, now))
        for before, now in itertools.pairwise(every)
    ]


def _changed(before: Document, now: Document) -> str:
    """``torch 2.13 in place of 2.12; cores 8 in place of 2``."""
    out = []
    for kind in ("versions", "machine"):
        was, known = before.get(kind) or {}, now.get(kind) or {}
        for name in dict.fromkeys([*was, *known]):
            if was.get(name) != known.get(name):
                out.append(
                    f"{fmt.words(name)} {fmt.value(known.get(name))} in place of "
                    f"{fmt.value(was.get(name))}"
                )
    return "; ".join(out)


def trial_score(search: Document, number: int) -> float | None:
    """The score of one trial, by its number."""
    return next(
        (t.get("score") for t in search.get("trials") or () if t.get("number") == number), None
    )
