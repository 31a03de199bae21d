"""What the report says in sentences. Each function reads documents and returns text; names of
the user's are escaped in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


def code(items: str | Iterable[str]) -> Markup:
    """Return names set as code: one, or ``a, b and c``."""
    names = [items] if isinstance(items, str) else list(items)
    return Markup(fmt.names(say("<code>{}</code>", name) for name in names))


def dotted(name: object) -> Markup:
    """Return a name set as code that may break after its dots, for a narrow column."""
    pieces = str(name).split(".")
    return say("<code>{}</code>", Markup(".<wbr>").join(pieces))


def sampler_title(name: str) -> str:
    """Return what a sampler is called: by its kind, or the class at the end of an import path."""
    for sampler in SAMPLERS:
        if sampler.model_fields["kind"].default == name:
            return sampler.title
    return re.split(r"[:.]", name)[-1]


def listed(items: Sequence[str], most: int = 6) -> Markup:
    """Return names set as code, no more than ``most`` of them; the rest are counted."""
    # One more name takes no more room than "and 1 more".
    if len(items) <= most + 1:
        return code(items)
    shown = Markup(", ").join(code(item) for item in items[:most])
    return say("{} and {} more", shown, len(items) - most)


def say(text: str, *values: object) -> Markup:
    """Return ``text`` with ``{}`` filled in and escaped, markup left as it is."""
    return Markup(text).format(*values)


def metric_of(documents: Documents) -> str:
    """Return the name of the score, from whichever document has it."""
    d = documents
    for document in (d.run, d.search, d.ablation, d.final, d.compression):
        if document is not None and document.metric:
            return document.metric
    return "score"


class ShownScore(NamedTuple):
    """The best-founded score there is.

    Attributes:
        interval: None where nothing was measured.
        what: it is, in words.
        on: what it was measured.
    """

    interval: Interval | None
    what: str
    on: str


def score_shown(documents: Documents) -> ShownScore:
    """Return the best-founded score there is: test rows before validation rows, final seeds before
    the leaders of the search.
    """
    metric = metric_of(documents)
    words = fmt.words(metric)
    evaluation, final, search = documents.evaluation, documents.final, documents.search
    tested = None if evaluation is None else evaluation.metrics.get(metric)
    if evaluation is not None and tested is not None:
        rows = f"{fmt.count(evaluation.rows)} test rows" if evaluation.rows else "the test rows"
        on = f"{fmt.plural(tested.n, 'final seed')}, {rows}"
        return ShownScore(tested, f"test {words}", on)
    validated = None if final is None else final.score
    if validated is not None:
        on = f"{fmt.plural(validated.n, 'final seed')}, validation rows"
        return ShownScore(validated, f"validation {words}", on)
    best = None if search is None or search.best is None else search.best.interval
    if best is not None:
        on = f"{fmt.plural(best.n, 'fresh seed')}, validation rows"
        return ShownScore(best, f"validation {words}", on)
    return ShownScore(None, words, "")


# -- what was asked --------------------------------------------------------------------------------


def asked(documents: Documents) -> list[Markup]:
    """Return the question, as sentences."""
    if not any(documents.each()):
        return []
    sentences = [_task(documents)]
    search, ablation, compressed = documents.search, documents.ablation, documents.compression
    if search is not None and search.trials:
        sentences.append(
            say(
                "Which values of {} are best? {} by {}.",
                fmt.plural(len(search.ranges), "open setting"),
                fmt.plural(len(search.trials), "trial"),
                sampler_title(search.sampler or "search"),
            )
        )
    if ablation is not None and ablation.comparisons:
        sentences.append(
            say(
                "Which of {} matter? Each was left out over {}; effects below {} were declared "
                "not to matter.",
                fmt.plural(len(ablation.comparisons), "part"),
                fmt.plural(len(ablation.seeds or ()), "seed"),
                fmt.number(ablation.smallest_effect),
            )
        )
    if compressed is not None and compressed.budget is not None:
        sentences.append(
            say(
                "How small may the model get, if it may lose at most {} of {}?",
                fmt.number(compressed.allowed_drop or compressed.budget),
                fmt.words(metric_of(documents)),
            )
        )
    return sentences


def _task(documents: Documents) -> Markup:
    """Return what is to be predicted from what, and how that is scored."""
    data = documents.data or DataRecord()
    task = (documents.run and documents.run.task) or data.task or "prediction"
    place = say(" on {}", code(data.source)) if data.source else say("")
    if data.target:
        place = say(" of {}{}", code(data.target), place)
    return say(
        "{}{}, scored by {}{}.",
        str(task).capitalize(),
        place,
        fmt.words(metric_of(documents)),
        _direction(documents),
    )


def _direction(documents: Documents) -> str:
    """Return which scores are better, from whichever document says it."""
    d = documents
    for document in (d.run, d.search, d.baselines, d.compression):
        if document is not None and document.higher_is_better is not None:
            return f" ({'higher' if document.higher_is_better else 'lower'} is better)"
    return ""


# -- the answer ------------------------------------------------------------------------------------


def answer(documents: Documents) -> list[Markup]:
    """Return the answer, as sentences: score, parts, simplification, what is shipped.

    They say what is missing.
    """
    sentences = [
        _score(documents),
        *compared(documents),
        *_parts(documents),
        _simplified(documents),
        _shipped(documents),
        _file(documents),
    ]
    return [sentence for sentence in sentences if sentence]


def _score(documents: Documents) -> Markup:
    shown = score_shown(documents)
    search = documents.search
    if shown.interval is None:
        scores = [] if search is None else [trial.score for trial in search.trials]
        scored = [score for score in scores if fmt.finite(score)]
        if not scored:
            return say("No training has finished yet, so there is no answer.")
        return say(
            "{} finished, but none was trained again on fresh seeds: there is no score with an "
            "interval yet.",
            fmt.plural(len(scored), "trial"),
        )
    score = fmt.interval(shown.interval)
    sentence = say("The {} is <strong>{}</strong> ({}).", shown.what, score, shown.on)
    best = search and search.best and search.best.trial
    if "final" not in documents and best is not None:
        return say("{} It belongs to trial {}; no final training was run.", sentence, best)
    return sentence


def compared(documents: Documents) -> list[Markup]:
    """Return what the baselines say about the model, the constant first.

    It is loud where the model is not shown to beat the constant.
    """
    found = documents.baselines
    if found is None or not found.verdict:
        return []
    verdict = _as_sentence(found.verdict)
    if not found.beats_constant:
        verdict = say("<strong class='warning'>{}</strong>", verdict)
    better = ahead_of_the_model(found.metric, found.baselines, found.file)
    return [verdict, *map(_as_sentence, better)]


def _as_sentence(text: str) -> Markup:
    return say("{}.", text[:1].upper() + text[1:])


def by_verdict(ablation: AblationRecord) -> dict[str, list[str]]:
    """Return the names of the parts under each verdict, in the order of the document."""
    names: dict[str, list[str]] = {
        "helps": [],
        "needed": [],
        "hurts": [],
        "no difference": [],
        "undecided": [],
    }
    for row in ablation.comparisons:
        names[row.verdict or "undecided"].append(row.name)
    return names


def _subject(names: Sequence[str], one: str, many: str) -> Markup:
    """Return names with the verb behind them, in its form for one or for many."""
    return say("{} {}", listed(names), one if len(names) == 1 else many)


def _parts(documents: Documents) -> Iterator[Markup]:
    """Yield which parts matter."""
    ablation = documents.ablation
    if ablation is None or not ablation.comparisons:
        return
    clauses = _verdict_clauses(ablation)
    if clauses:
        yield say("{}.", Markup("; ").join(clauses))
    undecided = by_verdict(ablation)["undecided"]
    if undecided:
        yield say("Of {} we cannot tell.", listed(undecided))
    for row in ablation.comparisons:
        if row.saved is not None and row.verdict != "hurts":
            yield say("{} is there to save time: {}.", code(row.name), remark_saved(row.saved))


def _verdict_clauses(ablation: AblationRecord) -> list[Markup]:
    """Return a clause for each verdict, but for that which decides nothing."""
    names = by_verdict(ablation)
    rows = {row.name: row for row in ablation.comparisons}
    clauses: list[Markup] = []
    if names["helps"]:
        clauses.append(_subject(names["helps"], "helps", "help"))
    for name in names["needed"]:
        clauses.append(say("{} is needed ({})", code(name), remark(rows[name], 0.0)))
    if names["hurts"]:
        clauses.append(_subject(names["hurts"], "hurts", "hurt"))
    identical = [name for name in names["no difference"] if rows[name].identical]
    if identical:
        subject = _subject(identical, "makes", "make")
        clauses.append(say("{} no difference (no prediction changes)", subject))
    similar = [name for name in names["no difference"] if name not in identical]
    if similar:
        subject = _subject(similar, "makes", "make")
        smallest = fmt.number(ablation.smallest_effect)
        clauses.append(say("{} no difference (within ±{})", subject, smallest))
    return clauses


def _simplified(documents: Documents) -> Markup | None:
    """Return what was dropped from the recipe, on what ground, and what came back."""
    simplified = (documents.ablation and documents.ablation.simplified) or SimplifiedRecord()
    dropped, kept = simplified.dropped, simplified.kept
    if not dropped and not kept:
        return None
    if not dropped:
        return say(
            "Dropping {} was not shown to be without loss, so nothing was dropped.", listed(kept)
        )
    back = say("")
    if kept:
        back = say(" {} came back: not shown to be without loss as well.", listed(kept))
    ground = _ground(simplified)
    return say("The recipe goes on without {}{}.{}", listed(dropped), ground, back)


def _ground(simplified: SimplifiedRecord) -> Markup:
    """Return how the last check of the recipe without all that was dropped came out."""
    dropped = set(simplified.dropped)
    passed = [c for c in simplified.checks if c.accepted and set(c.without) == dropped]
    if not passed:
        return say(", which changed no prediction on any seed of the ablation")
    last = passed[-1]
    if last.identical:
        return say(", which changed no prediction")
    gain, level = fmt.interval(last.difference, sign=True), fmt.level(last.difference.confidence)
    return say(" (gain {}, {} interval)", gain, level)


@dataclass(frozen=True)
class ShippedChange:
    """What ships beside what it is compared with.

    Attributes:
        chosen: the candidate that ships.
        before: the first one.
        batch: the size at which latencies are compared.
        smaller: how many times; None where that is not known.
        ms_before, ms_after: median latencies of the two, in milliseconds.
        faster: how many times; None where that is not known.
    """

    chosen: CandidateRecord
    before: CandidateRecord
    batch: str
    smaller: float | None
    ms_before: float | None
    ms_after: float | None
    faster: float | None


def shipped_change(compressed: CompressionRecord | None) -> ShippedChange | None:
    """Return what ships beside what it is compared with; None where nothing was chosen."""
    if compressed is None:
        return None
    candidates = {candidate.name: candidate for candidate in compressed.candidates}
    chosen = candidates.get(compressed.chosen or "")
    if chosen is None:
        return None
    first = compressed.candidates[0]
    # Both at the batch size at which the chosen one was timed first
    batch = next(iter(chosen.latency), "1")
    before, after = _median_ms(first, batch), _median_ms(chosen, batch)
    return ShippedChange(
        chosen=chosen,
        before=first,
        batch=batch,
        smaller=_ratio(first.bytes, chosen.bytes),
        ms_before=before,
        ms_after=after,
        faster=_ratio(before, after),
    )


def _median_ms(candidate: CandidateRecord, batch: str) -> float | None:
    return candidate.latency.get(batch, LatencyRecord()).median_ms


def _ratio(before: float | None, after: float | None) -> float | None:
    """Return how many times ``after`` goes into ``before``; None where one is not known."""
    if before is None or not after:
        return None
    return before / after


def times(ratio: float | None, more: str, less: str) -> str:
    """Return a ratio that reads the right way round.

    ``3.1 × smaller``, ``1.2 × larger``, ``about the same``.

    Args:
        ratio: above 0; None: not known.
        more: the word for a ratio above 1.
        less: the word for one below.
    """
    if ratio is None or not math.isfinite(ratio) or ratio <= 0:
        return fmt.ABSENT
    if abs(ratio - 1) < 0.02:  # two digits would show it as 1
        return "about the same"
    if ratio > 1:
        return f"{ratio:.2g}\u00a0× {more}"
    return f"{1 / ratio:.2g}\u00a0× {less}"


def _shipped(documents: Documents) -> Markup | None:
    """Return what ships, how much smaller and faster it is, and what it loses."""
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
    cost = say("")
    if chosen.score_drop:
        drop, metric = fmt.interval(chosen.score_drop), fmt.words(metric_of(documents))
        cost = say(" It loses {} of {} on the validation rows.", drop, metric)
    return say(
        "What ships is {}: {}, {}, both against {}.{}",
        code(chosen.name),
        size,
        speed,
        code(before.name),
        cost,
    )


def _file(documents: Documents) -> Markup | None:
    """Return the quality of the very file that ships, which is not that of an average training."""
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
    """Return how far the file that ships is from the PyTorch model that it came from, on the test
    rows.
    """
    found = shipped.parity
    furthest = say(
        "its raw outputs differ by at most {}", fmt.number(found.max_output_difference, None, 2)
    )
    if found.share_of_changed_classes is not None:
        return say(
            "Against the PyTorch model that it came from, {}, a class's probability by at most "
            "{}, and {} of the {} test rows get another class.",
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
    """Return the absent documents in reading form: ``search, ablation or bundle``."""
    return fmt.names([STAGES[name][0] for name in missing], last="or")
