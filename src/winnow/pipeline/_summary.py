"""What came out of a run, in a few lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from winnow.compression import CandidateRecord, CompressionRecord, Gain, ShippedRecord
from winnow.evaluation import BaselinesRecord, EvaluationRecord, ahead_of_the_model
from winnow.execution import RunRecord
from winnow.report import Documents
from winnow.stats import FEW_ROWS, Interval, decimals, in_digits
from winnow.study import (
    AblationRecord,
    BudgetRecord,
    ComparisonRecord,
    FinalRecord,
    SearchRecord,
    SimplifiedRecord,
    remark,
)

__all__ = ["summary"]

VERDICTS = ("helps", "needed", "hurts", "no difference", "undecided")
Lines = Iterator[tuple[str, str]]

# What an int8 model fails to bring, in a few words; the report has the numbers
NO_GAIN: dict[Gain, str] = {
    "slower": "slower than float32",
    "not shown faster": "not shown to be faster than float32",
    "not smaller": "not smaller",
    "too little smaller": "too little smaller",
}


def summary(documents: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(what, text) for each thing that is known, from the facts that the stages left.

    Args:
        documents: by name; any may be absent.

    Raises:
        ReportError: a document cannot be read.
    """
    return list(_lines(Documents.of(documents)))


def _lines(d: Documents) -> Lines:
    if d.run is not None and d.run.quick:
        yield "quick", d.run.quick
    if d.budget is not None:
        yield from _budget(d.budget)
    if d.search is not None:
        yield from _search(d.search)
    if d.ablation is not None:
        yield from _ablation(d.ablation)
    elif d.final is not None and d.run is not None and not d.run.ablate:
        yield from _no_ablation(d.run)
    if d.final is not None:
        yield from _final(d.final)
    if d.evaluation is not None:
        yield from _evaluation(d.evaluation)
    if d.compression is not None:
        yield from _compression(d.compression)
    if d.shipped is not None:
        yield from _shipped(d.shipped)
    if d.baselines is not None:  # of the file that ships, once there is one
        yield from _baselines(d.baselines)
    if d.bundle is not None:
        yield "bundle", f"{d.bundle.path} ({_size(d.bundle.bytes)})"


def _budget(document: BudgetRecord) -> Lines:
    for i, note in enumerate(document.notes):
        yield "left out" if i == 0 else "", note


def _search(document: SearchRecord) -> Lines:
    best, trials = document.best, len(document.trials)
    if best is None or best.interval is None:
        return
    score = f"{document.metric} {_interval(best.interval)} on {best.interval.n} fresh seeds"
    yield "search", f"{score}{_covers(best.interval)}, the best of {trials} trials:"
    yield "", ", ".join(f"{path} = {_value(value)}" for path, value in best.values.items())


def _ablation(document: AblationRecord) -> Lines:
    for verdict in VERDICTS:
        rows = [row for row in document.comparisons if row.verdict == verdict]
        if rows:
            yield verdict, ", ".join(_part(row, document.smallest_effect or 0.0) for row in rows)
    simplified = document.simplified or SimplifiedRecord()
    dropped, kept = simplified.dropped, simplified.kept
    if dropped:
        yield "simplified", f"without {', '.join(dropped)}: {simplified.reason}"
    elif kept:
        yield "simplified", f"{', '.join(kept)} kept after all: {simplified.reason}"


def _no_ablation(run: RunRecord) -> Lines:
    """Why there is no ablation where the final training was made without one, because none was
    wanted.
    """
    why = "--quick" if run.quick else "--no-ablate"
    yield (
        "ablation",
        f"skipped ({why}): no part was looked at; --ablate, or `winnow ablate`, does that",
    )


def _part(row: ComparisonRecord, smallest_effect: float) -> str:
    beside = remark(row, smallest_effect)
    return f"{row.name} ({beside})" if beside else row.name


def _final(document: FinalRecord) -> Lines:
    score = document.score
    if score is None:
        return
    yield (
        "validation",
        f"{document.metric} {_interval(score)} over {score.n} final seeds{_covers(score)}",
    )


def _evaluation(document: EvaluationRecord) -> Lines:
    known = {name: interval for name, interval in document.metrics.items() if interval is not None}
    metrics = [f"{name} {_interval(interval)}" for name, interval in known.items()]
    seeds = max((interval.n for interval in known.values()), default=1)
    rows = document.rows or 0
    over = f"other rows like these {rows}" + (" and other seeds" if seeds > 1 else "; one seed")
    yield "test", f"{', '.join(metrics)} (intervals over {over})"
    if rows < FEW_ROWS:
        yield "", f"{rows} test rows are few: read the intervals, not the means"


def _baselines(document: BaselinesRecord) -> Lines:
    """The verdict, then the metric of each baseline on the same rows and what the model gains
    over it.
    """
    yield "verdict", document.verdict
    model = "the model that ships" if document.file else "the model"
    for baseline in document.baselines:
        if baseline.metrics and baseline.gain is not None:
            score = _rounded(baseline.metrics[document.metric], baseline.gain)
            yield (
                f"  {baseline.name}",
                f"{document.metric} {score}; {model} gains {_interval(baseline.gain)} (interval "
                f"over rows)",
            )
        else:
            yield f"  {baseline.name}", baseline.note or "left out"
    for note in ahead_of_the_model(document.metric, document.baselines, document.file):
        yield "", note


def _compression(document: CompressionRecord) -> Lines:
    candidates = {c.name: c for c in document.candidates}
    chosen, eager = candidates.get(document.chosen or ""), candidates.get("eager")
    if chosen is None:
        return
    text = f"{chosen.name}, {_size(chosen.bytes)}"
    if eager is not None and eager is not chosen:
        text += f" where PyTorch takes {_size(eager.bytes)}"
    if chosen.name != "onnx" and chosen.versus_onnx:
        text += f"; {chosen.versus_onnx:.1f} times as fast as float32 in ONNX Runtime"
    if chosen.versus_eager:
        text += f"; {chosen.versus_eager:.1f} times as fast as eager PyTorch"
    if chosen.score_drop is not None:
        text += (
            f"; loses {_interval(chosen.score_drop)} {document.metric} (interval over "
            f"validation rows)"
        )
    yield "ships", text
    reasons: dict[str, str] = {}
    for candidate in document.candidates:
        if candidate.is_int8 and not candidate.accepted:
            # dynamic int8 after int8: one line where the reason is the same
            reasons.setdefault(_why_not(candidate), candidate.name)
    said = [f"{name} does not ship: {reason}" for reason, name in reasons.items()]
    shown = [note for note in document.notes if note not in document.verdict_notes]
    for line in dict.fromkeys([*said, *shown]):  # the report has the verdicts in full
        yield "", line


def _why_not(candidate: CandidateRecord) -> str:
    """In a few words why an int8 model does not ship; the report has budgets, intervals and how
    many rows would decide.
    """
    if candidate.gain is None:  # of an older ledger
        return candidate.reason
    said = [NO_GAIN[candidate.gain]] if candidate.gain in NO_GAIN else []
    verdicts = {loss.verdict for loss in candidate.losses}
    if "over" in verdicts:
        said.append("loses too much")
    elif "undecided" in verdicts:
        said.append("may lose too much")
    return ", ".join(said) or candidate.reason


def _shipped(document: ShippedRecord) -> Lines:
    metrics = [f"{name} {_interval(interval)}" for name, interval in document.metrics.items()]
    yield (
        "the file",
        f"{', '.join(metrics)} (the shipped file's own; intervals over other rows like these "
        f"{document.rows})",
    )
    parity = document.parity
    if document.kind == "int8" and parity.share_of_changed_classes is not None:
        yield (
            "",
            f"against PyTorch, {parity.share_of_changed_classes:.2%} of the test rows get another "
            f"class, and a probability differs by at most {parity.max_probability_difference:.2g}",
        )
    elif document.kind == "int8":
        yield (
            "",
            f"against PyTorch, a prediction differs by at most "
            f"{parity.max_prediction_difference:.3g} on the test rows",
        )
    for note in document.notes:
        yield "", note


def _covers(interval: Interval) -> str:
    if math.isnan(interval.low):
        return ""
    return " (interval over seeds alone, on the validation rows)"


def _interval(interval: Interval) -> str:
    """The mean and its interval, with the digits that it gives; the mean alone where there is
    no interval.
    """
    if math.isnan(interval.mean):
        return "none"
    if math.isnan(interval.low) or math.isnan(interval.high):
        return f"{in_digits(interval.mean, decimals(math.inf, interval.mean))} (no interval)"
    return str(replace(interval, lost=0))


def _rounded(value: float, beside: Interval) -> str:
    """A number with the digits of the interval it stands beside."""
    half = (beside.high - beside.low) / 2
    return in_digits(value, decimals(math.inf if math.isnan(half) else half, value))


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _size(num_bytes: float | None) -> str:
    if num_bytes is None:
        return "of unknown size"
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.1f} kB"
