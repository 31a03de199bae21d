"""Trains what studies ask for: what the ledger knows is not trained again, the rest is planned
into fleets.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from winnow.data import PreparedData, prepare_once
from winnow.errors import ModelError, WorkspaceError
from winnow.execution._capacity import on_gpu
from winnow.execution._failures import failure
from winnow.execution._fleets import How, PlannedFleet, trains_elsewhere
from winnow.execution._machine import cores, device, versions
from winnow.execution._plan import Planner
from winnow.execution._processes import train_in_processes
from winnow.execution._records import FleetRecord, WayRecord, WaysRecord
from winnow.execution._threads import Fleet, train_in_threads
from winnow.execution._workspace import Workspace
from winnow.recipe import (
    Data,
    Outcome,
    Recipe,
    Used,
    Variant,
    better,
    resolve_metric,
)
from winnow.records import keep, recall
from winnow.threads import threads_of_torch
from winnow.training import EpochReport, MemberResult, code_digest, num_steps

__all__ = ["Event", "Runner"]

FORMAT = 3  # of training: raised when the same variant would give other numbers than it gave before


@dataclass(frozen=True)
class Event:
    """How far a study has come.

    Attributes:
        stage: name of the study.
        done: variants with an outcome.
        total: variants asked for.
        best: best score so far; None before the first.
        metric: of the best score.
        member_steps_per_second: optimizer steps of all members together, over this call; None
            before the first epoch.
        seconds_left: estimate; early stopping makes it shorter until some variants have finished,
            which tell how early they stop.
        message: something the user should know, once.
    """

    stage: str
    done: int
    total: int
    best: float | None = None
    metric: str | None = None
    member_steps_per_second: float | None = None
    seconds_left: float | None = None
    message: str | None = None


class Runner:
    """Trains variants in a workspace.

    Args:
        workspace: where outcomes are recorded.
        progress: is called with how far a study has come; in this thread, after every epoch of a
            fleet.
        checkpoint_seconds: at least so long between two checkpoints of a fleet.

    Attributes:
        fleets: what was trained how, in order: members, how, reason.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        progress: Callable[[Event], None] | None = None,
        checkpoint_seconds: float = 20.0,
    ) -> None:
        self.workspace = workspace
        self.checkpoint_seconds = checkpoint_seconds
        self.fleets: list[FleetRecord] = []
        self._progress = progress
        self._prepared: dict[str, PreparedData] = {}
        self._planner = Planner(self.prepared)
        self._messages_told: set[str] = set()
        # Ids that the environment failed in this run: to try them over and over would not end
        self._failed_here: set[str] = set()

    def prepared(self, data: Data) -> PreparedData:
        """Return the prepared rows of ``data``; they are loaded once.

        Raises:
            DataError: the data cannot be used as asked.
        """
        key = data.model_dump_json()
        if key not in self._prepared:
            self._prepared[key] = prepare_once(data)
        return self._prepared[key]

    def context(self, recipe: Recipe) -> tuple[str, str]:
        """Return what a recipe only names, as its variants need it.

        Returns:
            The metric with ``auto`` resolved by the task; and a digest of the rows, the model's
            source, and what a scaler or a step of the user's learned.

        Raises:
            DataError, ModelError: the data or the model cannot be found.
        """
        prepared = self.prepared(recipe.data)
        metric = resolve_metric(recipe.metric, prepared.task)
        text = f"{FORMAT}:{prepared.digest}:{code_digest(recipe.model, recipe.train, metric)}"
        prepare = recipe.data.prepare
        if any(isinstance(method, Used) for method in (prepare.scale, *prepare.steps)):
            # Of the user's methods only what they learned counts, which is all that is used of
            # them.
            text += f":{prepared.preparation.fitted_digest}"
        return metric, hashlib.sha256(text.encode()).hexdigest()[:16]

    def train(
        self,
        variants: Sequence[Variant],
        *,
        keep_weights: bool = False,
        study: str = "train",
        ahead: int = 0,
    ) -> list[Outcome]:
        """Return one outcome for each variant, in their order; what is in the ledger already is not
        trained again.

        Each fleet's outcomes are recorded as soon as it ends, in one transaction. A variant that
        fails is a failed outcome, and the others go on. Failures of the environment
        (``Outcome.may_pass``) that an earlier run left are tried again.

        Args:
            variants: any, in any mixture; the same one twice is trained once.
            keep_weights: write the best weights of each into the workspace.
            study: named in progress.
            ahead: about how many more variants the study will ask for after these; compiling may
                pay over all of them.

        Raises:
            ModelError: no variant's model can be built; one that cannot, among others that can,
                becomes a failed outcome.
            WorkspaceError: an outcome cannot be recorded; what was recorded before stays.
        """
        known = self._known(variants)
        damaged = self._without_weights(known) if keep_weights else {}
        for variant_id in damaged:
            del known[variant_id]
        missing = {v.id: v for v in variants if v.id not in known}  # each of them once
        todo = list(missing.values())
        steps = {variant.id: self._steps(variant) for variant in todo}
        watch = _Watch(study, self._progress, variants, known, steps)
        for message in damaged.values():
            if message:
                self._tell(f"{message}; the variant is trained again", watch)
        fleets = self._plan(todo, watch, ahead) if todo else []
        if fleets and all(fleet.how == "refused" for fleet in fleets):
            raise ModelError(fleets[0].reason)
        for fleet in fleets:
            self._announce(fleet, watch)
        for finished in self._train(fleets, todo, watch):
            outcomes = self._record(finished, keep_weights)
            known.update({outcome.variant_id: outcome for outcome in outcomes})
            watch.finished(outcomes)
        return [known[variant.id] for variant in variants]

    def _known(self, variants: Sequence[Variant]) -> dict[str, Outcome]:
        """Return the outcomes on record by id, without those that are to be tried again."""
        ids = [variant.id for variant in variants]
        recorded = self.workspace.ledger.outcomes(ids, curves=True)
        return {
            variant_id: outcome
            for variant_id, outcome in recorded.items()
            if not outcome.may_pass or variant_id in self._failed_here
        }

    def _without_weights(self, known: Mapping[str, Outcome]) -> dict[str, str]:
        """Return why weights of finished variants cannot be used, by id; empty where they were
        never kept.
        """
        reasons = {}
        for variant_id, outcome in known.items():
            if not outcome.finished:
                continue
            if outcome.weights is None:
                reasons[variant_id] = ""
                continue
            try:
                self.workspace.load_weights(variant_id)
            except WorkspaceError as error:
                reasons[variant_id] = str(error)
        return reasons

    def _train(
        self, fleets: list[PlannedFleet], todo: list[Variant], watch: _Watch
    ) -> Iterator[list[MemberResult]]:
        """Yield the results of each fleet as it ends."""

        def on_epoch(report: EpochReport) -> None:
            watch.epoch(report)
            if report.message is not None:
                self._tell(report.message, watch)

        by_how: dict[How, list[PlannedFleet]] = {}
        for fleet in fleets:
            by_how.setdefault(fleet.how, []).append(fleet)
        for fleet in by_how.get("refused", []):
            yield [failure(todo[p], fleet.reason, "variant") for p in fleet.positions]
        stacked = [self._fleet(fleet, todo) for fleet in by_how.get("stacked", [])]
        if stacked:
            workers = 1 if on_gpu() else min(cores(), len(stacked))
            yield from train_in_threads(stacked, workers=workers, on_epoch=on_epoch)
        with threads_of_torch(1):
            for fleet in by_how.get("alone", []):
                alone = self._fleet(fleet, todo)
                yield from alone.train(stacked=False, on_epoch=on_epoch)
        yield from self._train_in_processes(by_how.get("process", []), todo, on_epoch)

    def _fleet(self, fleet: PlannedFleet, todo: Sequence[Variant]) -> Fleet:
        def checkpoint(variants: Sequence[Variant]) -> Path:
            return self.workspace.checkpoint([variant.id for variant in variants])

        members = [todo[position] for position in fleet.positions]
        return Fleet(
            members,
            self.prepared(members[0].data),
            compiled=fleet.compiled,
            checkpoint=checkpoint,
            checkpoint_seconds=self.checkpoint_seconds,
            peak_bytes=fleet.peak_bytes,
        )

    def _train_in_processes(
        self,
        fleets: Sequence[PlannedFleet],
        todo: Sequence[Variant],
        on_epoch: Callable[[EpochReport], None],
    ) -> Iterator[list[MemberResult]]:
        # One pool for all variants of the same rows, which a worker is given once
        pools: dict[str, list[Variant]] = {}
        for fleet in fleets:
            members = [todo[position] for position in fleet.positions]
            pools.setdefault(members[0].data.model_dump_json(), []).extend(members)
        # By the memory of the largest of them; what goes on from a checkpoint has no prediction
        allowed = [fleet.at_once for fleet in fleets if fleet.peak_bytes]
        for members in pools.values():
            for finished in train_in_processes(
                members,
                self.prepared(members[0].data),
                checkpoints=[self.workspace.checkpoint([variant.id]) for variant in members],
                checkpoint_seconds=self.checkpoint_seconds,
                on_epoch=on_epoch,
                workers=min(allowed, default=cores()),
            ):
                yield [finished]

    def _plan(self, todo: list[Variant], watch: _Watch, ahead: int) -> list[PlannedFleet]:
        """Return the fleets: those that were training when their process ended go on as they were;
        the rest is planned anew.
        """
        begun = self._begun_fleets(todo, watch)
        in_stacks = {p for fleet in begun if len(fleet.positions) > 1 for p in fleet.positions}
        by_themselves = {fleet.positions[0] for fleet in begun if len(fleet.positions) == 1}
        # Those that train by themselves are planned with the others, as what has many of its kind
        # trains otherwise; and then taken out
        left = [position for position in range(len(todo)) if position not in in_stacks]
        fleets = list(begun)
        for fleet in self._planned([todo[position] for position in left], watch.stage, ahead):
            positions = tuple(left[p] for p in fleet.positions if left[p] not in by_themselves)
            if positions:
                fleets.append(replace(fleet, positions=positions))
        return fleets

    def _begun_fleets(self, todo: Sequence[Variant], watch: _Watch) -> list[PlannedFleet]:
        """Return the fleets that left a checkpoint and of which every variant is asked for."""
        position = {variant.id: i for i, variant in enumerate(todo)}
        begun, messages = self.workspace.begun_fleets()
        for message in messages:
            self._tell(message, watch)
        fleets = []
        for ids in begun:
            if not all(variant_id in position for variant_id in ids):
                continue
            positions = tuple(position[variant_id] for variant_id in ids)
            how: How = "stacked"
            if len(ids) == 1:
                how = "process" if self._trains_elsewhere(todo[positions[0]]) else "alone"
            else:
                for variant_id in ids:
                    del position[variant_id]
            fleets.append(PlannedFleet(positions, how, "goes on from its last checkpoint"))
        members = sum(len(fleet.positions) for fleet in fleets)
        if members == 1:
            watch.tell("1 variant goes on from its last checkpoint")
        elif members:
            watch.tell(f"{members} variants go on from their last checkpoint")
        return fleets

    def _planned(self, variants: list[Variant], study: str, ahead: int) -> list[PlannedFleet]:
        """Return the planner's fleets, in the way in which the study has trained so far, and
        record that way when it is new.
        """
        ledger = self.workspace.ledger
        ways = recall(ledger, WaysRecord) or WaysRecord()
        known = ways.studies[study].way if study in ways.studies else None
        planned = self._planner.plan(variants, ahead=ahead, way=known)
        if self._planner.way is not None and known is None:
            found = WayRecord(self._planner.way, device(), versions())
            keep(ledger, WaysRecord({**ways.studies, study: found}))
        return planned

    def _record(self, finished: Sequence[MemberResult], keep_weights: bool) -> list[Outcome]:
        """Write the results of a fleet into the workspace; return its outcomes."""
        results = []
        for member in finished:
            outcome = replace(member.outcome, device=device(), versions=versions())
            if keep_weights and member.weights is not None:
                place = self.workspace.save_weights(outcome.variant_id, member.weights)
                outcome = replace(outcome, weights=place)
            results.append((member.variant, outcome))
        outcomes = [outcome for _, outcome in results]
        self._failed_here |= {outcome.variant_id for outcome in outcomes if outcome.may_pass}
        # An outcome on record whose weights are gone: the new ones have the new score
        self.workspace.ledger.record(results, replace=keep_weights)
        self.workspace.remove_checkpoint([outcome.variant_id for outcome in outcomes])
        return outcomes

    def _announce(self, fleet: PlannedFleet, watch: _Watch) -> None:
        """Note a fleet, and tell the user where it trains in a way that takes longer."""
        members = len(fleet.positions)
        self.fleets.append(FleetRecord(members, fleet.how, fleet.reason, study=watch.stage))
        is_slow = (fleet.how == "process" and members > 1) or fleet.hindered
        if is_slow and fleet.reason not in self._messages_told:
            self._messages_told.add(fleet.reason)
            watch.tell(f"{members} variants train one at a time: {fleet.reason}")

    def _tell(self, message: str, watch: _Watch) -> None:
        """Tell the user, once."""
        if message not in self._messages_told:
            self._messages_told.add(message)
            watch.tell(message)

    def _trains_elsewhere(self, variant: Variant) -> bool:
        return trains_elsewhere(variant, self.prepared(variant.data))

    def _steps(self, variant: Variant) -> int:
        return variant.train.epochs * num_steps(variant, len(self.prepared(variant.data).train))


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
        # Steps that unfinished fleets have taken, also before a kill
        self._under_way: dict[str, int] = {}
        self._taken = 0  # steps since this watch began
        self._steps_of_finished = 0
        self._steps_without_stopping = 0  # that those which finished might have taken
        # Of the first epoch; what comes before it, such as starting processes, is no measure of
        # speed
        self._began = math.inf
        self._metric = variants[0].metric if variants else None
        self._best = math.nan
        for outcome in known.values():
            self._see(outcome.score)
        self.tell(None)

    def epoch(self, report: EpochReport) -> None:
        """Take in an epoch of a fleet."""
        self._began = min(self._began, time.perf_counter() - report.seconds)
        self._taken += report.member_steps
        self._under_way[report.fleet] = report.taken
        self._see(report.best)
        self.tell(None)

    def finished(self, outcomes: Sequence[Outcome]) -> None:
        """Take in the outcomes of a fleet."""
        self._done += len(outcomes)
        self._under_way.pop(outcomes[0].variant_id, None)
        for outcome in outcomes:
            steps = self._steps[outcome.variant_id]
            self._steps_left -= steps
            if outcome.finished:
                self._steps_of_finished += outcome.steps
                self._steps_without_stopping += steps
            self._see(outcome.score)
        self.tell(None)

    def tell(self, message: str | None) -> None:
        """Call ``progress`` with an event.

        Args:
            message: for the user; None: there is nothing but progress.
        """
        if self._progress is None:
            return
        seconds = time.perf_counter() - self._began
        rate = self._taken / seconds if seconds > 0 else None
        event = Event(
            stage=self.stage,
            done=self._done,
            total=self._total,
            best=None if math.isnan(self._best) else self._best,
            metric=self._metric,
            member_steps_per_second=rate,
            seconds_left=self._expected_steps() / rate if rate else None,
            message=message,
        )
        self._progress(event)

    def _expected_steps(self) -> float:
        """Return about how many steps are still to be taken."""
        share = 1.0
        if self._steps_of_finished:
            # The rest is taken to stop as early as those that finished
            share = self._steps_of_finished / self._steps_without_stopping
        under_way = sum(self._under_way.values())
        return max(share * self._steps_left - under_way, 0)

    def _see(self, score: float) -> None:
        """Take in a score, NaN where there is none."""
        if self._metric is None or math.isnan(score):
            return
        if math.isnan(self._best) or better(self._metric, score, self._best):
            self._best = score
