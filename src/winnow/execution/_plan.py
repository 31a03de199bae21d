"""In what groups variants train: equal shapes together, sized by memory, stacked and compiled
where that was measured to pay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from winnow.data import PreparedData
from winnow.errors import ModelError, WinnowError, kind_and_line
from winnow.execution._capacity import (
    PROCESS_BYTES,
    fitting,
    largest_fleet,
    memory_bytes,
    on_gpu,
)
from winnow.execution._fleets import PlannedFleet, VariantGroup, Way, cut, trains_elsewhere
from winnow.execution._machine import cores
from winnow.execution._model_costs import ModelCosts
from winnow.recipe import Data, Train, Variant
from winnow.training import Footprint, StepTiming, build_members, methods_key, shape_key

__all__ = ["Planner"]

# Member-steps: below that any way of training is done before a measurement has paid
MEASURE_FROM = 3000
# Worker processes must take less than this share of a stack's time: a stack also takes less memory
AS_GOOD = 0.95
PROCESS_START_SECONDS = 5.0  # until a worker process has loaded PyTorch and takes its first variant
SMALLEST_COMPILED = 4  # members
LIKE_THE_OTHERS = "in the way in which the others of its study train"


@dataclass(frozen=True)
class _Choice:
    """The way in which a group trains, and why."""

    way: Way
    reason: str
    measured: bool = False


class Planner:
    """Groups variants into fleets. What it learnt about a model (can it be stacked, what does it
    take, does it pay) is remembered for the next call.

    Args:
        prepared: gives the prepared rows of a data section.
        tries_compiling: compile where that should pay, and let what the program then takes decide;
            else go by experience.
    """

    def __init__(
        self, prepared: Callable[[Data], PreparedData], *, tries_compiling: bool = True
    ) -> None:
        self._prepared = prepared
        self._tries_compiling = tries_compiling
        self._keys: dict[Hashable, Hashable] = {}
        self._costs = ModelCosts(prepared)
        self.way: Way | None = None

    def plan(
        self, variants: Sequence[Variant], *, ahead: int = 0, way: Way | None = None
    ) -> list[PlannedFleet]:
        """Return fleets that hold every variant once.

        All that can be stacked train in one way, so that what is compared differs in its settings
        and not in its program: the way that suits the group with the most to train, weighed up for
        all of them. Afterwards the attribute ``way`` has it; None where nothing was there to decide
        by.

        Args:
            variants: of one study, to be trained now.
            ahead: about how many more the same study will ask for: what they save counts when
                compiling is weighed up.
            way: in which the study has trained so far; None: to be decided.
        """
        groups, refused = self._groups(variants, ahead)
        in_all = sum(group.member_steps_in_all for group in groups)
        self.way = way
        planned: dict[Hashable, list[PlannedFleet]] = {}
        # The one with the most to train decides for the others; a single variant has no say
        for group in sorted(groups, key=lambda g: (len(g.positions) < 2, -g.member_steps_in_all)):
            if self.way is None:
                others = in_all / group.steps - len(group.positions)
                group = replace(group, ahead=others)
            planned[group.key] = self._planned(variants, group)
        return refused + [fleet for group in groups for fleet in planned[group.key]]

    def key(self, variant: Variant) -> Hashable:
        """Return a key that is equal for variants that may share a fleet."""
        # The seed cannot change it (the probe refuses models where it does), nor can per-member
        # settings: one module built for each kind is enough.
        plain = variant.model_copy(update={"seed": 0, "train": Train()}).model_dump_json()
        train = variant.train
        fixed = (train.batch_size, train.drop_last, train.precision)
        kind = (plain, fixed, methods_key(train))
        if kind not in self._keys:
            prepared = self._prepared(variant.data)
            self._keys[kind] = shape_key(variant, build_members([variant], prepared)[0])
        return self._keys[kind]

    def parameters(self, variant: Variant) -> int:
        """Return how many trainable numbers a variant's model has."""
        return self._costs.probe(self.key(variant), variant).parameters

    def _groups(
        self, variants: Sequence[Variant], ahead: int
    ) -> tuple[list[VariantGroup], list[PlannedFleet]]:
        """Return the groups of equal shapes, and a refused fleet for each variant whose model
        cannot be built.
        """
        by_key: dict[Hashable, list[int]] = {}
        refused: list[PlannedFleet] = []
        for position, variant in enumerate(variants):
            try:
                by_key.setdefault(self.key(variant), []).append(position)
            except ModelError as error:
                refused.append(PlannedFleet((position,), "refused", str(error)))
        groups = []
        for key, positions in by_key.items():
            members = [variants[position] for position in positions]
            stops_early = any(member.train.early_stopping is not None for member in members)
            group = VariantGroup(
                key=key,
                positions=positions,
                first=members[0],
                prepared=self._prepared(members[0].data),
                leaving=stops_early or len({member.train.epochs for member in members}) > 1,
                # Those to come are taken to be like those that are here
                ahead=ahead * len(positions) / len(variants),
                beside=len(by_key),
            )
            groups.append(group)
        return groups, refused

    def _planned(self, variants: Sequence[Variant], group: VariantGroup) -> list[PlannedFleet]:
        """Return the fleets of a group, whatever happens when its model is tried out."""
        try:
            return self._fleets(variants, group)
        except ModelError as error:
            return [PlannedFleet(tuple(group.positions), "refused", str(error))]
        except WinnowError:
            raise
        except Exception as error:
            # Whether it is the model's fault or that of the trying out, training will tell, of
            # each by itself.
            reason = f"cannot be tried out in a stack: {kind_and_line(error)}"
            return [PlannedFleet((p,), "alone", reason, hindered=True) for p in group.positions]

    def _fleets(self, variants: Sequence[Variant], group: VariantGroup) -> list[PlannedFleet]:
        is_single = len(group.positions) == 1
        # Where others are stacked, a single one is as well: as a stack of one, by the same program
        if is_single and self.way in (None, "apart"):
            return [self._alone(group)]
        obstacle = self._costs.probe(group.key, group.first).reason
        if obstacle is not None:
            if is_single:
                return [self._alone(group)]
            return self._one_by_one(group, f"cannot be stacked: {obstacle}", hindered=True)
        if self.way == "apart":
            return self._one_by_one(group, LIKE_THE_OTHERS)
        footprint = self._costs.footprint(group, stacked=True)
        most, at_once = 0, 1
        if footprint is not None:
            most, at_once = fitting(footprint, leaving=group.leaving)
        if footprint is None or most < (1 if is_single else 2):
            return self._one_by_one(group, "two do not fit the free memory")
        parts = cut(group.positions, most, spread=not (group.prepared.is_streamed or on_gpu()))
        at_once = min(at_once, len(parts))
        first = [variants[position] for position in parts[0]]
        choice = self._choose(group, first, num_fleets=len(parts))
        self.way = choice.way
        reason = choice.reason
        if most < min(largest_fleet(), len(group.positions)):
            reason = f"no more than {most} fit the free memory, {at_once} fleets at once; {reason}"
        if choice.way == "apart":
            return self._one_by_one(group, reason)
        return [
            PlannedFleet(
                tuple(part),
                "stacked",
                reason,
                compiled=choice.way == "compiled",
                peak_bytes=_peak_bytes(footprint, len(part), leaving=group.leaving),
                at_once=at_once,
                measured=choice.measured,
            )
            for part in parts
        ]

    def _choose(self, group: VariantGroup, fleet: Sequence[Variant], *, num_fleets: int) -> _Choice:
        """Return the way in which a group trains that can be stacked.

        Args:
            group: of equal shapes.
            fleet: the members of its first fleet.
            num_fleets: that it is cut into.
        """
        if self.way is not None:
            return _Choice(self.way, LIKE_THE_OTHERS)
        is_long = group.member_steps_in_all >= MEASURE_FROM
        if on_gpu():
            # Timing steps on the processor would tell nothing
            if is_long:
                return _Choice("compiled", "on the GPU, captured as a CUDA graph")
            return _Choice("stacked", "on the GPU, too few steps to compile")
        if not is_long:
            steps = f"{group.member_steps:,} steps in all"
            return _Choice("stacked", f"{steps}, too few to measure what is fastest")
        return self._fastest(group, fleet, busy=min(cores(), num_fleets * group.beside))

    def _fastest(self, group: VariantGroup, fleet: Sequence[Variant], *, busy: int) -> _Choice:
        """Return the fastest way, by the time that steps take.

        Args:
            group: of equal shapes.
            fleet: the members of its first fleet.
            busy: cores that stacked fleets keep busy.
        """
        timing = self._costs.step_timing(group, len(fleet))
        reasons = [_in_microseconds(timing)]
        plain = group.member_steps_in_all * timing.stacked_seconds / busy
        one_by_one = self._alone_seconds(group, timing)
        way: Way = "stacked"
        stacked = plain
        if len(fleet) >= SMALLEST_COMPILED:
            best_other = min(plain, one_by_one)
            compiled, why = self._compiling(group, fleet, timing, busy, best_other)
            reasons.append(why)
            if compiled < plain:
                way = "compiled"
                stacked = compiled
        if one_by_one < AS_GOOD * stacked:
            way = "apart"
        return _Choice(way, "; ".join(reasons), measured=True)

    def _alone(self, group: VariantGroup) -> PlannedFleet:
        footprint = self._costs.footprint(group, stacked=False)
        return PlannedFleet(
            (group.positions[0],),
            "alone",
            "no other variant has its shapes",
            peak_bytes=0 if footprint is None else _peak_bytes(footprint, 1),
        )

    def _one_by_one(
        self, group: VariantGroup, reason: str, *, hindered: bool = False
    ) -> list[PlannedFleet]:
        """Return fleets in which each variant trains by itself: in worker processes if they can."""
        workers, peak = self._workers(group)
        if trains_elsewhere(group.first, group.prepared):
            positions = tuple(group.positions)
            return [PlannedFleet(positions, "process", reason, peak_bytes=peak, at_once=workers)]
        is_streamed = group.prepared.is_streamed
        cause = "the model's class cannot be imported by another"
        if is_streamed:
            cause = "its rows are streamed"
        return [
            PlannedFleet(
                (position,),
                "alone",
                f"{reason}; in this process, because {cause}",
                peak_bytes=peak,
                hindered=hindered or not is_streamed,
            )
            for position in group.positions
        ]

    def _workers(self, group: VariantGroup) -> tuple[int, int]:
        """Return how many worker processes fit, and what training takes in each of them, in
        bytes.
        """
        footprint = self._costs.footprint(group, stacked=False)
        if footprint is None:
            return 1, 0
        peak = _peak_bytes(footprint, 1)
        row_bytes = 4 * group.prepared.preparation.width  # float32
        each = PROCESS_BYTES + peak + len(group.prepared.train) * row_bytes
        fit = memory_bytes() // each
        return max(1, min(cores(), len(group.positions), fit)), peak

    def _alone_seconds(self, group: VariantGroup, timing: StepTiming) -> float:
        """Return the seconds that training the group, and those ahead, takes one by one."""
        # Each member would read streamed rows for itself, which no measurement of steps knows
        if group.prepared.is_streamed:
            return math.inf
        seconds = group.member_steps_in_all * timing.alone_seconds
        if not trains_elsewhere(group.first, group.prepared):
            return seconds
        workers, _ = self._workers(group)
        return PROCESS_START_SECONDS + seconds / workers

    def _compiling(
        self,
        group: VariantGroup,
        fleet: Sequence[Variant],
        timing: StepTiming,
        busy: int,
        otherwise: float,
    ) -> tuple[float, str]:
        """Return the seconds that training the group, and those ahead, takes with compiled
        programs, compiling included, and why; infinite where the model cannot be compiled.

        Args:
            group: of equal shapes.
            fleet: the members of one fleet.
            timing: of the model.
            busy: cores that work at once.
            otherwise: seconds of the best of the other ways.
        """
        estimate = self._costs.compiling_estimate(group.key, timing)
        # Each of the other groups has its own program
        for_others = (group.beside - 1) * estimate.seconds
        if not self._costs.was_compiled(group.key):
            cost = estimate.seconds + for_others
            training = group.member_steps_in_all * estimate.member_step_seconds / busy
            expected = cost + training
            saved = max(otherwise - expected + cost, 0.0)
            why = (
                f"compiled: compiling takes about {_in_words(cost)} and would save "
                f"{_in_words(saved)}, {estimate.basis}"
            )
            if expected >= otherwise:
                return expected, f"not {why}"
            if not self._tries_compiling:
                return expected, why
        seconds = self._costs.compiled_seconds(group, fleet)
        if seconds is None:
            return math.inf, "not compiled: the compiler fails on it"
        # The group's own program is there by now; what it cost is spent, whatever is chosen
        training = group.member_steps_in_all * seconds / busy
        return for_others + training, f"{seconds * 1e6:.0f} us compiled"


def _peak_bytes(footprint: Footprint, members: int, *, leaving: bool = False) -> int:
    return footprint.peak_bytes(members, leaving=leaving, checkpoints=True)


def _in_microseconds(timing: StepTiming) -> str:
    stacked = timing.stacked_seconds * 1e6
    alone = timing.alone_seconds * 1e6
    return (
        f"measured {stacked:.0f} us a member-step stacked and {alone:.0f} us alone, each on one "
        f"core"
    )


def _in_words(seconds: float) -> str:
    # 9.96 would be shown as 10.0
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
