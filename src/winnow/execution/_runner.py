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
from winnow.execution._failures import failure
from winnow.execution._machine import device, versions
from winnow.execution._plan import How, PlannedFleet, Planner, cores, on_gpu, trains_elsewhere
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
        progress: told how far a study has come; called in this thread, after every epoch of a
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
        self._told: set[str] = set()
        # Ids that the environment failed in this run: to try them over and over would not end
        self._tried: set[str] = set()

    def prepared(self, data: Data) -> PreparedData:
        """The prepared rows of ``data``; loaded once.

        Raises:
            DataError: the data cannot be used as asked.
        """
        key = data.model_dump_json()
        if key not in self._prepared:
            self._prepared[key] = prepare_once(data)
        return self._prepared[key]

    def context(self, recipe: Recipe) -> tuple[str, str]:
        """The recipe's metric with ``auto`` resolved by the task, and a digest of what the recipe
        only names: its rows, its model's source, and what a scaler or a step of the user's learned.

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
        """One outcome for each variant, in their order; what is in the ledger already is not
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
        known = self.workspace.ledger.outcomes([v.id for v in variants], curves=True)
        known = {i: o for i, o in known.items() if not o.may_pass or i in self._tried}
        damaged = self._without_weights(known) if keep_weights else {}
        known = {i: o for i, o in known.items() if i not in damaged}
        todo = list({v.id: v for v in variants if v.id not in known}.values())
        watch = _Watch(study, self._progress, variants, known, {v.id: self._steps(v) for v in todo})
        for message in filter(None, damaged.values()):
            self._tell(f"{message}; the variant is trained again", watch)
        fleets = self._plan(todo, watch, ahead) if todo else []
        if fleets and all(fleet.how == "refused" for fleet in fleets):
            raise ModelError(fleets[0].reason)
        for fleet in fleets:
            self._announce(fleet, watch)
        for finished in self._train(fleets, todo, watch):
            outcomes = self._record(finished, keep_weights)
            known.update({o.variant_id: o for o in outcomes})
            watch.finished(outcomes)
        return [known[v.id] for v in variants]

    def _without_weights(self, known: Mapping[str, Outcome]) -> dict[str, str]:
        """Those that finished and whose weights cannot be used, with the reason; an empty one
        where they were never kept.
        """
        found = {}
        for variant_id, outcome in known.items():
            if outcome.finished and outcome.weights is None:
                found[variant_id] = ""
            elif outcome.finished:
                try:
                    self.workspace.load_weights(variant_id)
                except WorkspaceError as error:
                    found[variant_id] = str(error)
        return found

    def _train(
        self, fleets: list[PlannedFleet], todo: list[Variant], watch: _Watch
    ) -> Iterator[list[MemberResult]]:
        """Results of each fleet as it ends."""

        def of(how: How) -> Iterator[Fleet]:
            for fleet in fleets:
                if fleet.how == how:
                    members = [todo[p] for p in fleet.positions]
                    rows = self.prepared(members[0].data)
                    yield Fleet(
                        members,
                        rows,
                        fleet.compiled,
                        place,
                        self.checkpoint_seconds,
                        fleet.peak_bytes,
                    )

        def place(variants: Sequence[Variant]) -> Path:
            return self.workspace.checkpoint([v.id for v in variants])

        def on_epoch(report: EpochReport) -> None:
            watch.epoch(report)
            if report.message is not None:
                self._tell(report.message, watch)

        for fleet in fleets:
            if fleet.how == "refused":
                yield [failure(todo[p], fleet.reason, "variant") for p in fleet.positions]
        stacked = list(of("stacked"))
        if stacked:
            yield from train_in_threads(
                stacked, workers=1 if on_gpu() else min(cores(), len(stacked)), on_epoch=on_epoch
            )
        with threads_of_torch(1):
            for one in of("alone"):
                yield from one.train(stacked=False, on_epoch=on_epoch)
        # One for all variants of the same rows, which a worker is given once
        pools: dict[str, list[Variant]] = {}
        for many in of("process"):
            pools.setdefault(many.variants[0].data.model_dump_json(), []).extend(many.variants)
        workers = min(
            (fleet.at_once for fleet in fleets if fleet.how == "process" and fleet.peak_bytes),
            default=cores(),
        )
        for members in pools.values():
            places = [self.workspace.checkpoint([v.id]) for v in members]
            for finished in train_in_processes(
                members,
                self.prepared(members[0].data),
                checkpoints=places,
                checkpoint_seconds=self.checkpoint_seconds,
                on_epoch=on_epoch,
                workers=workers,
            ):
                yield [finished]

    def _plan(self, todo: list[Variant], watch: _Watch, ahead: int) -> list[PlannedFleet]:
        """Fleets that were training when their process ended go on as they were; the rest is
        planned anew.
        """
        position = {v.id: i for i, v in enumerate(todo)}
        begun, told = self.workspace.begun_fleets()
        for message in told:
            self._tell(message, watch)
        fleets: list[PlannedFleet] = []
        single: set[int] = set()
        for ids in begun:
            if all(i in position for i in ids):
                positions = tuple(position[i] for i in ids)
                how: How = (
                    "stacked"
                    if len(ids) > 1
                    else "process"
                    if self._trains_elsewhere(todo[positions[0]])
                    else "alone"
                )
                fleets.append(PlannedFleet(positions, how, "goes on from its last checkpoint"))
                if len(ids) == 1:
                    # Planned with the others, as what has many of its kind trains otherwise
                    single.add(positions[0])
                else:
                    for i in ids:
                        del position[i]
        if fleets:
            members = sum(len(fleet.positions) for fleet in fleets)
            watch.tell(
                f"{members} "
                f"variant{'s go on from their' if members > 1 else ' goes on from its'} last "
                f"checkpoint"
            )
        left = sorted(position.values())
        ways = recall(self.workspace.ledger, WaysRecord) or WaysRecord()
        known = ways.studies[watch.stage].way if watch.stage in ways.studies else None
        planned = self._planner.plan([todo[p] for p in left], ahead=ahead, way=known)
        if self._planner.way is not None and known is None:
            found = WayRecord(self._planner.way, device(), versions())
            keep(self.workspace.ledger, WaysRecord({**ways.studies, watch.stage: found}))
        for fleet in planned:
            positions = tuple(left[p] for p in fleet.positions if left[p] not in single)
            if positions:
                fleets.append(replace(fleet, positions=positions))
        return fleets

    def _record(self, finished: Sequence[MemberResult], keep_weights: bool) -> list[Outcome]:
        outcomes = []
        for one in finished:
            outcome = one.outcome
            outcome = replace(outcome, device=device(), versions=versions())
            if keep_weights and one.weights is not None:
                outcome = replace(
                    outcome, weights=self.workspace.save_weights(outcome.variant_id, one.weights)
                )
            outcomes.append(outcome)
        self._tried |= {o.variant_id for o in outcomes if o.may_pass}
        self.workspace.ledger.record(
            [(one.variant, o) for one, o in zip(finished, outcomes, strict=True)],
            # An outcome on record whose weights are gone: the new ones have the new score
            replace=keep_weights,
        )
        self.workspace.remove_checkpoint([o.variant_id for o in outcomes])
        return outcomes

    def _announce(self, fleet: PlannedFleet, watch: _Watch) -> None:
        self.fleets.append(
            FleetRecord(len(fleet.positions), fleet.how, fleet.reason, study=watch.stage)
        )
        unusual = (fleet.how == "process" and len(fleet.positions) > 1) or fleet.hindered
        if unusual and fleet.reason not in self._told:
            self._told.add(fleet.reason)
            watch.tell(f"{len(fleet.positions)} variants train one at a time: {fleet.reason}")

    def _tell(self, message: str, watch: _Watch) -> None:
        """Tell the user, once."""
        if message not in self._told:
            self._told.add(message)
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
        # Steps that the variants which finished took, and might have taken without early stopping
        self._ended = 0, 0
        # Of the first epoch; what comes before it, such as starting processes, is no measure of
        # speed
        self._began = math.inf
        self._metric = variants[0].metric if variants else None
        self._best = math.nan
        for outcome in known.values():
            self._see(outcome.score)
        self.tell(None)

    def epoch(self, report: EpochReport) -> None:
        self._began = min(self._began, time.perf_counter() - report.seconds)
        self._taken += report.member_steps
        self._under_way[report.fleet] = report.taken
        self._see(report.best)
        self.tell(None)

    def finished(self, outcomes: Sequence[Outcome]) -> None:
        self._done += len(outcomes)
        self._steps_left -= sum(self._steps[o.variant_id] for o in outcomes)
        self._under_way.pop(outcomes[0].variant_id, None)
        ended = [o for o in outcomes if o.finished]
        took, might = self._ended
        self._ended = (
            took + sum(o.steps for o in ended),
            might + sum(self._steps[o.variant_id] for o in ended),
        )
        for outcome in outcomes:
            self._see(outcome.score)
        self.tell(None)

    def tell(self, message: str | None) -> None:
        if self._progress is None:
            return
        seconds = time.perf_counter() - self._began
        rate = self._taken / seconds if seconds > 0 else None
        took, might = self._ended
        # The rest is taken to stop as early as those that finished
        share = took / might if took else 1.0
        left = max(share * self._steps_left - sum(self._under_way.values()), 0)
        self._progress(
            Event(
                stage=self.stage,
                done=self._done,
                total=self._total,
                best=None if math.isnan(self._best) else self._best,
                metric=self._metric,
                member_steps_per_second=rate,
                seconds_left=left / rate if rate else None,
                message=message,
            )
        )

    def _see(self, score: float) -> None:
        if (
            self._metric is not None
            and not math.isnan(score)
            and (math.isnan(self._best) or better(self._metric, score, self._best))
        ):
            self._best = score
