"""What the numbers can and cannot carry, in sentences."""

from __future__ import annotations

from markupsafe import Markup

from winnow.report import _format as fmt
from winnow.report._documents import Documents
from winnow.report._focus import curve_focus, search_focus
from winnow.report._words import say, score_shown
from winnow.stats import FEW_ROWS, smallest_seeds
from winnow.study import AblationRecord, FinalRecord, SearchRecord

__all__ = [
    "covers",
    "curve_focus",
    "curve_notes",
    "few_rows",
    "leader_notes",
    "left_out",
    "outside",
    "power_note",
]


def power_note(ablation: AblationRecord) -> Markup | None:
    """Said when the seeds are too few for any part to be found significant, whatever its effect."""
    rows = [c.n for c in ablation.comparisons if c.n is not None]
    if not rows:
        return None
    alpha = round(1 - (ablation.confidence or 0.95), 10)
    pairs, needed = max(rows), smallest_seeds(len(rows), alpha)
    if pairs >= needed:
        return None
    floor = min(1.0, 2.0 / 2**pairs * len(rows))
    return say(
        "With {} and {} the smallest corrected p value that the test can give is {}, so "
        "<strong>no part could have been found to "
        "help or hurt at the level {}</strong>, however large its effect. At least {} are needed.",
        fmt.plural(pairs, "pair of seeds", "pairs of seeds"),
        fmt.plural(len(rows), "part"),
        fmt.p_value(floor),
        fmt.number(alpha),
        fmt.plural(needed, "seed"),
    )


def leader_notes(search: SearchRecord) -> list[Markup]:
    """How far the order of the leaders can be trusted, and how much the search flattered them."""
    leaders = [
        (leader.trial, leader.interval)
        for leader in search.leaders
        if leader.interval is not None and fmt.finite(leader.interval.mean)
    ]
    if not leaders:
        return [
            say(
                "No leader was trained again on fresh seeds: the best trial's score chose "
                "itself, and is flattered by that."
            )
        ]
    out = []
    higher = search.higher_is_better is not False
    ranked = sorted((interval for _, interval in leaders), key=lambda i: i.mean, reverse=higher)
    if (
        len(ranked) > 1
        and fmt.half_width(ranked[0]) is not None
        and fmt.half_width(ranked[1]) is not None
    ):
        first, second = ranked[:2]
        if first.low <= second.high and second.low <= first.high:
            out.append(
                say(
                    "The intervals of the first two leaders overlap: we cannot tell which of "
                    "them is better."
                )
            )
    scores = {t.number: t.score for t in search.trials if fmt.finite(t.score)}
    best = search.best and search.best.trial
    again = next((interval for trial, interval in leaders if trial == best), None)
    if best in scores and again is not None:
        out.append(
            say(
                "Trial {} scored {} when it was chosen and {} on average on fresh seeds. The "
                "second number is the fairer one{}.",
                best,
                fmt.number(scores[best], fmt.places(again)),
                fmt.interval_mean(again),
                f"; it still chose among {len(leaders)} leaders" if len(leaders) > 1 else "",
            )
        )
    return out


def curve_notes(final: FinalRecord) -> list[Markup]:
    """What the final seeds' outcomes say beside their curves."""
    outcomes = final.outcomes
    failed = [o for o in outcomes if o.status == "failed"]
    out = []
    if failed:
        out.append(
            say(
                "{} of {} failed and count in no mean; see Notes.",
                len(failed),
                fmt.plural(len(outcomes), "seed"),
            )
        )
    at_end = [
        o for o in outcomes if o.status == "finished" and o.epochs and o.best_epoch == o.epochs - 1
    ]
    if outcomes and len(at_end) > len(outcomes) / 2:
        said = fmt.plural(len(at_end), "seed")
        out.append(
            say(
                "{} of {} kept the weights of the last epoch: more epochs may still have helped.",
                said,
                len(outcomes),
            )
        )
    return out


def covers(documents: Documents) -> Markup:
    """What the headline's interval covers, and what it does not."""
    shown, _, _ = score_shown(documents)
    assert shown is not None
    runs = fmt.plural(shown.n, "training")
    evaluation = documents.evaluation
    if evaluation is not None and shown in evaluation.metrics.values():
        return say(
            "Brackets: the {} interval over {} that differ only in their seed, and over {} as a "
            "sample of rows like them. It "
            "says nothing about data from elsewhere.",
            fmt.level(shown.confidence),
            runs,
            fmt.plural(evaluation.rows or 0, "test row"),
        )
    return say(
        "Brackets: the {} t interval of the mean over {} that differ only in their seed, on one "
        "fixed split. It covers the "
        "randomness of training; it does not cover the choice of rows, and says nothing about "
        "data from elsewhere.",
        fmt.level(shown.confidence),
        runs,
    )


def few_rows(documents: Documents) -> Markup | None:
    """Said when the test rows are so few that the mean alone would mislead."""
    rows = documents.evaluation and documents.evaluation.rows
    if not rows or rows >= FEW_ROWS:
        return None
    return say("{} are few: read the interval, not the mean.", fmt.plural(rows, "test row"))


def left_out(documents: Documents) -> Markup | None:
    """Said when less was done than the recipe asks for, because the run was given minutes."""
    budget = documents.budget
    if budget is None or not budget.notes:
        return None
    return say(
        "The run was given {}, so less was done than the recipe asks for. {}.",
        _minutes(budget.minutes),
        "; ".join(budget.notes),
    )


def _minutes(minutes: float | None) -> str:
    return "a limit" if minutes is None else f"{minutes:g} minute{'s' * (minutes != 1)}"


def outside(search: SearchRecord) -> str:
    """How many trials the search figures leave outside the range they open with; empty for none."""
    window = search_focus(search)
    if window is None:
        return ""
    n = sum(
        not window[0] <= t.score <= window[1]
        for t in search.trials
        if t.score is not None and fmt.finite(t.score)
    )
    return (
        f"{fmt.plural(n, 'poor trial')} outside the range shown: a double click on the figure "
        f"shows all."
        if n
        else ""
    )
