"""In what groups variants train: equal shapes together, sized by memory, stacked and compiled
where that was measured to pay.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from winnow.data import PreparedData
from winnow.errors import ModelError, WinnowError, kind_and_line
from winnow.execution._machine import cores, free_bytes
from winnow.recipe import OBJECT_PREFIX, Data, Train, Variant
from winnow.training import (
    Footprint,
    Probe,
    StepTiming,
    build_members,
    fleet_kind,
    footprint,
    is_out_of_memory,
    measure,
    measure_compiled,
    methods_key,
    num_steps,
    probe,
    recall,
    remember,
    shape_key,
    stacking,
    training_device,
    used_methods,
)

__all__ = [
    "LARGEST_FLEET",
    "How",
    "PlannedFleet",
    "Planner",
    "Way",
    "cores",
    "cut",
    "memory_bytes",
    "on_gpu",
    "trains_elsewhere",
]

How = Literal["stacked", "alone", "process", "refused"]
Way = Literal["stacked", "compiled", "apart"]
"""The program that trains: they agree to rounding. ``alone`` and ``process`` are both ``apart``."""

SMALLEST_FLEET = 8  # members; a group is not cut smaller to give every core a fleet
LARGEST_ON_GPU = 512  # members
GPU_MEMORY_SHARE = 0.8  # of its memory that is free now
# Members; beyond it the time of a member-step no longer falls (benchmarks/fleet.py)
LARGEST_FLEET = 64
# Of the memory that is free now. Predictions are of what tensors hold; the C library's heap keeps
# up to as much again of what they gave back.
MEMORY_SHARE = 0.5
_LIKE_THE_OTHERS = "in the way in which the others of its study train"
# Member-steps: below that any way of training is done before a measurement has paid
MEASURE_FROM = 3000
# Worker processes must take less than this share of a stack's time: a stack also takes less memory
AS_GOOD = 0.95
PROCESS_START_SECONDS = 5.0  # until a worker process has loaded PyTorch and takes its first variant
PROCESS_BYTES = 300 * 2**20  # that it takes before it trains
# Where no earlier run has measured them (benchmarks/architectures.py): the time of compiling, and
# of a compiled member-step as a share of the time of one that is not. From the second process on
# the compiler finds its work on disk.
COMPILE_SECONDS = 12.0
COMPILED_FACTOR = 0.5
COMPILED_BEFORE_SECONDS = 4.0
SMALLEST_COMPILED = 4  # members


@dataclass(frozen=True)
class PlannedFleet:
    """Variants that train together.

    Attributes:
        positions: of the variants in the list that was planned.
        how: ``stacked`` as one program, ``alone`` one after another in this process, ``process``
            one at a time in worker processes, ``refused`` because the model cannot be built.
        reason: why so, in a sentence.
        compiled: whether the stacked program is compiled.
        peak_bytes: what it is predicted to hold at the most; 0 where that is not known. Of
            ``process``, each of them.
        at_once: fleets of this kind that train side by side; of ``process``, worker processes.
        hindered: whether ``alone`` is for want of another way: the model cannot be stacked, or no
            other process can import it.
        measured: whether steps were timed to choose the way.
    """

    positions: tuple[int, ...]
    how: How
    reason: str
    compiled: bool = False
    peak_bytes: int = 0
    at_once: int = 1
    hindered: bool = False
    measured: bool = False


@dataclass(frozen=True)
class _Group:
    """Variants of equal shapes.

    Attributes:
        key: what they share.
        positions: in the list that was planned.
        first: one of them.
        prepared: their data.
        leaving: whether some may end before others.
        ahead: further variants like these that will be asked for.
        beside: groups that train side by side, with this one.
    """

    key: Hashable
    positions: list[int]
    first: Variant
    prepared: PreparedData
    leaving: bool
    ahead: float
    beside: int

    @property
    def steps(self) -> int:
        """Of one member."""
        return self.first.train.epochs * num_steps(self.first, len(self.prepared.train))

    @property
    def member_steps(self) -> int:
        return len(self.positions) * self.steps

    @property
    def member_steps_in_all(self) -> float:
        """With those that are still to come."""
        return (len(self.positions) + self.ahead) * self.steps


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
        self._probes: dict[Hashable, Probe] = {}
        self._footprints: dict[tuple[Hashable, bool], Footprint] = {}
        self._timings: dict[Hashable, StepTiming] = {}
        # Seconds of a member-step, where it was tried; None: it cannot be
        self._compiled: dict[Hashable, float | None] = {}
        self.way: Way | None = None

    def plan(
        self, variants: Sequence[Variant], *, ahead: int = 0, way: Way | None = None
    ) -> list[PlannedFleet]:
        """Fleets that hold every variant once. All that can be stacked train in one way, so that
        what is compared differs in its
        settings and not in its program: the way that suits the group with the most to train,
        weighed up for all of them. Afterwards the attribute ``way`` has it; None where nothing was
        there to decide by.

        Args:
            variants: of one study, to be trained now.
            ahead: about how many more the same study will ask for: what they save counts when
                compiling is weighed up.
            way: in which the study has trained so far; None: to be decided.
        """
        groups: dict[Hashable, list[int]] = {}
        fleets: list[PlannedFleet] = []
        kinds: list[_Group] = []
        for position, variant in enumerate(variants):
            try:
                groups.setdefault(self.key(variant), []).append(position)
            except ModelError as error:
                fleets.append(PlannedFleet((position,), "refused", str(error)))
        for key, positions in groups.items():
            members = [variants[p] for p in positions]
            leaving = len({v.train.epochs for v in members}) > 1 or any(
                v.train.early_stopping is not None for v in members
            )
            share = ahead * len(positions) / len(variants)
            prepared = self._prepared(members[0].data)
            kinds.append(_Group(key, positions, members[0], prepared, leaving, share, len(groups)))
        in_all = sum(group.member_steps_in_all for group in kinds)
        self.way = way
        planned: dict[Hashable, list[PlannedFleet]] = {}
        for group in sorted(kinds, key=lambda g: (len(g.positions) < 2, -g.member_steps_in_all)):
            positions = group.positions
            if self.way is None:  # it decides for the others, too
                group = replace(group, ahead=in_all / group.steps - len(positions))
            try:
                planned[group.key] = self._fleets(variants, group)
            except ModelError as error:
                planned[group.key] = [PlannedFleet(tuple(positions), "refused", str(error))]
            except WinnowError:
                raise
            except Exception as error:
                # Whether it is the model's fault or that of the trying out, training will tell, of
                # each by itself.
                reason = f"cannot be tried out in a stack: {kind_and_line(error)}"
                planned[group.key] = [
                    PlannedFleet((p,), "alone", reason, hindered=True) for p in positions
                ]
        return fleets + [fleet for group in kinds for fleet in planned[group.key]]

    def key(self, variant: Variant) -> Hashable:
        """Equal for variants that may share a fleet."""
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
        """Trainable numbers of a variant's model."""
        return self._probe(self.key(variant), variant).parameters

    def _fleets(self, variants: Sequence[Variant], group: _Group) -> list[PlannedFleet]:
        way = self.way
        single = len(group.positions) == 1
        if single and (
            way in (None, "apart") or self._probe(group.key, group.first).reason is not None
        ):
            alone = self._footprint(group, stacked=False)
            peak = 0 if alone is None else alone.peak_bytes(1, checkpoints=True)
            return [
                PlannedFleet(
                    (group.positions[0],),
                    "alone",
                    "no other variant has its shapes",
                    peak_bytes=peak,
                )
            ]
        reason = self._probe(group.key, group.first).reason
        if reason is not None:
            return self._one_by_one(group, f"cannot be stacked: {reason}", hindered=True)
        if way == "apart":
            return self._one_by_one(group, _LIKE_THE_OTHERS)
        found = self._footprint(group, stacked=True)
        most, at_once = (0, 1) if found is None else _fitting(found, leaving=group.leaving)
        if found is None or most < (1 if single else 2):
            return self._one_by_one(group, "two do not fit the free memory")
        parts = cut(group.positions, most, spread=not (group.prepared.is_streamed or on_gpu()))
        at_once = min(at_once, len(parts))
        reasons, measured = [], False
        if most < min(LARGEST_ON_GPU if on_gpu() else LARGEST_FLEET, len(group.positions)):
            reasons.append(f"no more than {most} fit the free memory, {at_once} fleets at once")
        busy = min(cores(), len(parts) * group.beside)  # cores that stacked fleets keep busy
        compiled = way == "compiled"
        if way is not None:
            reasons.append(_LIKE_THE_OTHERS)
        elif on_gpu():
            # Timing steps on the processor would tell nothing
            compiled = group.member_steps_in_all >= MEASURE_FROM
            reasons.append(
                f"on the GPU, "
                f"{'captured as a CUDA graph' if compiled else 'too few steps to compile'}"
            )
        elif group.member_steps_in_all >= MEASURE_FROM:
            timing, found_out = self._measure(group, len(parts[0]))
            reasons.append(found_out)
            measured = True
            plain = group.member_steps_in_all * timing.stacked_seconds / busy
            # alone, each member would read streamed rows for itself, which no measurement of steps
            # knows
            one_by_one = (
                math.inf if group.prepared.is_streamed else self._alone_seconds(group, timing)
            )
            stacked = plain
            if len(parts[0]) >= SMALLEST_COMPILED:
                fleet = [variants[p] for p in parts[0]]
                stacked, why = self._compiling(group, fleet, timing, busy, min(plain, one_by_one))
                compiled, stacked = stacked < plain, min(stacked, plain)
                reasons.append(why)
            if one_by_one < AS_GOOD * stacked:
                self.way = "apart"
                return self._one_by_one(group, "; ".join(reasons))
        else:
            reasons.append(
                f"{group.member_steps:,} steps in all, too few to measure what is fastest"
            )
        self.way = "compiled" if compiled else "stacked"
        return [
            PlannedFleet(
                tuple(part),
                "stacked",
                "; ".join(reasons),
                compiled,
                found.peak_bytes(len(part), leaving=group.leaving, checkpoints=True),
                at_once,
                measured=measured,
            )
            for part in parts
        ]

    def _one_by_one(
        self, group: _Group, reason: str, *, hindered: bool = False
    ) -> list[PlannedFleet]:
        workers, peak = self._workers(group)
        if not trains_elsewhere(group.first, group.prepared):
            streamed = group.prepared.is_streamed
            cause = (
                "its rows are streamed"
                if streamed
                else "the model's class cannot be imported by another"
            )
            why = f"; in this process, because {cause}"
            return [
                PlannedFleet(
                    (p,),
                    "alone",
                    reason + why,
                    peak_bytes=peak,
                    hindered=hindered or not streamed,
                )
                for p in group.positions
            ]
        return [
            PlannedFleet(
                tuple(group.positions), "process", reason, peak_bytes=peak, at_once=workers
            )
        ]

    def _workers(self, group: _Group) -> tuple[int, int]:
        """How many worker processes fit, and what training takes in each of them, in bytes."""
        found = self._footprint(group, stacked=False)
        if found is None:
            return 1, 0
        peak = found.peak_bytes(1, checkpoints=True)
        each = (
            PROCESS_BYTES + peak + 4 * len(group.prepared.train) * group.prepared.preparation.width
        )
        return max(1, min(cores(), len(group.positions), memory_bytes() // each)), peak

    def _alone_seconds(self, group: _Group, timing: StepTiming) -> float:
        """That training the group, and those ahead, takes when they are not stacked."""
        seconds = group.member_steps_in_all * timing.alone_seconds
        if not trains_elsewhere(group.first, group.prepared):
            return seconds
        return PROCESS_START_SECONDS + seconds / self._workers(group)[0]

    def _compiling(
        self,
        group: _Group,
        fleet: Sequence[Variant],
        timing: StepTiming,
        busy: int,
        otherwise: float,
    ) -> tuple[float, str]:
        """Seconds that training the group, and those ahead, takes with compiled programs, compiling
        included, and why; infinite where the model cannot be compiled.

        Args:
            fleet: the members of one fleet.
            timing: of the model.
            busy: cores that work at once.
            otherwise: seconds of the best of the other ways.
        """
        known = recall(fleet_kind(group.key))
        cost, each, basis = (
            COMPILE_SECONDS,
            COMPILED_FACTOR * timing.stacked_seconds,
            "by experience",
        )
        if (
            known.compile_seconds is not None
            and known.compiled_seconds is not None
            and known.plain_seconds
        ):
            cost, basis = known.compile_seconds, "as measured before"
            each = known.compiled_seconds / known.plain_seconds * timing.stacked_seconds
        more = (group.beside - 1) * cost  # each of the other groups has its own program
        cost += more
        told = f"compiling takes about {_in_words(cost)}"
        if group.key not in self._compiled:
            expected = cost + group.member_steps_in_all * each / busy
            saves = f"would save {_in_words(max(otherwise - expected + cost, 0.0))}, {basis}"
            if expected >= otherwise or not self._tries_compiling:
                return (
                    expected,
                    f"{'' if expected < otherwise else 'not '}compiled: {told} and {saves}",
                )
            self._compiled[group.key] = self._try_compiling(group, fleet)
        seconds = self._compiled[group.key]
        if seconds is None:
            return math.inf, "not compiled: the compiler fails on it"
        return more + group.member_steps_in_all * seconds / busy, f"{seconds * 1e6:.0f} us compiled"

    def _try_compiling(self, group: _Group, fleet: Sequence[Variant]) -> float | None:
        """Seconds of a compiled member-step on one core, written down for later runs; None
        where it cannot be compiled.
        """
        found = measure_compiled(fleet, group.prepared)
        if found is None:
            return None
        remember(
            fleet_kind(group.key),
            compile_seconds=min(found[0], COMPILED_BEFORE_SECONDS),
            compiled_seconds=found[1],
        )
        return found[1]

    def _probe(self, key: Hashable, variant: Variant) -> Probe:
        if key not in self._probes:
            self._probes[key] = probe(variant, self._prepared(variant.data))
        return self._probes[key]

    def _footprint(self, group: _Group, *, stacked: bool) -> Footprint | None:
        """None where not even its measurement fits the memory."""
        place = group.key, stacked
        if place not in self._footprints:
            try:
                with stacking():
                    found = footprint(
                        group.first, group.prepared, stacked=stacked, free_bytes=free_bytes()
                    )
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                return None
            self._footprints[place] = found
        return self._footprints[place]

    def _measure(self, group: _Group, members: int) -> tuple[StepTiming, str]:
        """What a member-step costs stacked and alone, and the same in words."""
        if group.key not in self._timings:
            timing = measure(group.first, group.prepared, members=members)
            self._timings[group.key] = timing
            remember(fleet_kind(group.key), plain_seconds=timing.stacked_seconds)
        timing = self._timings[group.key]
        stacked, alone = timing.stacked_seconds * 1e6, timing.alone_seconds * 1e6
        return (
            timing,
            f"measured {stacked:.0f} us a member-step stacked and {alone:.0f} us alone, each on "
            f"one core",
        )


def memory_bytes() -> int:
    """What all fleets together may take now, in bytes: of a GPU's memory where they train on
    one.
    """
    if on_gpu():
        return int(GPU_MEMORY_SHARE * torch.cuda.mem_get_info()[0])
    return int(MEMORY_SHARE * free_bytes())


def on_gpu() -> bool:
    """Whether fleets train on a GPU: one after another, each as large as fits, since it is the
    size that keeps a GPU busy.
    """
    return training_device().type == "cuda"


def _fitting(found: Footprint, *, leaving: bool) -> tuple[int, int]:
    """Members of the largest fleet that fits the memory, 0 for none, and how many of its size may
    train at once: as many as there are cores, unless they could not hold two members.
    """
    largest = LARGEST_ON_GPU if on_gpu() else LARGEST_FLEET
    sizes = {
        n: found.peak_bytes(n, leaving=leaving, checkpoints=True) for n in range(1, largest + 1)
    }
    budget = memory_bytes()
    for at_once in range(1 if on_gpu() else cores(), 0, -1):
        most = max((n for n, size in sizes.items() if size * at_once <= budget), default=0)
        if most >= 2:
            return most, at_once
    return most, 1


def _in_words(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def trains_elsewhere(variant: Variant, prepared: PreparedData) -> bool:
    """Whether another process can train it: what is an object of this program cannot be imported
    there, and rows that are streamed are not sent around.
    """
    methods = (record.use for record, _ in used_methods(variant.train))
    teacher = variant.train.teacher
    models = [variant.model] if teacher is None else [variant.model, teacher]
    tensors = [t for m in models if m.start for t in (m.start.weights, m.start.masks) if t]
    used = [*(model.use for model in models), variant.metric, *methods, *tensors]
    return not prepared.is_streamed and not any(use.startswith(OBJECT_PREFIX) for use in used)


def cut(positions: list[int], most: int, *, spread: bool = True) -> list[list[int]]:
    """Fleets of nearly equal size, none larger than ``most``: one for each core where that leaves
    them large enough; without ``spread`` as few as can be, since each reads streamed rows for
    itself.
    """
    count = max(
        -(-len(positions) // most),
        min(cores(), len(positions) // SMALLEST_FLEET) if spread else 1,
        1,
    )
    bounds = [round(i * len(positions) / count) for i in range(count + 1)]
    return [positions[a:b] for a, b in itertools.pairwise(bounds)]
