"""What the reader of an ablation should know, in words."""

from __future__ import annotations

from collections.abc import Sequence

from winnow.data import rounded_up
from winnow.recipe import metric_of
from winnow.stats import FEWEST_PAIRS, one_row, shown_margin, smallest_seeds
from winnow.study import _scores
from winnow.study._arms import Arm

__all__ = ["failed_trainings", "too_few_rows", "too_few_seeds"]


def too_few_rows(
    metric: str, smallest_effect: float, rows: int | None, row_worth: float | None
) -> list[str]:
    """Return a note where one validation row moves the score farther than the smallest effect.

    Args:
        metric: the score.
        smallest_effect: in units of the score.
        rows: of the validation part; None: not known.
        row_worth: by how much one of them can move the score at most; None: an average row counts.
    """
    scored_by = metric_of(metric)
    if rows is None:
        return []
    margin = shown_margin(smallest_effect, scored_by.bounds, rows, row_worth)
    if margin == smallest_effect:
        return []
    least = row_worth or one_row(0.0, scored_by.bounds, rows)
    which = " of the rarest class" if scored_by.by_class else ""
    return [
        f"one{which} of {rows} validation rows can move {metric} by {least:.2g}, so no part can be "
        f"shown to make no difference within {smallest_effect:g}, unless it changes no prediction "
        f"at all (ablate.smallest_effect: {rounded_up(least):g} or more)"
    ]


def too_few_seeds(num_arms: int, seeds: int, confidence: float) -> list[str]:
    """Return a note for each kind of verdict that so few seeds cannot give.

    Args:
        num_arms: parts that are left out.
        seeds: of each arm.
        confidence: that verdicts are judged at.
    """
    if not num_arms:
        return []
    notes = []
    needed = smallest_seeds(num_arms, 1 - confidence)
    if seeds < needed:
        notes.append(
            f"{seeds} seeds cannot show that one of {num_arms} parts helps or hurts at confidence "
            f"{confidence:g}, however large its effect: that takes at least {needed} seeds "
            f"(ablate.seeds)"
        )
    if seeds < FEWEST_PAIRS:
        notes.append(
            f"{seeds} seeds cannot show that a part makes no difference, even where no prediction "
            f"changes: that takes at least {FEWEST_PAIRS} seeds (ablate.seeds)"
        )
    return notes


def failed_trainings(arms: Sequence[Arm]) -> list[str]:
    """Return a note for each arm of which trainings failed, with the reasons."""
    notes = []
    for arm in arms:
        failed = [outcome for outcome in arm.outcomes if not outcome.finished]
        if not failed:
            continue
        which = f"without {arm.name}" if arm.part else "with all parts"
        notes.append(
            f"{which}: {len(failed)} of {len(arm.outcomes)} trainings failed: "
            f"{_scores.reasons(failed)}"
        )
    return notes
