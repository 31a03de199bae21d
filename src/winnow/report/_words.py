"""What the report says in sentences. Each function reads documents and returns text; names of
the user's are escaped in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from winnow.methods import SAMPLERS
from winnow.report import _format as fmt
from winnow.report._tables import STAGES
from winnow.study import remark

__all__ = [
    "answer",
    "asked",
    "by_verdict",
    "checks",
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

Documents = Mapping[str, Mapping[str, Any]]
Document = Mapping[str, Any]


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
    found = (
        documents.get(name, {}).get("metric")
        for name in ("run", "search", "ablation", "final", "compression")
    )
    return next((str(metric) for metric in found if metric), "score")


def score_shown(documents: Documents) -> tuple[Document | None, str, str]:
    """The best-founded score there is: (interval, what it is, what it was measured on)."""
    metric = metric_of(documents)
    tested = (documents.get("evaluation", {}).get("metrics") or {}).get(metric)
    if tested:
        rows = documents["evaluation"].get("rows")
        on = f"{fmt.count(rows)} test rows" if rows else "the test rows"
        return (
            tested,
            f"test {fmt.words(metric)}",
            f"{fmt.plural(tested.get('n') or 0, 'final seed')}, {on}",
        )
    final = documents.get("final", {}).get("score")
    if final:
        on = f"{fmt.plural(final.get('n') or 0, 'final seed')}, validation rows"
        return final, f"validation {fmt.words(metric)}", on
    best = (documents.get("search", {}).get("best") or {}).get("interval")
    if best:
        return (
            best,
            f"validation {fmt.words(metric)}",
            f"{fmt.plural(best.get('n') or 0, 'fresh seed')}, validation rows",
        )
    return None, fmt.words(metric), ""


# -- what was asked --------------------------------------------------------------------------------


def asked(documents: Documents) -> list[Markup]:
    """The question, as sentences."""
    out: list[Markup] = []
    data, search, ablation = (documents.get(name, {}) for name in ("data", "search", "ablation"))
    task = documents.get("run", {}).get("task") or data.get("task") or "prediction"
    if not documents:
        return out
    metric = fmt.words(metric_of(documents))
    higher = next(
        (
            d["higher_is_better"]
            for d in documents.values()
            if d.get("higher_is_better") is not None
        ),
        None,
    )
    order = "" if higher is None else f" ({'higher' if higher else 'lower'} is better)"
    on = say(" on {}", code(str(data["source"]))) if data.get("source") else ""
    if data.get("target"):
        on = say(" of {}{}", code(str(data["target"])), on)
    out.append(say("{}{}, scored by {}{}.", str(task).capitalize(), on, metric, order))
    if search.get("trials"):
        searched = fmt.plural(len(search.get("ranges") or ()), "open setting")
        trials = fmt.plural(len(search["trials"]), "trial")
        by = sampler_title(search.get("sampler") or "search")
        out.append(say("Which values of {} are best? {} by {}.", searched, trials, by))
    if ablation.get("comparisons"):
        parts, seeds = (
            fmt.plural(len(ablation["comparisons"]), "part"),
            fmt.plural(len(ablation.get("seeds") or ()), "seed"),
        )
        small = fmt.number(ablation.get("smallest_effect"))
        out.append(
            say(
                "Which of {} matter? Each was left out over {}; effects below {} were declared "
                "not to matter.",
                parts,
                seeds,
                small,
            )
        )
    compressed = documents.get("compression", {})
    if compressed.get("budget") is not None:
        budget = fmt.number(compressed.get("allowed_drop") or compressed["budget"])
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
    if not shown:
        trials = [
            t for t in documents.get("search", {}).get("trials") or () if fmt.finite(t.get("score"))
        ]
        if not trials:
            return say("No training has finished yet, so there is no answer.")
        return say(
            "{} finished, but none was trained again on fresh seeds: there is no score with an "
            "interval yet.",
            fmt.plural(len(trials), "trial"),
        )
    sentence = say("The {} is <strong>{}</strong> ({}).", what, fmt.interval(shown), on)
    best = documents.get("search", {}).get("best") or {}
    if "final" not in documents and best.get("trial") is not None:
        return say("{} It belongs to trial {}; no final training was run.", sentence, best["trial"])
    return sentence


def compared(documents: Documents) -> list[Markup]:
    """What the baselines say about the model, the constant first; loud where it is not shown to
    beat the constant.
    """
    found = documents.get("baselines") or {}
    if not found.get("verdict"):
        return []
    text = str(found["verdict"])
    sentence = say("{}.", text[:1].upper() + text[1:])
    if not found.get("beats_constant"):
        sentence = say("<strong class='warning'>{}</strong>", sentence)
    better = [
        str(note) for note in found.get("notes") or () if "is better than the model" in str(note)
    ]
    return [sentence, *(say("{}.", note[:1].upper() + note[1:]) for note in better)]


def by_verdict(ablation: Document) -> dict[str, list[str]]:
    """Names of the parts under each verdict, in the order of the document."""
    out: dict[str, list[str]] = {
        "helps": [],
        "needed": [],
        "hurts": [],
        "no difference": [],
        "undecided": [],
    }
    for row in ablation.get("comparisons") or ():
        out.setdefault(row.get("verdict") or "undecided", []).append(str(row["name"]))
    return out


def _verb(items: list[str], one: str, many: str) -> str:
    return one if len(items) == 1 else many


def _parts(documents: Documents) -> Iterable[Markup]:
    ablation = documents.get("ablation")
    if not ablation or not ablation.get("comparisons"):
        return
    groups = by_verdict(ablation)
    clauses = []
    if groups["helps"]:
        clauses.append(
            say("{} {}", listed(groups["helps"]), _verb(groups["helps"], "helps", "help"))
        )
    rows = {str(row["name"]): row for row in ablation["comparisons"]}
    clauses += [
        say("{} is needed ({})", code(name), remark(rows[name], 0.0)) for name in groups["needed"]
    ]
    if groups["hurts"]:
        clauses.append(
            say("{} {}", listed(groups["hurts"]), _verb(groups["hurts"], "hurts", "hurt"))
        )
    identical = [name for name in groups["no difference"] if rows[name].get("identical")]
    if identical:
        makes = _verb(identical, "makes", "make")
        clauses.append(say("{} {} no difference (no prediction changes)", listed(identical), makes))
    if same := [name for name in groups["no difference"] if name not in identical]:
        small = fmt.number(ablation.get("smallest_effect"))
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
        if row.get("saved") and row.get("verdict") != "hurts":
            yield say(
                "{} is there to save time: {}.", code(name), remark({"saved": row["saved"]}, 0.0)
            )


def _simplified(documents: Documents) -> Markup | None:
    simplified = documents.get("ablation", {}).get("simplified") or {}
    dropped, kept = simplified.get("dropped") or [], simplified.get("kept") or []
    if not dropped and not kept:
        return None
    if not dropped:
        return say(
            "Dropping {} was not shown to be without loss, so nothing was dropped.", listed(kept)
        )
    passed = [
        check
        for check in checks(simplified)
        if check.get("accepted") and set(check["without"]) == set(dropped)
    ]
    if passed and passed[-1].get("identical"):
        checked = say(", which changed no prediction")
    elif passed and passed[-1].get("difference"):
        level, shown = (
            fmt.level(passed[-1]["difference"].get("confidence")),
            fmt.interval(passed[-1]["difference"], sign=True),
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


def checks(simplified: Document) -> list[Document]:
    """The checks of a simplification, in their order."""
    return list(simplified.get("checks") or ())


def shipped_change(compressed: Document) -> dict[str, Any] | None:
    """What was shipped beside what it is compared with: the chosen candidate, the first one,
    and size and speed ratios.
    """
    candidates = {c["name"]: c for c in compressed.get("candidates") or ()}
    chosen = candidates.get(compressed.get("chosen"))
    if chosen is None:
        return None
    first = next(iter(candidates.values()))

    def at(candidate: Document, batch: str) -> Any:
        return ((candidate.get("latency") or {}).get(batch) or {}).get("median_ms")

    batch = next(iter(chosen.get("latency") or {"1": None}))
    before, after = at(first, batch), at(chosen, batch)
    return {
        "chosen": chosen,
        "before": first,
        "batch": batch,
        "smaller": first["bytes"] / chosen["bytes"]
        if first.get("bytes") and chosen.get("bytes")
        else None,
        "ms_before": before,
        "ms_after": after,
        "faster": before / after
        if fmt.finite(before) and fmt.finite(after) and after > 0
        else None,
    }


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
    change = shipped_change(documents.get("compression") or {})
    if change is None:
        return None
    chosen, before = change["chosen"], change["before"]
    if chosen["name"] == before["name"]:
        return say(
            "What ships is {}, {}: nothing smaller kept the budget.",
            code(chosen["name"]),
            fmt.size(chosen.get("bytes")),
        )
    size = say(
        "{} instead of {} ({})",
        fmt.size(chosen["bytes"]),
        fmt.size(before["bytes"]),
        times(change["smaller"], "smaller", "larger"),
    )
    speed = say(
        "{} instead of {} at batch {} ({})",
        fmt.ms(change["ms_after"]),
        fmt.ms(change["ms_before"]),
        change["batch"],
        times(change["faster"], "faster", "slower"),
    )
    lost = chosen.get("score_drop")
    metric = fmt.words(metric_of(documents))
    cost = (
        say(" It loses {} of {} on the validation rows.", fmt.interval(lost), metric)
        if lost
        else say("")
    )
    return say(
        "What ships is {}: {}, {}, both against {}.{}",
        code(chosen["name"]),
        size,
        speed,
        code(before["name"]),
        cost,
    )


def _file(documents: Documents) -> Markup | None:
    """The quality of the very file that ships, which is not that of an average training."""
    shipped, metric = documents.get("shipped") or {}, metric_of(documents)
    measured = (shipped.get("metrics") or {}).get(metric)
    if not measured:
        return None
    return say(
        "The file that ships has {} <strong>{}</strong> on the {} test rows (interval over the "
        "rows).",
        fmt.words(metric),
        fmt.interval(measured),
        fmt.count(shipped.get("rows")),
    )


def parity(shipped: Document) -> Markup:
    """How far the file that ships is from the PyTorch model that it came from, on the test rows."""
    found = shipped.get("parity") or {}
    furthest = say(
        "its raw outputs differ by at most {}",
        fmt.number(found.get("max_output_difference"), None, 2),
    )
    if found.get("share_of_changed_classes") is not None:
        return say(
            "Against the PyTorch model that it came from, {}, a class's probability by at most "
            "{}, and {} of the {} test rows "
            "get another class.",
            furthest,
            fmt.number(found.get("max_probability_difference"), None, 2),
            fmt.percent(found["share_of_changed_classes"]),
            fmt.count(found.get("rows")),
        )
    return say(
        "Against the PyTorch model that it came from, {}, and its predictions by at most {}, on "
        "the {} test rows.",
        furthest,
        fmt.number(found.get("max_prediction_difference"), None, 2),
        fmt.count(found.get("rows")),
    )


def not_there(missing: Mapping[str, str]) -> str:
    """The absent documents in reading form: ``search, ablation or bundle``."""
    return fmt.names((STAGES[name][0] for name in missing), last="or")
