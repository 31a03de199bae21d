"""What a plan consists of: groups of variants with equal shapes, and the fleets they become."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from winnow.data import PreparedData
from winnow.execution._machine import cores
from winnow.recipe import OBJECT_PREFIX, Variant
from winnow.training import num_steps, used_methods

__all__ = ["How", "PlannedFleet", "VariantGroup", "Way", "cut", "trains_elsewhere"]

How = Literal["stacked", "alone", "process", "refused"]
Way = Literal["stacked", "compiled", "apart"]
"""The program that trains: they agree to rounding. ``alone`` and ``process`` are both ``apart``."""

SMALLEST_FLEET = 8  # members; a group is not cut smaller to give every core a fleet


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
class VariantGroup:
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
        """Optimizer steps of one member."""
        return self.first.train.epochs * num_steps(self.first, len(self.prepared.train))

    @property
    def member_steps(self) -> int:
        """Optimizer steps of all its members together."""
        return len(self.positions) * self.steps

    @property
    def member_steps_in_all(self) -> float:
        """``member_steps`` with those of members that are still to come."""
        return (len(self.positions) + self.ahead) * self.steps


def cut(positions: list[int], most: int, *, spread: bool = True) -> list[list[int]]:
    """Return fleets of nearly equal size, none larger than ``most``.

    Args:
        positions: of the variants.
        most: members of a fleet, at least 1.
        spread: give every core a fleet where that leaves them large enough; else there are as few
            as can be, since each reads streamed rows for itself.
    """
    for_memory = -(-len(positions) // most)  # rounded up
    for_cores = min(cores(), len(positions) // SMALLEST_FLEET) if spread else 1
    count = max(for_memory, for_cores, 1)
    bounds = [round(i * len(positions) / count) for i in range(count + 1)]
    return [positions[start:end] for start, end in itertools.pairwise(bounds)]


def trains_elsewhere(variant: Variant, prepared: PreparedData) -> bool:
    """Return whether another process can train a variant.

    What is an object of this program cannot be imported there, and rows that are streamed are not
    sent around.
    """
    if prepared.is_streamed:
        return False
    teacher = variant.train.teacher
    models = [variant.model] if teacher is None else [variant.model, teacher]
    used = [model.use for model in models]
    used.append(variant.metric)
    used.extend(record.use for record, _ in used_methods(variant.train))
    for model in models:
        if model.start:
            tensors = (model.start.weights, model.start.masks)
            used.extend(name for name in tensors if name)
    return not any(name.startswith(OBJECT_PREFIX) for name in used)
