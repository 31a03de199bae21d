"""What the numbers can and cannot carry, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from winnow.report import _format as fmt
from winnow.report._documents import Documents
from winnow.report._focus import curve_focus, search_focus
from winnow.report._sentences import say, score_shown
from winnow.report._tables import trial_score
from winnow.stats import FEW_ROWS, Interval, smallest_seeds
from winnow.study import AblationRecord, FinalRecord, MemberRecord, SearchRecord

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
    """Say it when the seeds are too few for any part to be found significant, whatever its effect.

    Returns:
        A sentence or two; None where the seeds are enough.
    """
    numbers = [row.n for row in ablation.comparisons if row.n is not None]
    if not numbers:
        return None
    # Rounded, because 1 - 0.95 is a little above 0.05.
    alpha = round(1 - (ablation.confidence or 0.95), 10)
    pairs, num_parts = max(numbers), len(numbers)
    needed = smallest_seeds(num_parts, alpha)
    if pairs >= needed:
        return None
    # Of the exact sign-flip test, two-sided, after Holm's correction
    smallest_p = min(1.0, 2.0 / 2**pairs * num_parts)
    return say(
        "With {} and {} the smallest corrected p value that the test can give is {}, so "
        "<strong>no part could have been found to help or hurt at the level {}</strong>, however "
        "large its effect. At least {} are needed.",
        fmt.plural(pairs, "pair of seeds", "pairs of seeds"),
        fmt.plural(num_parts, "part"),
        fmt.p_value(smallest_p),
        fmt.number(alpha),
        fmt.plural(needed, "seed"),
    )


def leader_notes(search: SearchRecord) -> list[Markup]:
    """Say how far the order of the leaders can be trusted, and how much the search flattered
    them.
    """
    leaders: dict[int, Interval] = {}  # trial -> its scores on fresh seeds
    for leader in search.leaders:
        if leader.interval is not None and fmt.finite(leader.interval.mean):
            leaders[leader.trial] = leader.interval
    if not leaders:
        return [
            say(
                "No leader was trained again on fresh seeds: the best trial's score chose "
                "itself, and is flattered by that."
            )
        ]
    notes: list[Markup] = []
    is_higher_better = search.higher_is_better is not False
    if _first_two_overlap(list(leaders.values()), is_higher_better):
        notes.append(
            say(
                "The intervals of the first two leaders overlap: we cannot tell which of them is "
                "better."
            )
        )
    winner = search.best.trial if search.best is not None else None
    chosen_at = None if winner is None else trial_score(search, winner)
    again = None if winner is None else leaders.get(winner)
    if fmt.finite(chosen_at) and again is not None:
        among = f"; it still chose among {len(leaders)} leaders" if len(leaders) > 1 else ""
        notes.append(
            say(
                "Trial {} scored {} when it was chosen and {} on average on fresh seeds. The "
                "second number is the fairer one{}.",
                winner,
                fmt.number(chosen_at, fmt.places(again)),
                fmt.interval_mean(again),
                among,
            )
        )
    return notes


def _first_two_overlap(intervals: Sequence[Interval], is_higher_better: bool) -> bool:
    """Tell whether the intervals of the two best means overlap."""
    ranked = sorted(intervals, key=lambda interval: interval.mean, reverse=is_higher_better)
    if len(ranked) < 2:
        return False
    first, second = ranked[:2]
    if fmt.half_width(first) is None or fmt.half_width(second) is None:
        return False
    return first.low <= second.high and second.low <= first.high


def curve_notes(final: FinalRecord) -> list[Markup]:
    """Return what the final seeds' outcomes say beside their curves."""
    outcomes = final.outcomes
    notes: list[Markup] = []
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        notes.append(
            say(
                "{} of {} failed and count in no mean; see Notes.",
                len(failed),
                fmt.plural(len(outcomes), "seed"),
            )
        )
    at_end = [outcome for outcome in outcomes if _kept_its_last_epoch(outcome)]
    if outcomes and len(at_end) > len(outcomes) / 2:
        notes.append(
            say(
                "{} of {} kept the weights of the last epoch: more epochs may still have helped.",
                fmt.plural(len(at_end), "seed"),
                len(outcomes),
            )
        )
    return notes


def _kept_its_last_epoch(outcome: MemberRecord) -> bool:
    if outcome.status != "finished" or not outcome.epochs:
        return False
    return outcome.best_epoch == outcome.epochs - 1


def covers(documents: Documents) -> Markup:
    """Say what the headline's interval covers, and what it does not."""
    shown = score_shown(documents).interval
    assert shown is not None
    trainings = fmt.plural(shown.n, "training")
    evaluation = documents.evaluation
    if evaluation is not None and shown in evaluation.metrics.values():
        return say(
            "Brackets: the {} interval over {} that differ only in their seed, and over {} as a "
            "sample of rows like them. It says nothing about data from elsewhere.",
            fmt.level(shown.confidence),
            trainings,
            fmt.plural(evaluation.rows or 0, "test row"),
        )
    return say(
        "Brackets: the {} t interval of the mean over {} that differ only in their seed, on one "
        "fixed split. It covers the randomness of training; it does not cover the choice of rows, "
        "and says nothing about data from elsewhere.",
        fmt.level(shown.confidence),
        trainings,
    )


def few_rows(documents: Documents) -> Markup | None:
    """Say it when the test rows are so few that the mean alone would mislead."""
    rows = documents.evaluation and documents.evaluation.rows
    if not rows or rows >= FEW_ROWS:
        return None
    return say("{} are few: read the interval, not the mean.", fmt.plural(rows, "test row"))


def left_out(documents: Documents) -> Markup | None:
    """Say it when less was done than the recipe asks for, because the run was given minutes."""
    budget = documents.budget
    if budget is None or not budget.notes:
        return None
    return say(
        "The run was given {}, so less was done than the recipe asks for. {}.",
        _minutes(budget.minutes),
        "; ".join(budget.notes),
    )


def _minutes(minutes: float | None) -> str:
    if minutes is None:
        return "a limit"
    return f"{minutes:g} minute" if minutes == 1 else f"{minutes:g} minutes"


def outside(search: SearchRecord) -> str:
    """Say how many trials the figures of the search leave outside the range they open with.

    Returns:
        A sentence; empty where there are none.
    """
    window = search_focus(search)
    if window is None:
        return ""
    low, high = window
    hidden = 0
    for trial in search.trials:
        if trial.score is not None and fmt.finite(trial.score) and not low <= trial.score <= high:
            hidden += 1
    if not hidden:
        return ""
    poor = fmt.plural(hidden, "poor trial")
    return f"{poor} outside the range shown: a double click on the figure shows all."
