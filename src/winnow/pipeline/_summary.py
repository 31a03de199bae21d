"""What came out of a run, in a few lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from winnow.stats import FEW_ROWS, Interval, decimals, in_digits
from winnow.study import remark

__all__ = ["summary"]

Document = Mapping[str, Any]
VERDICTS = ("helps", "needed", "hurts", "no difference", "undecided")


def summary(documents: Mapping[str, Document]) -> list[tuple[str, str]]:
    """(what, text) for each thing that is known, from the facts that the stages left.

    Args:
        documents: by name; any may be absent.
    """
    documents = {**documents, **_skipped(documents)}
    stages = {
        "budget": _budget,
        "search": _search,
        "ablation": _ablation,
        "no ablation": _no_ablation,
        "final": _final,
        "evaluation": _evaluation,
        "compression": _compression,
        "shipped": _shipped,
        "baselines": _baselines,  # of the file that ships, once there is one
    }
    run = documents.get("run", {})
    lines = [("quick", run["quick"])] if run.get("quick") else []
    lines += [
        line for name, say in stages.items() if name in documents for line in say(documents[name])
    ]
    if "bundle" in documents:
        lines.append(
            ("bundle", f"{documents['bundle']['path']} ({_size(documents['bundle']['bytes'])})")
        )
    return lines


def _budget(document: Document) -> Iterator[tuple[str, str]]:
    for i, note in enumerate(document["notes"]):
        yield "left out" if i == 0 else "", note


def _search(document: Document) -> Iterator[tuple[str, str]]:
    best, trials = document["best"], len(document["trials"])
    score = (
        f"{document['metric']} {_interval(best['interval'])} on {best['interval']['n']} fresh seeds"
    )
    covers = (
        ""
        if best["interval"]["low"] is None
        else " (interval over seeds alone, on the validation rows)"
    )
    yield "search", f"{score}{covers}, the best of {trials} trials:"
    yield "", ", ".join(f"{path} = {_value(value)}" for path, value in best["values"].items())


def _ablation(document: Document) -> Iterator[tuple[str, str]]:
    for verdict in VERDICTS:
        rows = [row for row in document["comparisons"] if row["verdict"] == verdict]
        if rows:
            yield verdict, ", ".join(_part(row, document["smallest_effect"]) for row in rows)
    simplified = document["simplified"]
    dropped, kept = simplified["dropped"], simplified.get("kept") or []
    if dropped:
        yield "simplified", f"without {', '.join(dropped)}: {simplified['reason']}"
    elif kept:
        yield "simplified", f"{', '.join(kept)} kept after all: {simplified['reason']}"


def _skipped(documents: Mapping[str, Document]) -> dict[str, Document]:
    """Why there is no ablation where the final training was made without one, because none was
    wanted.
    """
    run = documents.get("run", {})
    if "final" not in documents or "ablation" in documents or run.get("ablate", True):
        return {}
    why = "--quick" if run.get("quick") else "--no-ablate"
    return {
        "no ablation": {
            "why": f"skipped ({why}): no part was looked at; --ablate, or `winnow ablate`, does "
            f"that"
        }
    }


def _no_ablation(document: Document) -> Iterator[tuple[str, str]]:
    yield "ablation", document["why"]


def _part(row: Document, smallest_effect: float) -> str:
    beside = remark(row, smallest_effect)
    return f"{row['name']} ({beside})" if beside else str(row["name"])


def _final(document: Document) -> Iterator[tuple[str, str]]:
    score = document["score"]
    covers = "" if score["low"] is None else " (interval over seeds alone, on the validation rows)"
    yield (
        "validation",
        f"{document['metric']} {_interval(score)} over {score['n']} final seeds{covers}",
    )


def _evaluation(document: Document) -> Iterator[tuple[str, str]]:
    metrics = [f"{name} {_interval(interval)}" for name, interval in document["metrics"].items()]
    seeds = max((interval["n"] for interval in document["metrics"].values()), default=1)
    over = f"other rows like these {document['rows']}" + (
        " and other seeds" if seeds > 1 else "; one seed"
    )
    yield "test", f"{', '.join(metrics)} (intervals over {over})"
    if document["rows"] < FEW_ROWS:
        yield "", f"{document['rows']} test rows are few: read the intervals, not the means"


def _baselines(document: Document) -> Iterator[tuple[str, str]]:
    """The verdict, then the metric of each baseline on the same rows and what the model gains
    over it.
    """
    yield "verdict", document["verdict"]
    model = "the model that ships" if document.get("file") else "the model"
    for baseline in document["baselines"]:
        if baseline["metrics"]:
            score = (
                f"{document['metric']} "
                f"{_rounded(baseline['metrics'][document['metric']], baseline['gain'])}"
            )
            yield (
                f"  {baseline['name']}",
                f"{score}; {model} gains {_interval(baseline['gain'])} (interval over rows)",
            )
        else:
            yield f"  {baseline['name']}", baseline["note"]
    for note in document["notes"]:
        if "is better than the model" in note:
            yield "", note


def _compression(document: Document) -> Iterator[tuple[str, str]]:
    candidates = {c["name"]: c for c in document["candidates"]}
    chosen, eager = candidates[document["chosen"]], candidates.get("eager")
    text = f"{chosen['name']}, {_size(chosen['bytes'])}"
    if eager is not None and eager is not chosen:
        text += f" where PyTorch takes {_size(eager['bytes'])}"
    if chosen["name"] != "onnx" and chosen.get("versus_onnx"):
        text += f"; {chosen['versus_onnx']:.1f} times as fast as float32 in ONNX Runtime"
    if chosen.get("versus_eager"):
        text += f"; {chosen['versus_eager']:.1f} times as fast as eager PyTorch"
    if chosen.get("score_drop"):
        text += (
            f"; loses {_interval(chosen['score_drop'])} {document['metric']} (interval over "
            f"validation rows)"
        )
    yield "ships", text
    refused = [
        c for c in document["candidates"] if c["name"].startswith("int8") and not c["accepted"]
    ]
    reasons: dict[str, str] = {}
    for candidate in refused:  # dynamic int8 after int8: one line where the reason is the same
        reasons.setdefault(_why_not(candidate), candidate["name"])
    for reason, name in reasons.items():
        yield "", f"{name} does not ship: {reason}"
    told = tuple(
        f"{c['name']} {what}" for c in refused for what in ("does not ship", "is not faster")
    )
    for note in document["notes"]:
        if not note.startswith((*told, "so the float32 model")):  # in full in the report
            yield "", note


def _why_not(candidate: Document) -> str:
    """In a few words why an int8 model does not ship; the report has budgets, intervals and how
    many rows would decide.
    """
    said = []
    gain = candidate["reason"].split("; ")[-1]
    if gain.startswith("slower"):
        said.append("slower than float32")
    elif gain.startswith(("not ", "too little")):
        said.append(gain.split(" (")[0].removesuffix(" in ONNX Runtime"))
    verdicts = {loss["verdict"] for loss in candidate.get("losses", ())}
    if "over" in verdicts:
        said.append("loses too much")
    elif "undecided" in verdicts:
        said.append("may lose too much")
    return ", ".join(said) or candidate["reason"]


def _shipped(document: Document) -> Iterator[tuple[str, str]]:
    metrics = [f"{name} {_interval(interval)}" for name, interval in document["metrics"].items()]
    yield (
        "the file",
        f"{', '.join(metrics)} (the shipped file's own; intervals over other rows like these "
        f"{document['rows']})",
    )
    parity = document["parity"]
    changed = parity.get("share_of_changed_classes")
    if document["kind"] == "int8" and changed is not None:
        yield (
            "",
            f"against PyTorch, {changed:.2%} of the test rows get another class, and a "
            f"probability differs by at most "
            f"{parity['max_probability_difference']:.2g}",
        )
    elif document["kind"] == "int8":
        yield (
            "",
            f"against PyTorch, a prediction differs by at most "
            f"{parity['max_prediction_difference']:.3g} on the test rows",
        )
    for note in document["notes"]:
        yield "", note


def _interval(document: Document) -> str:
    """The mean and its interval, with the digits that it gives; the mean alone where there is
    no interval.
    """
    mean, low, high = (document[end] for end in ("mean", "low", "high"))
    if mean is None:
        return "none"
    if low is None or high is None:
        return f"{in_digits(mean, decimals(math.inf, mean))} (no interval)"
    return str(Interval(mean, low, high, confidence=document["confidence"], n=document["n"]))


def _rounded(value: float, beside: Document) -> str:
    """A number with the digits of the interval it stands beside."""
    low, high = beside["low"], beside["high"]
    return in_digits(
        value, decimals(math.inf if low is None or high is None else (high - low) / 2, value)
    )


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.1f} kB"
