"""The minutes of a run: what each stage may take of them, what is left out for their sake, and
a record of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from winnow.errors import OutOfTime
from winnow.execution import Event, Runner, Workspace
from winnow.recipe import Outcome, Variant
from winnow.records import keep, recall
from winnow.study import (
    LEADERS,
    BudgetRecord,
    Decision,
    Option,
    is_about_trials,
    trials_after,
)

__all__ = ["WEIGHTS", "Budget", "StageOver", "TimedRunner"]

# Of the time that is left for training, over the stages still to come
WEIGHTS = {"search": 50.0, "ablate": 25.0, "train": 15.0}
SAFETY = 1.25  # what is planned must fit with so much to spare
# Of all that is left for training, which the first trials may take before they are stopped
FIRST_TRIALS = 0.75
# Of the time of the last trainings that even a few like them are taken to need
SMALLEST_SHARE = 0.3
STOPS_AFTER = "not finished when the time for it was over"
# After the last training come evaluation, compression, bundle and report, or the report alone. They
# load and write about as much as starting does, so that took is a measure of how fast this machine
# is now.
TAIL_SHARE, TAIL_SECONDS, TAIL_STARTS, TAIL_MORE = 0.08, 6.0, 1.5, 3.0
REPORT_SHARE, REPORT_SECONDS, REPORT_STARTS, REPORT_MORE = 0.03, 2.0, 0.5, 1.0
LONGEST_LATENCY, SHORTEST_LATENCY = 3.0, 0.2  # seconds for each batch size


class _Ledger(Protocol):
    def put_document(self, name: str, content: dict[str, Any], /) -> None: ...
    def get_document(self, name: str, /) -> dict[str, Any] | None: ...


class StageOver(BaseException):
    """Raised between two epochs when the time of a stage is over. No error, so that nobody
    takes it for a fault of a variant.
    """


class Budget:
    """Decides what there is time for.

    A stage gets its weight's share of what is left when it begins, so what one leaves is for those
    after it. What a question takes is estimated from the trainings before it. The answer is written
    down at once: a process that goes on with the run gives the same answers, so it asks for the
    same trainings. Trainings on record take no time.

    Args:
        minutes: for the whole run, what earlier processes took included.
        ledger: keeps the document ``budget``.
        known: gives the outcomes on record for some ids.
        stages: that will train, in order.
        goal: the last thing that is asked for: ``bundle``, ``found`` and so on.
        question: names all that is asked; decisions for another question, another goal or other
            minutes are not repeated.
        spent: seconds that earlier processes took.
        began: reading of the clock when this process began.
        clock: gives seconds.
    """

    def __init__(
        self,
        minutes: float,
        *,
        ledger: _Ledger,
        known: Callable[[Sequence[str]], Mapping[str, Outcome]],
        stages: Sequence[str],
        goal: str = "bundle",
        question: str = "",
        spent: float = 0.0,
        began: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.minutes, self.goal = minutes, goal
        self._asked = BudgetRecord(minutes, goal, question)
        self._clock, self._ledger, self._known = clock, ledger, known
        self._stages = [stage for stage in WEIGHTS if stage in stages]
        before = recall(ledger, BudgetRecord) or BudgetRecord()
        self._spent = max(spent, before.seconds)
        self._began = clock() if began is None else began
        self.end = self._began + 60 * minutes - self._spent
        starting, whole = clock() - self._began, 60 * minutes
        if goal == "bundle":
            self.reserve = max(TAIL_SECONDS, TAIL_SHARE * whole, TAIL_STARTS * starting + TAIL_MORE)
        else:
            self.reserve = max(
                REPORT_SECONDS, REPORT_SHARE * whole, REPORT_STARTS * starting + REPORT_MORE
            )
        self._decisions: dict[str, Decision] = {}
        self._cut: set[str] = set()  # ids of trainings that were not finished in time
        same = (before.minutes, before.goal, before.question) == (minutes, goal, question)
        self._finished = same and before.finished
        for one in before.decisions:
            # batches of trials that were made stay made, whatever the minutes are now
            if same or (is_about_trials(one.question) and not one.is_cut):
                self._decisions[one.question] = one
        if same:
            self._cut = set(before.cut)
        self._stage, self._question, self._stage_began = "", "", self._began
        self._until = self._last = self.end - self.reserve
        # Seconds, trainings, epochs of the last that were new
        self._measured: tuple[float, int, float] | None = None
        self._prior: float | None = None  # seconds of one training, before any was measured
        # Share of their epochs after which variants with early stopping have stopped
        self._stops = 1.0
        if self._finished:
            self.end = self._until = self._last = float("inf")
        self._put()

    # -- time --------------------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """Whether anything was decided already."""
        return bool(self._decisions) or self._finished

    @property
    def has_stopped(self) -> bool:
        """Whether trainings were stopped because their time was over."""
        return bool(self._cut)

    @property
    def seconds(self) -> float:
        """That the run has taken, earlier processes included."""
        return self._spent + self._clock() - self._began

    def left(self) -> float:
        """Seconds until the minutes are over."""
        return self.end - self._clock()

    def require(self, seconds: float, each: float | None = None) -> None:
        """Refuse to begin what cannot be finished.

        Args:
            seconds: of training that the least that can be asked for takes at least.
            each: about what one training takes; None: not known.

        Raises:
            OutOfTime: naming the minutes that it takes.
        """
        self._prior = each
        left = self._last - self._clock()
        if seconds <= left:
            return
        needed = (self.seconds + self.reserve + 1.1 * seconds) / 60
        before = f", of which {self._spent:.0f} s are used already" if self._spent else ""
        raise OutOfTime(
            f"{self.minutes:g} minutes{before} do not hold the least that is asked for: starting "
            f"took "
            f"{self._clock() - self._began:.1f} s, training takes {seconds:.1f} s or more, and "
            f"{self.reserve:.0f} s are kept for "
            f"what comes after it - give at least {max(needed, 0.01):.2g} minutes (--minutes, or "
            f"`minutes` in the recipe)"
        )

    def finish(self) -> None:
        """Note that everything asked for was done: who asks again only reads it, whatever it
        took.
        """
        self._finished = True
        self._put()

    def begin(self, stage: str) -> None:
        """A stage that trains begins; the question is not yet known."""
        self._stage, self._question = stage, ""
        later = self._stages[self._stages.index(stage) :] if stage in self._stages else [stage]
        now = self._stage_began = self._clock()
        share = WEIGHTS[stage] / sum(WEIGHTS[one] for one in later)
        self._until = now + share * max(self._last - now, 0.0)

    def check(self, event: Event) -> None:
        """Called between two epochs.

        Raises:
            StageOver: trainings are in flight, and the time of the stage is over. Without first
                trials and leaders there is no final training, so they may also take of what was
                meant for later stages.
        """
        hard = self._until
        if self._stage == "train" or self._question == LEADERS:
            hard = self._last
        elif self._question == trials_after(0):
            hard = max(hard, self._stage_began + FIRST_TRIALS * (self._last - self._stage_began))
        if event.done < event.total and self._clock() > hard:
            raise StageOver

    def latency_seconds(self) -> float:
        """What measuring latency may take for each of two batch sizes: half of what is left
        after about the rest.
        """
        return min(LONGEST_LATENCY, max(SHORTEST_LATENCY, (self.left() - 0.5 * self.reserve) / 2))

    # -- decisions ---------------------------------------------------------------------------------

    def choose(self, question: str, options: Sequence[Option], *, of: str | None = None) -> int:
        """See ``winnow.study.Allowance``."""
        self._question = question
        texts = tuple(option.text for option in options)
        known = self._decisions.get(question)
        if known is not None and known.options == texts:
            return texts.index(known.done)
        on_record = self._known(list({v.id: None for option in options for v in option.variants}))
        left = self._until - self._clock()
        chosen, needs = len(options) - 1, 0.0
        for position, option in enumerate(options):
            seconds = self._seconds(option, on_record)
            needs = needs or seconds
            if seconds <= left or seconds == 0:
                chosen = position
                break
        reason = (
            f"that needs about {needs:.0f} s more, and {max(left, 0):.0f} s are left for it"
            if chosen
            else ""
        )
        self._decide(Decision(self._stage, question, texts, of or texts[0], texts[chosen], reason))
        return chosen

    def overrule(self) -> None:
        """What was chosen last did not end in time: the least takes its place."""
        one = self._decisions[self._question]
        reason = "more was begun and did not end in time"
        self._decide(
            Decision(one.stage, one.question, one.options, one.asked, one.options[-1], reason)
        )

    def sentences(self) -> list[str]:
        """What was left out."""
        said = [
            f"{d.stage}: {d.sentence(self.minutes)}" for d in self._decisions.values() if d.is_cut
        ]
        if self._cut:
            many = len(self._cut) > 1
            said.append(
                f"{len(self._cut)} training{'s were' if many else ' was'} stopped, because the "
                f"time was over"
            )
        return said

    # -- trainings ---------------------------------------------------------------------------------

    def train(
        self,
        variants: Sequence[Variant],
        train: Callable[[list[Variant]], list[Outcome]],
        *,
        with_weights: bool = False,
    ) -> list[Outcome]:
        """What ``train`` gives, timed. Where the time of the stage is over before it ends, those on
        record and a failure for each of the others; the same again when the run goes on.

        Raises:
            StageOver: in an ablation, which is not judged by halves.
        """
        known = self._known([v.id for v in variants])
        asked = [v for v in variants if v.id in known or v.id not in self._cut]
        new = [v for v in asked if v.id not in known]
        began = self._clock()
        try:
            outcomes = {o.variant_id: o for o in train(asked)} if asked else {}
        except StageOver:
            if self._stage == "ablate":
                raise
            outcomes = dict(self._known([v.id for v in variants]))
            outcomes = {
                i: o
                for i, o in outcomes.items()
                if o.weights is not None or not (with_weights and o.finished)
            }
            self._cut |= {v.id for v in asked if v.id not in outcomes}
        else:
            self._learn(new, outcomes, self._clock() - began)
        self._put()
        return [outcomes.get(v.id) or _stopped(v) for v in variants]

    def holds(self) -> int | None:
        """About how many more trainings this stage has time for; None: not known."""
        each = self._prior if self._measured is None else self._measured[0] / self._measured[1]
        return None if not each else int(max(self._until - self._clock(), 0.0) / each)

    # -- inside ------------------------------------------------------------------------------------

    def _seconds(self, option: Option, on_record: Mapping[str, Outcome]) -> float:
        """About what an option takes, with some to spare."""
        new = [v for v in option.variants if v.id not in on_record]
        number = len(new) + option.more
        if not number:
            return 0.0
        if self._measured is None:
            # Not known: anything fits while there is time at all
            return SAFETY * number * (self._prior or 1e-9)
        seconds, trainings, epochs = self._measured
        share = (sum(self._epochs(v) for v in new) + option.more * epochs / trainings) / epochs
        return (
            SAFETY
            * seconds
            * (share if share >= 1 else SMALLEST_SHARE + (1 - SMALLEST_SHARE) * share)
        )

    def _epochs(self, variant: Variant) -> float:
        return variant.train.epochs * (1.0 if variant.train.early_stopping is None else self._stops)

    def _learn(
        self, new: Sequence[Variant], outcomes: Mapping[str, Outcome], seconds: float
    ) -> None:
        if not new:
            return
        stopping = [
            v for v in new if v.train.early_stopping is not None and outcomes[v.id].finished
        ]
        if stopping:
            self._stops = sum(outcomes[v.id].epochs for v in stopping) / sum(
                v.train.epochs for v in stopping
            )
        self._measured = max(seconds, 1e-3), len(new), max(sum(self._epochs(v) for v in new), 1.0)

    def _decide(self, decision: Decision) -> None:
        self._decisions[decision.question] = decision
        self._put()

    def _put(self) -> None:
        document = replace(
            self._asked,
            finished=self._finished,
            seconds=self.seconds,
            reserve=self.reserve,
            decisions=tuple(self._decisions.values()),
            cut=tuple(sorted(self._cut)),
            notes=tuple(self.sentences()),
        )
        keep(self._ledger, document)


class TimedRunner(Runner):
    """A runner that ends when the time of its stage is over; without a budget it is a runner."""

    budget: Budget | None = None

    def __init__(self, workspace: Workspace, *, progress: Callable[[Event], None]) -> None:
        def tell(event: Event) -> None:
            progress(event)
            if self.budget is not None:
                self.budget.check(event)

        super().__init__(workspace, progress=tell)

    def train(
        self,
        variants: Sequence[Variant],
        *,
        keep_weights: bool = False,
        study: str = "train",
        ahead: int = 0,
    ) -> list[Outcome]:
        if self.budget is None:
            return super().train(variants, keep_weights=keep_weights, study=study, ahead=ahead)
        holds = self.budget.holds()
        ahead = ahead if holds is None else max(min(ahead, holds - len(variants)), 0)
        plain = super().train

        def train(asked: list[Variant]) -> list[Outcome]:
            return plain(asked, keep_weights=keep_weights, study=study, ahead=ahead)

        return self.budget.train(variants, train, with_weights=keep_weights)


def _stopped(variant: Variant) -> Outcome:
    return Outcome(variant.id, "failed", reason=STOPS_AFTER, cause="environment")
