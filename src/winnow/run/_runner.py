"""Trains what studies ask for: what the ledger knows is not trained again, the rest is planned into fleets."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from winnow.data import Prepared, prepare
from winnow.errors import ModelError
from winnow.models import model_digest
from winnow.recipe import HIGHER_IS_BETTER, Data, Outcome, Recipe, Variant, better, resolve_metric
from winnow.run._plan import How, PlannedFleet, Planner, cores
from winnow.run._processes import train_in_processes
from winnow.run._threads import Fleet, one_thread, train_in_threads
from winnow.run._workspace import Workspace
from winnow.train import EpochReport, Finished, num_steps, train_fleet

__all__ = ["Event", "Runner"]

FORMAT = 1  # of training: raised when the same variant would give other numbers than it gave before


@dataclass(frozen=True)
class Event:
    """How far a study has come.

    Attributes:
        stage: name of the study.
        done: variants with an outcome.
        total: variants asked for.
        best: best score so far; None before the first.
        member_steps_per_second: optimiser steps of all members together, over this call; None before the first epoch.
        seconds_left: estimate; early stopping makes it shorter.
        message: something the user should know, once.
    """

    stage: str
    done: int
    total: int
    best: float | None = None
    member_steps_per_second: float | None = None
    seconds_left: float | None = None
    message: str | None = None


class Runner:
    """Trains variants in a workspace.

    Args:
        workspace: where outcomes are recorded.
        progress: told how far a study has come; called in this thread, after every epoch of a fleet.

    Attributes:
        fleets: what was trained how, in order: members, how, reason.
    """

    def __init__(self, workspace: Workspace, *, progress: Callable[[Event], None] | None = None) -> None:
        self.workspace = workspace
        self.fleets: list[dict[str, Any]] = []
        self._progress = progress
        self._prepared: dict[str, Prepared] = {}
        self._planner = Planner(self.prepared)
        self._told: set[str] = set()

    def prepared(self, data: Data) -> Prepared:
        """The prepared rows of ``data``; loaded once.

        Raises:
            DataError: the data cannot be used as asked.
        """
        key = data.model_dump_json()
        if key not in self._prepared:
            self._prepared[key] = prepare(data)
        return self._prepared[key]

    def context(self, recipe: Recipe) -> tuple[str, str]:
        """The recipe's metric with ``auto`` resolved by the task, and a digest of what the recipe only names: its rows and
        its model's source.

        Raises:
            DataError, ModelError: the data or the model cannot be found.
        """
        prepared = self.prepared(recipe.data)
        metric = resolve_metric(recipe.metric, prepared.task)
        text = f"{FORMAT}:{prepared.digest}:{model_digest(recipe.model)}"
        return metric, hashlib.sha256(text.encode()).hexdigest()[:16]

    def train(self, variants: Sequence[Variant], *, keep_weights: bool = False, study: str = "train") -> list[Outcome]:
        """One outcome for each variant, in their order; what is in the ledger already is not trained again.

        Each fleet's outcomes are recorded as soon as it ends, in one transaction.

        Args:
            variants: any, in any mixture; the same one twice is trained once.
            keep_weights: write the best weights of each into the workspace.
            study: named in progress.

        Raises:
            ModelError: no variant's model can be built; one that cannot, among others that can, becomes a failed outcome.
            WorkspaceError: an outcome cannot be recorded; what was recorded before stays.
        """
        known = self.workspace.ledger.outcomes([v.id for v in variants], curves=True)
        if keep_weights:
            known = {i: o for i, o in known.items() if not o.finished or self.workspace.weights(i).exists()}
        todo = list({v.id: v for v in variants if v.id not in known}.values())
        watch = _Watch(study, self._progress, variants, known, {v.id: self._steps(v) for v in todo})
        fleets = self._plan(todo)
        if todo and all(fleet.how == "refused" for fleet in fleets):
            raise ModelError(fleets[0].reason)
        for fleet in fleets:
            self._announce(fleet, watch)
        for finished in self._train(fleets, todo, watch):
            outcomes = self._record(finished, keep_weights)
            known.update({o.variant_id: o for o in outcomes})
            watch.finished(outcomes)
        return [known[v.id] for v in variants]

    def _train(self, fleets: list[PlannedFleet], todo: list[Variant], watch: _Watch) -> Iterator[list[Finished]]:
        """Results of each fleet as it ends, in an order that does not depend on the machine."""

        def of(how: How) -> Iterator[Fleet]:
            for fleet in fleets:
                if fleet.how == how:
                    members = [todo[p] for p in fleet.positions]
                    place = self.workspace.checkpoint([v.id for v in members])
                    yield Fleet(members, self.prepared(members[0].data), fleet.compiled, place)

        for fleet in fleets:
            if fleet.how == "refused":
                yield [Finished(todo[p], _refused(todo[p], fleet.reason), None) for p in fleet.positions]
        stacked = list(of("stacked"))
        if stacked:
            yield from train_in_threads(stacked, workers=min(cores(), len(stacked)), on_epoch=watch.epoch)
        with one_thread():
            for one in of("alone"):
                yield train_fleet(one.variants, one.prepared, stacked=False, on_epoch=watch.epoch, checkpoint=one.checkpoint)
        for many in of("process"):
            for finished in train_in_processes(many.variants, many.prepared):
                yield [finished]

    def _plan(self, todo: list[Variant]) -> list[PlannedFleet]:
        """Fleets that were training when their process ended go on as they were; the rest is planned anew."""
        position = {v.id: i for i, v in enumerate(todo)}
        begun = []
        for ids in self.workspace.begun_fleets():
            if all(i in position for i in ids):
                positions = tuple(position.pop(i) for i in ids)
                begun.append(PlannedFleet(positions, "stacked" if len(ids) > 1 else "alone", "goes on where it was"))
        left = sorted(position.values())
        planned = self._planner.plan([todo[p] for p in left])
        return [*begun, *(replace(fleet, positions=tuple(left[p] for p in fleet.positions)) for fleet in planned)]

    def _record(self, finished: Sequence[Finished], keep_weights: bool) -> list[Outcome]:
        outcomes = []
        for one in finished:
            outcome = one.outcome
            if keep_weights and one.weights is not None:
                outcome = replace(outcome, weights=self.workspace.save_weights(outcome.variant_id, one.weights))
            outcomes.append(outcome)
        self.workspace.ledger.record([(one.variant, o) for one, o in zip(finished, outcomes, strict=True)])
        self.workspace.checkpoint([o.variant_id for o in outcomes]).unlink(missing_ok=True)
        return outcomes

    def _announce(self, fleet: PlannedFleet, watch: _Watch) -> None:
        self.fleets.append({"members": len(fleet.positions), "how": fleet.how, "reason": fleet.reason, "study": watch.stage})
        unusual = fleet.how == "process" or (fleet.how == "alone" and "cannot" in fleet.reason)
        if unusual and fleet.reason not in self._told:
            self._told.add(fleet.reason)
            watch.tell(f"{len(fleet.positions)} variants train one at a time: {fleet.reason}")

    def _steps(self, variant: Variant) -> int:
        return variant.train.epochs * num_steps(variant, len(self.prepared(variant.data).train.y))


def _refused(variant: Variant, reason: str) -> Outcome:
    return Outcome(variant_id=variant.id, status="failed", reason=reason)


class _Watch:
    """Turns epochs and outcomes into events."""

    def __init__(
        self,
        stage: str,
        progress: Callable[[Event], None] | None,
        variants: Sequence[Variant],
        known: dict[str, Outcome],
        steps: dict[str, int],  # of those that are still to be trained
    ) -> None:
        self.stage = stage
        self._progress = progress
        self._total = len(steps) + len(known)
        self._done = len(known)
        self._steps = steps
        self._steps_left = sum(steps.values())
        self._in_fleet = 0
        self._taken = 0
        self._began = time.perf_counter()
        self._metric = variants[0].metric if variants else None
        self._best = math.nan
        for outcome in known.values():
            self._see(outcome.score)
        self.tell(None)

    def epoch(self, report: EpochReport) -> None:
        self._taken += report.member_steps
        self._in_fleet += report.member_steps
        self._see(report.best)
        self.tell(None)

    def finished(self, outcomes: Sequence[Outcome]) -> None:
        self._done += len(outcomes)
        self._steps_left -= sum(self._steps[o.variant_id] for o in outcomes)
        if not self._in_fleet:  # trained elsewhere: no epochs were reported
            self._taken += sum(o.steps for o in outcomes)
        self._in_fleet = 0
        for outcome in outcomes:
            self._see(outcome.score)
        self.tell(None)

    def tell(self, message: str | None) -> None:
        if self._progress is None:
            return
        seconds = time.perf_counter() - self._began
        rate = self._taken / seconds if self._taken and seconds > 0 else None
        left = max(self._steps_left - self._in_fleet, 0)
        self._progress(
            Event(
                stage=self.stage,
                done=self._done,
                total=self._total,
                best=None if math.isnan(self._best) else self._best,
                member_steps_per_second=rate,
                seconds_left=left / rate if rate else None,
                message=message,
            )
        )

    def _see(self, score: float) -> None:
        if (
            self._metric in HIGHER_IS_BETTER
            and not math.isnan(score)
            and (math.isnan(self._best) or better(self._metric, score, self._best))
        ):
            self._best = score
