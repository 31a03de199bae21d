"""May the parts that did nothing go, all together? Checks on fresh seeds, and a way back when
they may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from winnow.recipe import Ablate, Outcome, metric_of
from winnow.stats import (
    FEWEST_PAIRS,
    Interval,
    at_confidence,
    difference_interval,
    least_deviation,
    row_step,
    shown_margin,
)
from winnow.study import _asking, _scores
from winnow.study._allowance import Allowance, Option
from winnow.study._arms import Arm, same_predictions, train_arms
from winnow.study._protocol import Plan
from winnow.study._records import Check, Ground

__all__ = [
    "MOST_CHECKS",
    "Simplification",
    "judge",
    "levels",
    "most_trainings",
    "simplify",
]

MOST_CHECKS = 4  # on fresh seeds, whatever they show


@dataclass(frozen=True)
class Simplification:
    """What came of it.

    Attributes:
        dropped: the parts that go.
        kept: parts that do nothing by themselves and stay.
        checks: in the order in which they were made.
        reason: in a sentence.
    """

    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    checks: tuple[Check, ...]
    reason: str


def simplify(
    reference: Arm,
    *,
    same: Sequence[str],
    idle: Sequence[str],
    metric: str,
    context: str,
    confidence: float,
    rows: int | None = None,
    row_worth: float | None = None,
    allowance: Allowance | None = None,
) -> Plan[Simplification]:
    """Find out which of the parts that do nothing by themselves may go together.

    Two parts that stand in for each other both do nothing; without both the recipe is another. So
    what goes is only what was trained without all of it at once:

    1. Everything in ``same`` and ``idle`` is left out, and the full recipe is trained beside it on
       fresh seeds. If that passes, all of it goes.
    2. Otherwise the parts in ``same``, whose removal changed no prediction, are left out together
       on the seeds of the ablation. If still no prediction changes, all of them go; if one does,
       the first goes, and the others join the rest.
    3. The rest comes in halves: the first half is left out as well, on fresh seeds. If that passes
       it goes, otherwise it is halved in its turn, and then the second half has its turn. A set
       that failed is not tried again, so of a redundant pair one part goes and one stays.

    There are at most ``MOST_CHECKS`` trainings on fresh seeds, each on its own, and each tests "not
    worse by the smallest effect or more" at its share of alpha = 1 - ``confidence``: half of alpha
    for the first, equal shares of the other half for the others (``levels``). The shares add up to
    alpha, and what is accepted was tested against the full recipe itself. So a true loss of the
    smallest effect is accepted in at most alpha of all simplifications, whatever the earlier checks
    showed.

    Checks end early where the scatter of the last one says that none of its size could pass.

    Args:
        reference: the full recipe with its outcomes in the ablation.
        same: parts without which no prediction changed.
        idle: parts that make no difference or hurt, the most harmless first.
        rows: of the validation part, if known.
        row_worth: by how much one of them can move the score at most; None: by 1 / ``rows`` of its
            range.
        allowance: decides whether there is time for each check on fresh seeds; parts stay that were
            not checked.
    """
    ask, recipe = reference.recipe.ablate, reference.recipe
    share = levels(_possible(ask.seeds, len(same) + len(idle)), 1 - confidence)
    checks: list[Check] = []
    failed: list[set[str]] = []
    made = 0

    def next_seeds() -> list[int]:
        return _asking.fresh_seeds(recipe, f"check {made}" if made else "check", ask.seeds)

    def in_time(without: Sequence[str]) -> bool:
        if allowance is None:
            return True
        both = (recipe, recipe.without(*without))
        variants = [
            r.variant(seed, metric=metric, context=context) for r in both for seed in next_seeds()
        ]
        what = "another check" if made else "a check"
        options = [
            Option(f"{what} of what may go", variants),
            Option(f"not {what} of what may go: what was not checked stays"),
        ]
        return allowance.choose(f"ablate: check {made}", options) == 0

    def look(without: Sequence[str]) -> Plan[Check]:
        nonlocal made
        seeds = next_seeds()
        versions = [Arm("full", recipe), Arm("simplified", recipe.without(*without))]
        full, simplified = yield from train_arms(versions, seeds, metric, context)
        check = judge(
            full,
            simplified,
            without,
            metric=metric,
            ask=ask,
            alpha=share[made],
            confidence=confidence,
            rows=rows,
            row_worth=row_worth,
        )
        made += 1
        checks.append(check)
        if not check.accepted:
            failed.append(set(without))
        return check

    if idle and share and in_time([*same, *idle]):
        check = yield from look([*same, *idle])
        if check.accepted:
            return Simplification(check.without, (), tuple(checks), check.reason)
    gone, rest = list(same), list[str]()
    if len(same) > 1:
        together = yield from train_arms(
            [Arm("simplified", recipe.without(*same))],
            [v.seed for v in reference.variants],
            metric,
            context,
        )
        check = _changes_nothing(
            reference, together[0], same, metric=metric, confidence=confidence, rows=rows
        )
        checks.append(check)
        if not check.accepted:
            gone, rest = list(same[:1]), list(same[1:])
    pending = [[*rest, *idle]]
    while pending:
        group = pending.pop(0)
        if not group:
            continue
        if {*gone, *group} not in failed:
            if made == len(share) or (
                checks and _hopeless(checks, share[made], ask, metric, rows, row_worth)
            ):
                break
            if not in_time([*gone, *group]):
                break
            check = yield from look([*gone, *group])
            if check.accepted:
                gone += group
                continue
        if len(group) > 1:
            middle = (len(group) + 1) // 2
            pending = [group[:middle], group[middle:], *pending]
    kept = [name for name in (*same, *idle) if name not in gone]
    return Simplification(
        tuple(gone), tuple(kept), tuple(checks), _summary(gone, kept, same, checks)
    )


def levels(checks: int, alpha: float) -> list[float]:
    """The level of each of at most so many checks, which add up to ``alpha``: half for the
    first, the rest in equal shares.
    """
    if checks < 2:
        return [alpha] * checks
    return [alpha / 2, *[alpha / 2 / (checks - 1)] * (checks - 1)]


def most_trainings(seeds: int, parts: int) -> int:
    """The most trainings that ``simplify`` asks for with so many parts."""
    return 2 * seeds * _possible(seeds, parts) + (seeds if parts > 1 else 0)


def _possible(seeds: int, parts: int) -> int:
    """How many checks on fresh seeds there can be: of two parts, both together and then each by
    itself; none on too few seeds.
    """
    return min(MOST_CHECKS, 2**parts - 1) if seeds >= FEWEST_PAIRS else 0


def judge(
    full: Arm,
    simplified: Arm,
    without: Sequence[str],
    *,
    metric: str,
    ask: Ablate,
    alpha: float,
    confidence: float,
    rows: int | None = None,
    row_worth: float | None = None,
) -> Check:
    """Accept the simplified recipe only where the check shows that it is not worse.

    With [low, high] the t interval of simplified minus full (positive is better) whose lower end is
    that of a one-sided test at ``alpha``, both ends half a row over the pairs farther out as a
    continuity correction, and s the smallest effect (0 where the score cannot show less than a row,
    see ``shown_margin``):

    1. rejected when more trainings of the simplified recipe fail than of the full one, or fewer
       than ``FEWEST_PAIRS`` pairs finish;
    2. accepted when no prediction differs on any seed;
    3. accepted when low > -s, or low >= 0: a loss of s or more is excluded;
    4. accepted when the mean is at least -s, only if ``ask.accept`` is ``mean``: that excludes
    nothing, and says so;
    5. rejected otherwise.

    Source: non-inferiority test with margin s (D. J. Schuirmann 1987, one of the two one-sided
    tests).
    """
    d, floor = _differences(full.outcomes, simplified.outcomes, metric, rows)
    difference = difference_interval(d, 1 - 2 * alpha, metric_of(metric).bounds, floor)
    # Continuity correction: means move in steps
    between = row_step(metric_of(metric).bounds, rows) / (2 * max(difference.n, 1))
    difference = replace(difference, low=difference.low - between, high=difference.high + between)
    identical = same_predictions(full, simplified)
    failed = [sum(not o.finished for o in arm.outcomes) for arm in (full, simplified)]
    margin = shown_margin(ask.smallest_effect, metric_of(metric).bounds, rows, row_worth)
    accepted, ground, reason = _decide(difference, identical, failed, margin, alpha, ask)
    return Check(
        without=tuple(without),
        full=_scores.score_interval(full.outcomes, metric, rows, confidence),
        simplified=_scores.score_interval(simplified.outcomes, metric, rows, confidence),
        difference=difference,
        accepted=accepted,
        identical=identical,
        reason=reason,
        ground=ground,
    )


def _decide(
    d: Interval, identical: bool, failed: Sequence[int], margin: float, alpha: float, ask: Ablate
) -> tuple[bool, Ground, str]:
    s = ask.smallest_effect
    if failed[1] > failed[0]:
        said = f"{failed[1]} trainings failed without these parts, {failed[0]} with them"
        return False, "failures", said
    if d.n < FEWEST_PAIRS:
        said = f"only {d.n} pairs of trainings finished, and it takes {FEWEST_PAIRS}"
        return False, "few pairs", said
    if identical:
        return True, "identical", f"not one prediction changed on {d.n} fresh seeds"
    if _passes(d, margin):
        least = f"by {s:g} or more" if margin else "at all"
        return (
            True,
            "shown",
            f"shown to be no worse {least} without these parts (difference {d}, one-sided test "
            f"at {alpha:.2g})",
        )
    loss = f"a loss of up to {-d.low:.4g} is not excluded"
    if ask.accept == "mean" and d.mean >= -s:
        return (
            True,
            "mean",
            f"accepted on the mean alone, as asked for (ablate.accept: mean): {loss} (difference "
            f"{d})",
        )
    if d.high < -margin:
        return (
            False,
            "worse",
            f"worse without these parts (difference {d}): together they matter",
        )
    return (
        False,
        "not shown",
        f"{d.n} fresh seeds cannot show that nothing is lost without these parts: {loss} "
        f"(difference {d})",
    )


def _passes(d: Interval, margin: float) -> bool:
    return d.low > -margin or d.low >= 0


def _hopeless(
    checks: Sequence[Check],
    alpha: float,
    ask: Ablate,
    metric: str,
    rows: int | None,
    row_worth: float | None,
) -> bool:
    """Whether the last check scattered so widely that another one of its size could not pass
    without being better.
    """
    last = checks[-1].difference
    margin = shown_margin(ask.smallest_effect, metric_of(metric).bounds, rows, row_worth)
    if ask.accept == "mean" or last.n < FEWEST_PAIRS or checks[-1].identical or last.high < -margin:
        return False
    narrow = at_confidence(last, 1 - 2 * alpha)
    return not _passes(replace(narrow, low=max(last.mean, 0.0) - (last.mean - narrow.low)), margin)


def _changes_nothing(
    reference: Arm,
    without: Arm,
    parts: Sequence[str],
    *,
    metric: str,
    confidence: float,
    rows: int | None,
) -> Check:
    """Whether the parts change no prediction together, on the seeds on which none did by itself."""
    d, floor = _differences(reference.outcomes, without.outcomes, metric, rows)
    same, n = same_predictions(reference, without), len(reference.outcomes)
    return Check(
        without=tuple(parts),
        full=_scores.score_interval(reference.outcomes, metric, rows, confidence),
        simplified=_scores.score_interval(without.outcomes, metric, rows, confidence),
        difference=difference_interval(d, confidence, metric_of(metric).bounds, floor),
        accepted=same,
        identical=same,
        reason=f"not one prediction changed on any of {n} seeds"
        if same
        else "each of these parts changes no prediction by itself, and together they do",
        ground="identical" if same else "together",
    )


def _differences(
    full: Sequence[Outcome], simplified: Sequence[Outcome], metric: str, rows: int | None
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], float]:
    """Simplified minus full at the seeds where both finished, and the least deviation that they
    are taken to have.
    """
    a, b = (np.asarray(_scores.scores(outcomes)) for outcomes in (full, simplified))
    d = b - a if metric_of(metric).higher_is_better else a - b
    return d, least_deviation(d[np.isfinite(d)], a, metric_of(metric).bounds, rows)


def _summary(
    gone: Sequence[str], kept: Sequence[str], same: Sequence[str], checks: Sequence[Check]
) -> str:
    if not checks:
        return (
            "not one prediction changed without it on any seed"
            if gone
            else "no check on fresh seeds was made"
        )
    if not gone:
        return checks[-1].reason
    passed = [check for check in checks if check.accepted]
    why = passed[-1].reason if passed else "not one prediction changed without it on any seed"
    if not kept:
        return why
    return f"{why}; not shown to be without loss beside that: {', '.join(kept)}"
