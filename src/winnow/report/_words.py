"""What the report says in sentences. Each function reads documents and returns text; names of
the user's are escaped in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from winnow.compression import (
    CandidateRecord,
    CompressionRecord,
    LatencyRecord,
    ShippedRecord,
)
from winnow.data import DataRecord
from winnow.evaluation import ahead_of_the_model
from winnow.methods import SAMPLERS
from winnow.report import _format as fmt
from winnow.report._documents import Documents
from winnow.report._tables import STAGES
from winnow.stats import Interval
from winnow.study import AblationRecord, SimplifiedRecord, remark, remark_saved

__all__ = [
    "answer",
    "asked",
    "by_verdict",
    "code",
    "compared",
    "dotted",
    "listed",
    "metric_of",
    "not_there",
    "parity",
    "remark",
    "sampler_title",
    "say",
    "score_shown",
    "shipped_change",
    "times",
]


def code(items: Any) -> Markup:
    """Names set as code: one, or ``a, b and c``."""
    items = [items] if isinstance(items, str) else list(items)
    return Markup(fmt.names(Markup("<code>{}</code>").format(item) for item in items))


def dotted(name: Any) -> Markup:
    """A name set as code that may break after its dots, for a narrow column."""
    pieces = str(name).split(".")
    return Markup("<code>{}</code>").format(Markup(".<wbr>").join(pieces))


def sampler_title(name: str) -> str:
    """What a sampler is called: by its kind, or the class at the end of an import path."""
    titles = {str(m.model_fields["kind"].default): m.title for m in SAMPLERS}
    return titles.get(name) or re.split(r"[:.]", name)[-1]


def listed(items: list[str], most: int = 6) -> Markup:
    """Names set as code, no more than ``most`` of them; the rest are counted."""
    if len(items) <= most + 1:
        return code(items)
    return say(
        "{} and {} more", Markup(", ").join(code(item) for item in items[:most]), len(items) - most
    )


def say(text: str, *values: Any) -> Markup:
    """``text`` with ``{}`` filled in and escaped, markup left as it is."""
    return Markup(text).format(*values)


def metric_of(documents: Documents) -> str:
    """The score's name, from whichever document has it."""
    d = documents
    found = (d.run, d.search, d.ablation, d.final, d.compression)
    return next((each.metric for each in found if each is not None and each.metric), "score")


def score_shown(documents: Documents) -> tuple[Interval | None, str, str]:
    """The best-founded score there is: (interval, what it is, what it was measured on)."""
    metric = metric_of(documents)
    evaluation, search = documents.evaluation, documents.search
    tested = None if evaluation is None else evaluation.metrics.get(metric)
    if evaluation is not None and tested is not None:
        rows = evaluation.rows
        on = f"{fmt.count(rows)} test rows" if rows else "the test rows"
        return (
            tested,
            f"test {fmt.words(metric)}",
            f"{fmt.plural(tested.n, 'final seed')}, {on}",
        )
    final = None if documents.final is None else documents.final.score
    if final is not None:
        on = f"{fmt.plural(final.n, 'final seed')}, validation rows"
        return final, f"validation {fmt.words(metric)}", on
    best = None if search is None or search.best is None else search.best.interval
    if best is not None:
        return (
            best,
            f"validation {fmt.words(metric)}",
            f"{fmt.plural(best.n, 'fresh seed')}, validation rows",
        )
    return None, fmt.words(metric), ""


# -- what was asked --------------------------------------------------------------------------------


def asked(documents: Documents) -> list[Markup]:
    """The question, as sentences."""
    out: list[Markup] = []
    if not any(documents.each()):
        return out
    data, search = documents.data or DataRecord(), documents.search
    ablation, compressed = documents.ablation, documents.compression
    task = (documents.run and documents.run.task) or data.task or "prediction"
    metric = fmt.words(metric_of(documents))
    ways = (documents.run, search, documents.baselines, compressed)
    known = (d.higher_is_better for d in ways if d is not None)
    higher = next((each for each in known if each is not None), None)
    order = "" if higher is None else f" ({'higher' if higher else 'lower'} is better)"
    on: str | Markup = say(" on {}", code(data.source)) if data.source else ""
    if data.target:
        on = say(" of {}{}", code(data.target), on)
    out.append(say("{}{}, scored by {}{}.", str(task).capitalize(), on, metric, order))
    if search is not None and search.trials:
        searched = fmt.plural(len(search.ranges), "open setting")
        trials = fmt.plural(len(search.trials), "trial")
        by = sampler_title(search.sampler or "search")
        out.append(say("Which values of {} are best? {} by {}.", searched, trials, by))
    if ablation is not None and ablation.comparisons:
        parts, seeds = (
            fmt.plural(len(ablation.comparisons), "part"),
            fmt.plural(len(ablation.seeds or ()), "seed"),
        )
        small = fmt.number(ablation.smallest_effect)
        out.append(
            say(
                "Which of {} matter? Each was left out over {}; effects below {} were declared "
                "not to matter.",
                parts,
                seeds,
                small,
            )
        )
    if compressed is not None and compressed.budget is not None:
        budget = fmt.number(compressed.allowed_drop or compressed.budget)
        out.append(
            say("How small may the model get, if it may lose at most {} of {}?", budget, metric)
        )
    return out


# -- the answer ------------------------------------------------------------------------------------


def answer(documents: Documents) -> list[Markup]:
    """The answer, as sentences: score, parts, simplification, what is shipped. Says what is
    missing.
    """
    return [
        s
        for s in (
            _score(documents),
            *compared(documents),
            *_parts(documents),
            _simplified(documents),
            _shipped(documents),
            _file(documents),
        )
        if s
    ]


def _score(documents: Documents) -> Markup:
    shown, what, on = score_shown(documents)
    search = documents.search
    if shown is None:
        trials = [t for t in search.trials if fmt.finite(t.score)] if search is not None else []
        if not trials:
            return say("No training has finished yet, so there is no answer.")
        return say(
            "{} finished, but none was trained again on fresh seeds: there is no score with an "
            "interval yet.",
            fmt.plural(len(trials), "trial"),
        )
    sentence = say("The {} is <strong>{}</strong> ({}).", what, fmt.interval(shown), on)
    best = search and search.best and search.best.trial
    if "final" not in documents and best is not None:
        return say("{} It belongs to trial {}; no final training was run.", sentence, best)
    return sentence


def compared(documents: Documents) -> list[Markup]:
    """What the baselines say about the model, the constant first; loud where it is not shown to
    beat the constant.
    """
    found = documents.baselines
    if found is None or not found.verdict:
        return []
    text = found.verdict
    sentence = say("{}.", text[:1].upper() + text[1:])
    if not found.beats_constant:
        sentence = say("<strong class='warning'>{}</strong>", sentence)
    better = ahead_of_the_model(found.metric, found.baselines, found.file)
    return [sentence, *(say("{}.", note[:1].upper() + note[1:]) for note in better)]


def by_verdict(ablation: AblationRecord) -> dict[str, list[str]]:
    """Names of the parts under each verdict, in the order of the document."""
    out: dict[str, list[str]] = {
        "helps": [],
        "needed": [],
        "hurts": [],
        "no difference": [],
        "undecided": [],
    }
    for row in ablation.comparisons:
        out[row.verdict or "undecided"].append(row.name)
    return out


def _verb(items: list[str], one: str, many: str) -> str:
    return one if len(items) == 1 else many


def _parts(documents: Documents) -> Iterable[Markup]:
    ablation = documents.ablation
    if ablation is None or not ablation.comparisons:
        return
    groups = by_verdict(ablation)
    clauses = []
    if groups["helps"]:
        clauses.append(
            say("{} {}", listed(groups["helps"]), _verb(groups["helps"], "helps", "help"))
        )
    rows = {row.name: row for row in ablation.comparisons}
    clauses += [
        say("{} is needed ({})", code(name), remark(rows[name], 0.0)) for name in groups["needed"]
    ]
    if groups["hurts"]:
        clauses.append(
            say("{} {}", listed(groups["hurts"]), _verb(groups["hurts"], "hurts", "hurt"))
        )
    identical = [name for name in groups["no difference"] if rows[name].identical]
    if identical:
        makes = _verb(identical, "makes", "make")
        clauses.append(say("{} {} no difference (no prediction changes)", listed(identical), makes))
    if same := [name for name in groups["no difference"] if name not in identical]:
        small = fmt.number(ablation.smallest_effect)
        clauses.append(
            say(
                "{} {} no difference (within ±{})",
                listed(same),
                _verb(same, "makes", "make"),
                small,
            )
        )
    if clauses:
        yield Markup("{}.").format(Markup("; ").join(clauses))
    if groups["undecided"]:
        yield say("Of {} we cannot tell.", listed(groups["undecided"]))
    for name, row in rows.items():
        if row.saved is not None and row.verdict != "hurts":
            yield say("{} is there to save time: {}.", code(name), remark_saved(row.saved))


def _simplified(documents: Documents) -> Markup | None:
    simplified = (documents.ablation and documents.ablation.simplified) or SimplifiedRecord()
    dropped, kept = list(simplified.dropped), list(simplified.kept)
    if not dropped and not kept:
        return None
    if not dropped:
        return say(
            "Dropping {} was not shown to be without loss, so nothing was dropped.", listed(kept)
        )
    passed = [
        check
        for check in simplified.checks
        if check.accepted and set(check.without) == set(dropped)
    ]
    if passed and passed[-1].identical:
        checked = say(", which changed no prediction")
    elif passed:
        level, shown = (
            fmt.level(passed[-1].difference.confidence),
            fmt.interval(passed[-1].difference, sign=True),
        )
        checked = say(" (gain {}, {} interval)", shown, level)
    else:
        checked = say(", which changed no prediction on any seed of the ablation")
    back = (
        say(" {} came back: not shown to be without loss as well.", listed(kept))
        if kept
        else say("")
    )
    return say("The recipe goes on without {}{}.{}", listed(dropped), checked, back)


@dataclass(frozen=True)
class Change:
    """What ships beside what it is compared with.

    Attributes:
        chosen: the candidate that ships.
        before: the first one.
        batch: the size at which latencies are compared.
        smaller, faster: how many times; None where that is not known.
    """

    chosen: CandidateRecord
    before: CandidateRecord
    batch: str
    smaller: float | None
    ms_before: float | None
    ms_after: float | None
    faster: float | None


def shipped_change(compressed: CompressionRecord | None) -> Change | None:
    """What was shipped beside what it is compared with; None where nothing was chosen."""
    candidates = {c.name: c for c in compressed.candidates} if compressed is not None else {}
    chosen = candidates.get((compressed and compressed.chosen) or "")
    if chosen is None:
        return None
    first = next(iter(candidates.values()))
    batch = next(iter(chosen.latency), "1")
    before, after = (c.latency.get(batch, LatencyRecord()).median_ms for c in (first, chosen))
    return Change(
        chosen=chosen,
        before=first,
        batch=batch,
        smaller=first.bytes / chosen.bytes if first.bytes and chosen.bytes else None,
        ms_before=before,
        ms_after=after,
        faster=before / after if before is not None and after is not None and after > 0 else None,
    )


def times(ratio: float | None, more: str, less: str) -> str:
    """``3.1 × smaller``, ``1.2 × larger``, ``about the same``: a ratio that reads the right way
    round.
    """
    if ratio is None or not math.isfinite(ratio) or ratio <= 0:
        return fmt.ABSENT
    if abs(ratio - 1) < 0.02:
        return "about the same"
    return f"{ratio:.2g}\u00a0× {more}" if ratio > 1 else f"{1 / ratio:.2g}\u00a0× {less}"


def _shipped(documents: Documents) -> Markup | None:
    change = shipped_change(documents.compression)
    if change is None:
        return None
    chosen, before = change.chosen, change.before
    if chosen.name == before.name:
        return say(
            "What ships is {}, {}: nothing smaller kept the budget.",
            code(chosen.name),
            fmt.size(chosen.bytes),
        )
    size = say(
        "{} instead of {} ({})",
        fmt.size(chosen.bytes),
        fmt.size(before.bytes),
        times(change.smaller, "smaller", "larger"),
    )
    speed = say(
        "{} instead of {} at batch {} ({})",
        fmt.ms(change.ms_after),
        fmt.ms(change.ms_before),
        change.batch,
        times(change.faster, "faster", "slower"),
    )
    lost = chosen.score_drop
    metric = fmt.words(metric_of(documents))
    cost = (
        say(" It loses {} of {} on the validation rows.", fmt.interval(lost), metric)
        if lost
        else say("")
    )
    return say(
        "What ships is {}: {}, {}, both against {}.{}",
        code(chosen.name),
        size,
        speed,
        code(before.name),
        cost,
    )


def _file(documents: Documents) -> Markup | None:
    """The quality of the very file that ships, which is not that of an average training."""
    shipped, metric = documents.shipped, metric_of(documents)
    measured = None if shipped is None else shipped.metrics.get(metric)
    if shipped is None or measured is None:
        return None
    return say(
        "The file that ships has {} <strong>{}</strong> on the {} test rows (interval over the "
        "rows).",
        fmt.words(metric),
        fmt.interval(measured),
        fmt.count(shipped.rows),
    )


def parity(shipped: ShippedRecord) -> Markup:
    """How far the file that ships is from the PyTorch model that it came from, on the test rows."""
    found = shipped.parity
    furthest = say(
        "its raw outputs differ by at most {}",
        fmt.number(found.max_output_difference, None, 2),
    )
    if found.share_of_changed_classes is not None:
        return say(
            "Against the PyTorch model that it came from, {}, a class's probability by at most "
            "{}, and {} of the {} test rows "
            "get another class.",
            furthest,
            fmt.number(found.max_probability_difference, None, 2),
            fmt.percent(found.share_of_changed_classes),
            fmt.count(found.rows),
        )
    return say(
        "Against the PyTorch model that it came from, {}, and its predictions by at most {}, on "
        "the {} test rows.",
        furthest,
        fmt.number(found.max_prediction_difference, None, 2),
        fmt.count(found.rows),
    )


def not_there(missing: Mapping[str, str]) -> str:
    """The absent documents in reading form: ``search, ablation or bundle``."""
    return fmt.names((STAGES[name][0] for name in missing), last="or")
