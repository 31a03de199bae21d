"""In what groups variants train: equal shapes together, sized by memory, stacked where that was measured to pay."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from winnow.data import Prepared
from winnow.errors import ModelError
from winnow.recipe import OBJECT_PREFIX, Data, Variant
from winnow.train import BLOCK, Probe, Timing, build_members, measure, num_steps, probe, shape_key

__all__ = ["LARGEST_FLEET", "How", "PlannedFleet", "Planner", "cores", "cut"]

How = Literal["stacked", "alone", "process", "refused"]

SMALLEST_FLEET = 8  # members; a group is not cut smaller to give every core a fleet
LARGEST_FLEET = 64  # members; beyond it the time of a member-step no longer falls (benchmarks/fleet.py)
MEMORY_SHARE = 0.5  # of the memory that is free now
MEASURE_FROM = 3000  # member-steps: below that any way of training is done before a measurement has paid
COMPILE_FROM_SECONDS = 150.0  # of expected training on this machine: compiling takes about 30 and saves a third or more
PROCESS_START_SECONDS = 5.0  # until a worker process has loaded PyTorch and takes its first variant


@dataclass(frozen=True)
class PlannedFleet:
    """Variants that train together.

    Attributes:
        positions: of the variants in the list that was planned.
        how: ``stacked`` as one program, ``alone`` one after another in this process, ``process`` one at a time in worker
            processes, ``refused`` because the model cannot be built.
        reason: why so, in a sentence.
        compiled: whether the program runs through ``torch.compile``.
    """

    positions: tuple[int, ...]
    how: How
    reason: str
    compiled: bool = False


@dataclass(frozen=True)
class _Group:
    probe: Probe
    positions: list[int]


class Planner:
    """Groups variants into fleets. What it learnt about a model (can it be stacked, does it pay) is remembered for the next
    call.

    Args:
        prepared: gives the prepared rows of a data section.
    """

    def __init__(self, prepared: Callable[[Data], Prepared]) -> None:
        self._prepared = prepared
        self._keys: dict[str, Hashable] = {}
        self._probes: dict[Hashable, Probe] = {}
        self._timings: dict[Hashable, Timing] = {}

    def plan(self, variants: Sequence[Variant]) -> list[PlannedFleet]:
        """Fleets that hold every variant once."""
        groups: dict[Hashable, list[int]] = {}
        fleets = []
        for position, variant in enumerate(variants):
            try:
                groups.setdefault(self.key(variant), []).append(position)
            except ModelError as error:
                fleets.append(PlannedFleet((position,), "refused", str(error)))
        return [*fleets, *(fleet for key, positions in groups.items() for fleet in self._fleets(key, positions, variants))]

    def key(self, variant: Variant) -> Hashable:
        """Equal for variants that may share a fleet."""
        # The seed cannot change it (the probe refuses models where it does), nor can lane settings: one module built
        # for each kind is enough.
        kind = variant.model_copy(update={"seed": 0, "train": _shape_settings(variant)}).model_dump_json()
        if kind not in self._keys:
            prepared = self._prepared(variant.data)
            self._keys[kind] = shape_key(variant, build_members([variant], prepared)[0])
        return self._keys[kind]

    def _fleets(self, key: Hashable, positions: list[int], variants: Sequence[Variant]) -> list[PlannedFleet]:
        first = variants[positions[0]]
        prepared = self._prepared(first.data)
        if len(positions) == 1:
            return [PlannedFleet((positions[0],), "alone", "no other variant has its shapes")]
        if key not in self._probes:
            self._probes[key] = probe(first, prepared)
        found = self._probes[key]
        if found.reason is not None:
            return self._one_by_one(positions, first, f"cannot be stacked: {found.reason}")
        batch = min(int(first.train.batch_size), len(prepared.train.y))
        member_bytes = found.member_bytes + 2 * batch * found.row_bytes
        most = max(1, min(LARGEST_FLEET, int(MEMORY_SHARE * free_bytes() / member_bytes)))
        reason = f"{found.parameters:,} parameters and about {member_bytes / 2**20:.1f} MiB each"
        member_steps = len(positions) * first.train.epochs * num_steps(first, len(prepared.train.y))
        compiled = False
        if member_steps >= MEASURE_FROM:
            timing, measured = self._measure(key, first, prepared)
            gain = member_steps * (timing.stacked_seconds - timing.alone_seconds) / cores()
            if gain > 0.05 * member_steps * timing.stacked_seconds / cores() + PROCESS_START_SECONDS:
                return self._one_by_one(positions, first, measured)
            reason = f"{reason}; {measured}"
            seconds = member_steps * timing.stacked_seconds / cores()
            if seconds > COMPILE_FROM_SECONDS and len(positions) >= BLOCK:
                compiled = True
                reason = f"{reason}; compiled, since about {seconds:.0f} s of training win the compiling back"
        if most == 1:
            return self._one_by_one(positions, first, f"two do not fit the free memory: {reason}")
        return [PlannedFleet(tuple(part), "stacked", reason, compiled) for part in cut(positions, most)]

    def _one_by_one(self, positions: list[int], first: Variant, reason: str) -> list[PlannedFleet]:
        if first.model.use.startswith(OBJECT_PREFIX):
            why = "; in this process, because the model's class cannot be imported by another"
            return [PlannedFleet((p,), "alone", reason + why) for p in positions]
        return [PlannedFleet(tuple(positions), "process", reason)]

    def _measure(self, key: Hashable, variant: Variant, prepared: Prepared) -> tuple[Timing, str]:
        """What a member-step costs stacked and alone, and the same in words."""
        if key not in self._timings:
            self._timings[key] = measure(variant, prepared)
        timing = self._timings[key]
        stacked, alone = timing.stacked_seconds * 1e6, timing.alone_seconds * 1e6
        return timing, f"measured {stacked:.0f} us a member-step stacked and {alone:.0f} us alone, each on one core"


def _shape_settings(variant: Variant) -> object:
    """The training section with its lane settings blotted out."""
    train = variant.train
    optimizer = type(train.optimizer)()
    return type(train)(
        epochs=1,
        batch_size=train.batch_size,
        drop_last=train.drop_last,
        optimizer=optimizer,
        loss=train.loss,
        precision=train.precision,
    )


def cut(positions: list[int], most: int) -> list[list[int]]:
    """Fleets of nearly equal size, none larger than ``most``: one for each core where that leaves them large enough."""
    count = max(-(-len(positions) // most), min(cores(), len(positions) // SMALLEST_FLEET), 1)
    bounds = [round(i * len(positions) / count) for i in range(count + 1)]
    return [positions[a:b] for a, b in itertools.pairwise(bounds)]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_bytes() -> int:
    """Memory that could be taken now, in bytes."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 4 * 2**30
