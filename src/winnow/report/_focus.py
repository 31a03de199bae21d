"""The range that a figure opens with, where a few values would squash the rest."""

from __future__ import annotations

from collections.abc import Sequence

from winnow.report import _format as fmt
from winnow.report._curves import score_curve
from winnow.report._errors import NothingToDraw
from winnow.study import FinalRecord, SearchRecord, TrialRecord

__all__ = ["curve_focus", "scored", "search_focus"]

Window = tuple[float, float]
FEWEST = 8  # values, below which all of them are shown
REACH = 3  # interquartile ranges beyond a quartile, within which a value is shown
PADDING = 0.06  # of the range, on either side


def scored(search: SearchRecord) -> list[tuple[TrialRecord, float]]:
    """Return the trials that have a score, with it.

    Raises:
        NothingToDraw: no trial has one.
    """
    trials = [(t, t.score) for t in search.trials if t.score is not None and fmt.finite(t.score)]
    if not trials:
        raise NothingToDraw("No trial finished, so there is no history to draw.")
    return trials


def search_focus(search: SearchRecord) -> Window | None:
    """Return the range of scores that the figures of the search open with.

    Trials that are far worse than the rest are left outside; zooming out shows them.

    Returns:
        The range; None: that of all scores.
    """
    scores = [t.score for t in search.trials if t.score is not None and fmt.finite(t.score)]
    ends: list[float] = []
    for leader in search.leaders:
        if leader.interval is not None:
            ends += [leader.interval.low, leader.interval.high]
    is_higher_better = search.higher_is_better is not False
    # The best trials are what the reader looks for, so none of them is far on the good side.
    return _window(
        scores,
        always=[end for end in ends if fmt.finite(end)],
        keep_low=not is_higher_better,
        keep_high=is_higher_better,
    )


def curve_focus(final: FinalRecord) -> Window | None:
    """Return the range that the score's curves open with, when the first epochs would squash the
    rest.

    Returns:
        The range; None: all of it.
    """
    done = [outcome for outcome in final.outcomes if outcome.curves]
    key = score_curve(done)
    if key is None:
        return None
    values: list[float] = []
    for outcome in done:
        values += [value for value in outcome.curves.get(key, ()) if fmt.finite(value)]
    return _window(values, keep_low=False, keep_high=False)


def _window(
    values: Sequence[float], *, always: Sequence[float] = (), keep_low: bool, keep_high: bool
) -> Window | None:
    """Return a range without the values that lie far from the others.

    Args:
        values: of which it is the range.
        always: lie within it.
        keep_low: nothing is far on the low side.
        keep_high: nothing is far on the high side.

    Returns:
        The range; None when no value is far, or there are few.
    """
    ordered = sorted(values)
    if len(ordered) < FEWEST:
        return None
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = REACH * (high - low)
    kept = [
        value
        for value in ordered
        if (keep_low or value >= low - reach) and (keep_high or value <= high + reach)
    ]
    if len(kept) == len(ordered) or kept[0] == kept[-1]:
        return None
    bottom, top = min([kept[0], *always]), max([kept[-1], *always])
    pad = PADDING * (top - bottom)
    return bottom - pad, top + pad
