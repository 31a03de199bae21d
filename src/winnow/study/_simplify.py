"""May the parts that did nothing go, all together? Checks on fresh seeds, and a way back when
they may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from winnow.stats import FEWEST_PAIRS
from winnow.study import _asking
from winnow.study._allowance import Allowance, Option
from winnow.study._arms import Arm, train_arms
from winnow.study._checks import Criterion, another_could_pass, check_no_change, check_not_worse
from winnow.study._protocol import Plan
from winnow.study._records import Check

__all__ = ["MOST_CHECKS", "Simplification", "levels", "most_trainings", "simplify"]

MOST_CHECKS = 4  # on fresh seeds, whatever they show


@dataclass(frozen=True)
class Simplification:
    """Which parts may go together, and the checks that decided.

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

    There are at most ``MOST_CHECKS`` checks, each on fresh seeds of its own, and each tests "not
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
        metric: the score.
        context: digest of the data and of the model's source.
        confidence: 1 - alpha, in (0.5, 1).
        rows: of the validation part, if known.
        row_worth: by how much one of them can move the score at most; None: by 1 / ``rows`` of its
            range.
        allowance: decides whether there is time for each check on fresh seeds; parts stay that were
            not checked.
    """
    recipe = reference.recipe
    criterion = Criterion(metric, recipe.ablate, confidence, rows, row_worth)
    parts = [*same, *idle]
    shares = levels(_possible(recipe.ablate.seeds, len(parts)), 1 - confidence)
    checks = _Checks(reference, criterion, context, shares, allowance)
    if idle and shares and checks.in_time(parts):
        check = yield from checks.on_fresh_seeds(parts)
        if check.accepted:
            return Simplification(check.without, (), tuple(checks.made), check.reason)
    gone = list(same)
    rest: list[str] = []
    if len(same) > 1:
        check = yield from checks.on_the_same_seeds(same)
        if not check.accepted:
            gone, rest = list(same[:1]), list(same[1:])
    gone = yield from _leave_out_in_halves(gone, [*rest, *idle], checks)
    kept = [name for name in parts if name not in gone]
    reason = _summary(gone, kept, checks.made)
    return Simplification(tuple(gone), tuple(kept), tuple(checks.made), reason)


def _leave_out_in_halves(
    gone: Sequence[str], rest: Sequence[str], checks: _Checks
) -> Plan[list[str]]:
    """Leave out as many parts of ``rest`` beside those that are gone as the checks allow; return
    all that are gone.
    """
    gone = list(gone)
    pending = [list(rest)]
    while pending:
        group = pending.pop(0)
        if not group:
            continue
        without = [*gone, *group]
        if not checks.have_rejected(without):
            if not checks.may_go_on or not checks.in_time(without):
                break
            check = yield from checks.on_fresh_seeds(without)
            if check.accepted:
                gone = without
                continue
        if len(group) > 1:
            middle = (len(group) + 1) // 2
            pending = [group[:middle], group[middle:], *pending]
    return gone


class _Checks:
    """The checks of a simplification: those that were made, and whether more may follow.

    Args:
        reference: the full recipe with its outcomes in the ablation.
        criterion: what the simplified recipes are judged by.
        context: digest of the data and of the model's source.
        shares: the level of each check on fresh seeds, in their order.
        allowance: decides whether there is time for each of these; None: there is.
    """

    def __init__(
        self,
        reference: Arm,
        criterion: Criterion,
        context: str,
        shares: Sequence[float],
        allowance: Allowance | None,
    ) -> None:
        self.made: list[Check] = []
        self._reference = reference
        self._recipe = reference.recipe
        self._criterion = criterion
        self._context = context
        self._shares = shares
        self._allowance = allowance
        self._num_fresh = 0  # of ``made``, on fresh seeds
        self._rejected: list[set[str]] = []

    @property
    def may_go_on(self) -> bool:
        """Whether a share of alpha is left, and another check could pass."""
        if self._num_fresh == len(self._shares):
            return False
        if not self.made:
            return True
        alpha = self._shares[self._num_fresh]
        return another_could_pass(self.made[-1], self._criterion, alpha=alpha)

    def have_rejected(self, without: Sequence[str]) -> bool:
        """Return whether a check on fresh seeds without just these parts has failed."""
        return set(without) in self._rejected

    def in_time(self, without: Sequence[str]) -> bool:
        """Return whether there is time for a check on fresh seeds without these parts."""
        if self._allowance is None:
            return True
        variants = [
            recipe.variant(seed, metric=self._criterion.metric, context=self._context)
            for recipe in (self._recipe, self._recipe.without(*without))
            for seed in self._fresh_seeds()
        ]
        what = "another check" if self._num_fresh else "a check"
        options = [
            Option(f"{what} of what may go", variants),
            Option(f"not {what} of what may go: what was not checked stays"),
        ]
        return self._allowance.choose(f"ablate: check {self._num_fresh}", options) == 0

    def on_fresh_seeds(self, without: Sequence[str]) -> Plan[Check]:
        """Train the full and the simplified recipe on fresh seeds, and judge the latter."""
        arms = [Arm("full", self._recipe), Arm("simplified", self._recipe.without(*without))]
        full, simplified = yield from train_arms(
            arms, self._fresh_seeds(), self._criterion.metric, self._context
        )
        alpha = self._shares[self._num_fresh]
        check = check_not_worse(full, simplified, without, self._criterion, alpha=alpha)
        self._num_fresh += 1
        self.made.append(check)
        if not check.accepted:
            self._rejected.append(set(without))
        return check

    def on_the_same_seeds(self, without: Sequence[str]) -> Plan[Check]:
        """Train the simplified recipe on the seeds of the ablation, and look for any change."""
        seeds = [variant.seed for variant in self._reference.variants]
        arm = Arm("simplified", self._recipe.without(*without))
        (simplified,) = yield from train_arms([arm], seeds, self._criterion.metric, self._context)
        check = check_no_change(self._reference, simplified, without, self._criterion)
        self.made.append(check)
        return check

    def _fresh_seeds(self) -> list[int]:
        """Return seeds of the next check: of its own, so that no check reuses another's luck."""
        purpose = f"check {self._num_fresh}" if self._num_fresh else "check"
        return _asking.fresh_seeds(self._recipe, purpose, self._criterion.ask.seeds)


def levels(checks: int, alpha: float) -> list[float]:
    """Return the level of each of at most so many checks; they add up to ``alpha``.

    The first gets half of it, because what passes it needs no other; the others share the rest.

    Args:
        checks: how many there may be.
        alpha: the probability that any of them may err with, in (0, 1).
    """
    if checks < 2:
        return [alpha] * checks
    others = checks - 1
    return [alpha / 2] + [alpha / 2 / others] * others


def most_trainings(seeds: int, parts: int) -> int:
    """Return the most trainings that ``simplify`` asks for.

    Args:
        seeds: of each arm.
        parts: that may go.
    """
    on_fresh_seeds = 2 * seeds * _possible(seeds, parts)
    on_the_same_seeds = seeds if parts > 1 else 0
    return on_fresh_seeds + on_the_same_seeds


def _possible(seeds: int, parts: int) -> int:
    """Return how many checks on fresh seeds there can be; none on too few seeds."""
    if seeds < FEWEST_PAIRS:
        return 0
    # Of two parts: both together, and then each by itself
    return min(MOST_CHECKS, 2**parts - 1)


def _summary(gone: Sequence[str], kept: Sequence[str], checks: Sequence[Check]) -> str:
    """Return why these parts went and those stayed, in a sentence."""
    unchanged = "not one prediction changed without it on any seed"
    if not checks:
        return unchanged if gone else "no check on fresh seeds was made"
    if not gone:
        return checks[-1].reason
    passed = [check for check in checks if check.accepted]
    # A single part that changed no prediction goes without a check
    why = passed[-1].reason if passed else unchanged
    if not kept:
        return why
    return f"{why}; not shown to be without loss beside that: {', '.join(kept)}"
