"""The minutes of a run: what each stage may take of them, what is left out for their sake, and
a record of that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from winnow.errors import OutOfTime
from winnow.execution import Event
from winnow.pipeline._cost import TrainingCost
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

__all__ = ["STOPS_AFTER", "WEIGHTS", "Budget", "StageOver"]

# Of the time that is left for training, over the stages still to come
WEIGHTS = {"search": 50.0, "ablate": 25.0, "train": 15.0}
# Of all that is left for training, which the first trials may take before they are stopped
FIRST_TRIALS = 0.75
STOPS_AFTER = "not finished when the time for it was over"
LONGEST_LATENCY, SHORTEST_LATENCY = 3.0, 0.2  # seconds for each batch size


@dataclass(frozen=True)
class Reserve:
    """What is kept for the stages after the last training.

    They load and write about as much as starting does, so what starting took is a measure of how
    fast this machine is now.

    Attributes:
        share: of all the time.
        seconds: that are kept at least.
        starts: times what starting took.
        more: seconds beside these starts.
    """

    share: float
    seconds: float
    starts: float
    more: float

    def of(self, whole: float, starting: float) -> float:
        """Return the seconds to keep of ``whole``, where starting took ``starting`` seconds."""
        return max(self.seconds, self.share * whole, self.starts * starting + self.more)


# Evaluation, compression, bundle and report come after the last training, or the report alone.
BUNDLE_RESERVE = Reserve(share=0.08, seconds=6.0, starts=1.5, more=3.0)
REPORT_RESERVE = Reserve(share=0.03, seconds=2.0, starts=0.5, more=1.0)


class DocumentStore(Protocol):
    """What is needed of a ledger."""

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

    Attributes:
        minutes: for the whole run.
        goal: the last thing that is asked for.
        end: reading of the clock when the minutes are over; infinite once everything is done.
        reserve: seconds that are kept for what comes after the last training.
    """

    def __init__(
        self,
        minutes: float,
        *,
        ledger: DocumentStore,
        known: Callable[[Sequence[str]], Mapping[str, Outcome]],
        stages: Sequence[str],
        goal: str = "bundle",
        question: str = "",
        spent: float = 0.0,
        began: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.minutes = minutes
        self.goal = goal
        self._asked = BudgetRecord(minutes, goal, question)
        self._clock = clock
        self._ledger = ledger
        self._known = known
        self._cost = TrainingCost()
        # In the order in which they run, whatever the order that they were given in
        self._stages = [stage for stage in WEIGHTS if stage in stages]
        before = recall(ledger, BudgetRecord) or BudgetRecord()
        self._spent = max(spent, before.seconds)
        self._began = clock() if began is None else began
        self.end = self._began + 60 * minutes - self._spent
        reserve = BUNDLE_RESERVE if goal == "bundle" else REPORT_RESERVE
        self.reserve = reserve.of(60 * minutes, starting=clock() - self._began)
        self._decisions: dict[str, Decision] = {}
        self._cut: set[str] = set()  # ids of trainings that were not finished in time
        self._finished = False
        self._take_over(before)
        self._stage = ""
        self._question = ""
        self._stage_began = self._began
        if self._finished:
            self.end = math.inf
        self._last = self.end - self.reserve  # when the last training must be over
        self._until = self._last  # when the stage must be over
        self._put()

    def _take_over(self, before: BudgetRecord) -> None:
        """Take over what earlier processes decided, as far as it still holds."""
        asked = self._asked
        is_same = (before.minutes, before.goal, before.question) == (
            asked.minutes,
            asked.goal,
            asked.question,
        )
        for decision in before.decisions:
            # Batches of trials that were made stay made, whatever the minutes are now.
            is_made = is_about_trials(decision.question) and not decision.is_cut
            if is_same or is_made:
                self._decisions[decision.question] = decision
        if is_same:
            self._finished = before.finished
            self._cut = set(before.cut)

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
        """The seconds that the run has taken, earlier processes included."""
        return self._spent + self._clock() - self._began

    def left(self) -> float:
        """Return the seconds until the minutes are over."""
        return self.end - self._clock()

    def require(self, seconds: float, each: float | None = None) -> None:
        """Refuse to begin what cannot be finished.

        Args:
            seconds: of training that the least that can be asked for takes at least.
            each: about what one training takes; None: not known.

        Raises:
            OutOfTime: naming the minutes that it takes.
        """
        self._cost.prior = each
        if seconds <= self._last - self._clock():
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
        """Give a stage that trains its share of the time; the question is not yet known."""
        self._stage = stage
        self._question = ""
        later = [stage]
        if stage in self._stages:
            later = self._stages[self._stages.index(stage) :]
        now = self._clock()
        self._stage_began = now
        share = WEIGHTS[stage] / sum(WEIGHTS[one] for one in later)
        self._until = now + share * max(self._last - now, 0.0)

    def check(self, event: Event) -> None:
        """Stop the trainings in flight when the time of the stage is over.

        Called between two epochs.

        Raises:
            StageOver: the time is over.
        """
        if event.done < event.total and self._clock() > self._stops_at():
            raise StageOver

    def _stops_at(self) -> float:
        """Return the reading of the clock at which trainings in flight are stopped.

        Without first trials and leaders there is no final training, so they may also take of what
        was meant for later stages.
        """
        if self._stage == "train" or self._question == LEADERS:
            return self._last
        if self._question == trials_after(0):
            most = FIRST_TRIALS * (self._last - self._stage_began)
            return max(self._until, self._stage_began + most)
        return self._until

    def latency_seconds(self) -> float:
        """Return what measuring latency may take for each of two batch sizes.

        That is half of what is left after about the rest.
        """
        most = (self.left() - 0.5 * self.reserve) / 2
        return min(LONGEST_LATENCY, max(SHORTEST_LATENCY, most))

    # -- decisions ---------------------------------------------------------------------------------

    def choose(self, question: str, options: Sequence[Option], *, of: str | None = None) -> int:
        """See ``winnow.study.Allowance``."""
        self._question = question
        texts = tuple(option.text for option in options)
        known = self._decisions.get(question)
        if known is not None and known.options == texts:
            return texts.index(known.done)
        seconds = self._seconds_of(options)
        left = self._until - self._clock()
        chosen = len(options) - 1
        for position, needed in enumerate(seconds):
            if needed <= left or needed == 0:  # what is on record fits even when time is over
                chosen = position
                break
        reason = ""
        if chosen:
            reason = (
                f"that needs about {seconds[0]:.0f} s more, and {max(left, 0):.0f} s are left for "
                f"it"
            )
        decision = Decision(
            stage=self._stage,
            question=question,
            options=texts,
            asked=of or texts[0],
            done=texts[chosen],
            reason=reason,
        )
        self._decide(decision)
        return chosen

    def overrule(self) -> None:
        """Put the least in the place of what was chosen last, which did not end in time."""
        one = self._decisions[self._question]
        reason = "more was begun and did not end in time"
        self._decide(replace(one, done=one.options[-1], reason=reason))

    def sentences(self) -> list[str]:
        """Return what was left out, a sentence each."""
        said = [
            f"{decision.stage}: {decision.sentence(self.minutes)}"
            for decision in self._decisions.values()
            if decision.is_cut
        ]
        number = len(self._cut)
        if number:
            were = "trainings were" if number > 1 else "training was"
            said.append(f"{number} {were} stopped, because the time was over")
        return said

    # -- trainings ---------------------------------------------------------------------------------

    def train(
        self,
        variants: Sequence[Variant],
        train: Callable[[list[Variant]], list[Outcome]],
        *,
        with_weights: bool = False,
    ) -> list[Outcome]:
        """Train variants by ``train``, and time it.

        Where the time of the stage is over before it ends, the answer is the outcomes on record and
        a failure for each of the others; the same again when the run goes on.

        Args:
            variants: what to train.
            train: trains, and returns an outcome for each.
            with_weights: whether an outcome without its weights is none.

        Returns:
            An outcome for each variant, in their order.

        Raises:
            StageOver: in an ablation, which is not judged by halves.
        """
        ids = [variant.id for variant in variants]
        known = self._known(ids)
        asked = [v for v in variants if v.id in known or v.id not in self._cut]
        new = [v for v in asked if v.id not in known]
        began = self._clock()
        try:
            outcomes = {o.variant_id: o for o in train(asked)} if asked else {}
        except StageOver:
            if self._stage == "ablate":
                raise
            outcomes = self._usable(ids, with_weights)
            self._cut |= {v.id for v in asked if v.id not in outcomes}
        else:
            self._cost.learn(new, outcomes, self._clock() - began)
        self._put()
        return [outcomes.get(v.id) or _stopped(v) for v in variants]

    def holds(self) -> int | None:
        """Return about how many more trainings this stage has time for; None: not known."""
        each = self._cost.seconds_each
        if not each:
            return None
        left = max(self._until - self._clock(), 0.0)
        return int(left / each)

    # -- inside ------------------------------------------------------------------------------------

    def _usable(self, ids: Sequence[str], with_weights: bool) -> dict[str, Outcome]:
        """Return the outcomes on record that an answer can be made of."""
        found: dict[str, Outcome] = {}
        for variant_id, outcome in self._known(ids).items():
            lacks_weights = with_weights and outcome.finished and outcome.weights is None
            if not lacks_weights:
                found[variant_id] = outcome
        return found

    def _seconds_of(self, options: Sequence[Option]) -> list[float]:
        """Return about what each option takes; trainings on record take nothing."""
        ids = dict.fromkeys(variant.id for option in options for variant in option.variants)
        on_record = self._known(list(ids))
        seconds: list[float] = []
        for option in options:
            new = [variant for variant in option.variants if variant.id not in on_record]
            seconds.append(self._cost.estimate(new, option.more))
        return seconds

    def _decide(self, decision: Decision) -> None:
        self._decisions[decision.question] = decision
        self._put()

    def _put(self) -> None:
        """Write down what was decided so far."""
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


def _stopped(variant: Variant) -> Outcome:
    """Return the outcome of a training that was not finished in time."""
    return Outcome(variant.id, "failed", reason=STOPS_AFTER, cause="environment")
