"""What came out of a run, in a few lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from winnow.compression import CandidateRecord, CompressionRecord, Gain, ShippedRecord
from winnow.evaluation import Baseline, BaselinesRecord, EvaluationRecord, ahead_of_the_model
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
SummaryLines = Iterator[tuple[str, str]]

# What a compressed model fails to bring, in a few words; the report has the numbers
NO_GAIN: dict[Gain, str] = {
    "slower": "slower than float32",
    "not shown faster": "not shown to be faster than float32",
    "not smaller": "not smaller",
    "too little smaller": "too little smaller",
}


def summary(documents: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Sum up a run from the facts that its stages left.

    Args:
        documents: plain data by name; any may be absent.

    Returns:
        (what, text) for each thing that is known; ``what`` is empty where the line belongs to the
        one before it.

    Raises:
        ReportError: a document cannot be read.
    """
    return list(_lines(Documents.of(documents)))


def _lines(found: Documents) -> SummaryLines:
    """Yield the lines of each document, in the order of the stages."""
    if found.run is not None and found.run.quick:
        yield "quick", found.run.quick
    if found.budget is not None:
        yield from _budget_lines(found.budget)
    if found.search is not None:
        yield from _search_lines(found.search)
    if found.ablation is not None:
        yield from _ablation_lines(found.ablation)
    elif found.final is not None and found.run is not None and not found.run.ablate:
        yield _no_ablation(found.run)
    if found.final is not None:
        yield from _final_lines(found.final)
    if found.evaluation is not None:
        yield from _evaluation_lines(found.evaluation)
    if found.compression is not None:
        yield from _compression_lines(found.compression)
    if found.shipped is not None:
        yield from _shipped_lines(found.shipped)
    if found.baselines is not None:  # of the file that ships, once there is one
        yield from _baseline_lines(found.baselines)
    if found.bundle is not None:
        yield "bundle", f"{found.bundle.path} ({_size(found.bundle.bytes)})"


# -- search, ablation, training --------------------------------------------------------------------


def _budget_lines(budget: BudgetRecord) -> SummaryLines:
    for i, note in enumerate(budget.notes):
        yield "left out" if i == 0 else "", note


def _search_lines(search: SearchRecord) -> SummaryLines:
    best = search.best
    if best is None or best.interval is None:
        return
    interval = best.interval
    score = f"{search.metric} {_interval(interval)} on {interval.n} fresh seeds{_covers(interval)}"
    yield "search", f"{score}, the best of {len(search.trials)} trials:"
    settings = [f"{path} = {_value(value)}" for path, value in best.values.items()]
    yield "", ", ".join(settings)


def _ablation_lines(ablation: AblationRecord) -> SummaryLines:
    smallest_effect = ablation.smallest_effect or 0.0
    for verdict in VERDICTS:
        parts = [
            _part(row, smallest_effect) for row in ablation.comparisons if row.verdict == verdict
        ]
        if parts:
            yield verdict, ", ".join(parts)
    simplified = ablation.simplified or SimplifiedRecord()
    if simplified.dropped:
        yield "simplified", f"without {', '.join(simplified.dropped)}: {simplified.reason}"
    elif simplified.kept:
        yield "simplified", f"{', '.join(simplified.kept)} kept after all: {simplified.reason}"


def _no_ablation(run: RunRecord) -> tuple[str, str]:
    """Say why there is no ablation where the final training was made without one, because none was
    wanted.
    """
    why = "--quick" if run.quick else "--no-ablate"
    text = f"skipped ({why}): no part was looked at; --ablate, or `winnow ablate`, does that"
    return "ablation", text


def _part(row: ComparisonRecord, smallest_effect: float) -> str:
    beside = remark(row, smallest_effect)
    return f"{row.name} ({beside})" if beside else row.name


def _final_lines(final: FinalRecord) -> SummaryLines:
    score = final.score
    if score is None:
        return
    text = f"{final.metric} {_interval(score)} over {score.n} final seeds{_covers(score)}"
    yield "validation", text


def _covers(interval: Interval) -> str:
    """Return what an interval over seeds covers; nothing where there is none."""
    if math.isnan(interval.low):
        return ""
    return " (interval over seeds alone, on the validation rows)"


# -- test rows -------------------------------------------------------------------------------------


def _evaluation_lines(evaluation: EvaluationRecord) -> SummaryLines:
    known = {name: found for name, found in evaluation.metrics.items() if found is not None}
    seeds = max((interval.n for interval in known.values()), default=1)
    rows = evaluation.rows or 0
    beside = " and other seeds" if seeds > 1 else "; one seed"
    yield "test", f"{_scores(known)} (intervals over other rows like these {rows}{beside})"
    if rows < FEW_ROWS:
        yield "", f"{rows} test rows are few: read the intervals, not the means"


def _baseline_lines(compared: BaselinesRecord) -> SummaryLines:
    """Yield the verdict, then the metric of each baseline on the same rows and what the model
    gains over it.
    """
    yield "verdict", compared.verdict
    model = "the model that ships" if compared.file else "the model"
    for baseline in compared.baselines:
        yield f"  {baseline.name}", _gain_over(baseline, compared.metric, model)
    for note in ahead_of_the_model(compared.metric, compared.baselines, compared.file):
        yield "", note


def _gain_over(baseline: Baseline, metric: str, model: str) -> str:
    if not baseline.metrics or baseline.gain is None:
        return baseline.note or "left out"
    score = _rounded(baseline.metrics[metric], baseline.gain)
    gain = _interval(baseline.gain)
    return f"{metric} {score}; {model} gains {gain} (interval over rows)"


# -- compression -----------------------------------------------------------------------------------


def _compression_lines(compression: CompressionRecord) -> SummaryLines:
    candidates = {candidate.name: candidate for candidate in compression.candidates}
    chosen = candidates.get(compression.chosen or "")
    if chosen is None:
        return
    yield "ships", _ships(chosen, candidates.get("eager"), compression.metric)
    said = _refusals(compression)
    # The verdicts stand in the report in full.
    said += [note for note in compression.notes if note not in compression.verdict_notes]
    for line in dict.fromkeys(said):
        yield "", line


def _ships(chosen: CandidateRecord, eager: CandidateRecord | None, metric: str) -> str:
    """Return what ships, how much smaller and faster it is, and what it loses."""
    text = f"{chosen.name}, {_size(chosen.bytes)}"
    if eager is not None and eager is not chosen:
        text += f" where PyTorch takes {_size(eager.bytes)}"
    if chosen.name != "onnx" and chosen.versus_onnx:
        text += f"; {chosen.versus_onnx:.1f} times as fast as float32 in ONNX Runtime"
    if chosen.versus_eager:
        text += f"; {chosen.versus_eager:.1f} times as fast as eager PyTorch"
    if chosen.score_drop is not None:
        drop = _interval(chosen.score_drop)
        text += f"; loses {drop} {metric} (interval over validation rows)"
    return text


def _refusals(compression: CompressionRecord) -> list[str]:
    """Return why compressed models do not ship, one line where several have the same reason."""
    names: dict[str, list[str]] = {}
    for candidate in compression.candidates:
        if candidate.is_compressed and not candidate.accepted:
            names.setdefault(_why_not(candidate), []).append(candidate.name)
    return [
        f"{' and '.join(alike)} {'does' if len(alike) == 1 else 'do'} not ship: {reason}"
        for reason, alike in names.items()
    ]


def _why_not(candidate: CandidateRecord) -> str:
    """Return in a few words why a compressed model does not ship.

    The report has budgets, intervals and how many rows would decide.
    """
    if candidate.gain is None:  # of an older ledger
        return candidate.reason
    said: list[str] = []
    if candidate.gain in NO_GAIN:
        said.append(NO_GAIN[candidate.gain])
    verdicts = {loss.verdict for loss in candidate.losses}
    if "over" in verdicts:
        said.append("loses too much")
    elif "undecided" in verdicts:
        said.append("may lose too much")
    return ", ".join(said) or candidate.reason


def _shipped_lines(shipped: ShippedRecord) -> SummaryLines:
    own = f"the shipped file's own; intervals over other rows like these {shipped.rows}"
    yield "the file", f"{_scores(shipped.metrics)} ({own})"
    # A float32 file computes what PyTorch computes; only compression moves predictions.
    is_compressed = shipped.kind not in (None, "fp32")
    if is_compressed and shipped.parity.max_output_difference is not None:
        yield "", _difference(shipped)
    for note in shipped.notes:
        yield "", note


def _difference(shipped: ShippedRecord) -> str:
    """Return how far a compressed file is from the PyTorch model that it was made from."""
    parity = shipped.parity
    if parity.share_of_changed_classes is None:
        return (
            f"against PyTorch, a prediction differs by at most "
            f"{parity.max_prediction_difference:.3g} on the test rows"
        )
    return (
        f"against PyTorch, {parity.share_of_changed_classes:.2%} of the test rows get another "
        f"class, and a probability differs by at most {parity.max_probability_difference:.2g}"
    )


# -- numbers ---------------------------------------------------------------------------------------


def _interval(interval: Interval) -> str:
    """Return the mean and its interval, with the digits that it gives; the mean alone where there
    is no interval.
    """
    if math.isnan(interval.mean):
        return "none"
    if math.isnan(interval.low) or math.isnan(interval.high):
        mean = in_digits(interval.mean, decimals(math.inf, interval.mean))
        return f"{mean} (no interval)"
    return str(replace(interval, lost=0))


def _scores(metrics: Mapping[str, Interval]) -> str:
    """Return metrics by name, each with its interval."""
    return ", ".join(f"{name} {_interval(interval)}" for name, interval in metrics.items())


def _rounded(value: float, beside: Interval) -> str:
    """Return a number with the digits of the interval it stands beside."""
    half = (beside.high - beside.low) / 2
    spread = math.inf if math.isnan(half) else half
    return in_digits(value, decimals(spread, value))


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _size(num_bytes: float | None) -> str:
    if num_bytes is None:
        return "of unknown size"
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.1f} kB"
