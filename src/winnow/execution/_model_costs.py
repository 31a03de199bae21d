"""What it takes to train a kind of model: found out once, and remembered for the next plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from winnow.data import PreparedData
from winnow.execution._fleets import VariantGroup
from winnow.execution._machine import free_bytes
from winnow.recipe import Data, Variant
from winnow.training import (
    Footprint,
    Probe,
    StepTiming,
    fleet_kind,
    footprint,
    is_out_of_memory,
    measure,
    measure_compiled,
    probe,
    recall,
    remember,
    stacking,
)

__all__ = ["CompilingEstimate", "ModelCosts"]

# Where no earlier run has measured them (benchmarks/architectures.py): the time of compiling, and
# of a compiled member-step as a share of the time of one that is not. From the second process on
# the compiler finds its work on disk.
COMPILE_SECONDS = 12.0
COMPILED_FACTOR = 0.5
COMPILED_BEFORE_SECONDS = 4.0


@dataclass(frozen=True)
class CompilingEstimate:
    """What compiling is expected to take, before it is tried.

    Attributes:
        seconds: of compiling one program.
        member_step_seconds: of a compiled member-step on one core.
        basis: where that is known from, in words.
    """

    seconds: float
    member_step_seconds: float
    basis: str


class ModelCosts:
    """What kinds of models take; each thing is found out when it is first asked for.

    Args:
        prepared: gives the prepared rows of a data section.
    """

    def __init__(self, prepared: Callable[[Data], PreparedData]) -> None:
        self._prepared = prepared
        self._probes: dict[Hashable, Probe] = {}
        self._footprints: dict[tuple[Hashable, bool], Footprint] = {}
        self._timings: dict[Hashable, StepTiming] = {}
        # Seconds of a member-step, where it was tried; None: it cannot be compiled
        self._compiled: dict[Hashable, float | None] = {}

    def probe(self, key: Hashable, variant: Variant) -> Probe:
        """Return whether variants of this key can be stacked, and how many parameters they have."""
        if key not in self._probes:
            self._probes[key] = probe(variant, self._prepared(variant.data))
        return self._probes[key]

    def footprint(self, group: VariantGroup, *, stacked: bool) -> Footprint | None:
        """Return the memory that training takes; None where not even its measurement fits.

        The latter is not remembered: there may be more memory when it is next asked for.
        """
        place = (group.key, stacked)
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

    def step_timing(self, group: VariantGroup, members: int) -> StepTiming:
        """Return what a member-step takes stacked and alone, each on one core.

        Args:
            group: of the model.
            members: of the stack that is timed.
        """
        if group.key not in self._timings:
            timing = measure(group.first, group.prepared, members=members)
            self._timings[group.key] = timing
            remember(fleet_kind(group.key), plain_seconds=timing.stacked_seconds)
        return self._timings[group.key]

    def compiling_estimate(self, key: Hashable, timing: StepTiming) -> CompilingEstimate:
        """Return what compiling should take: by an earlier run if there was one, else by
        experience.
        """
        known = recall(fleet_kind(key))
        if (
            known.compile_seconds is not None
            and known.compiled_seconds is not None
            and known.plain_seconds
        ):
            # As a share of the plain time, since this machine may be busier than it was then
            share = known.compiled_seconds / known.plain_seconds
            seconds = share * timing.stacked_seconds
            return CompilingEstimate(known.compile_seconds, seconds, "as measured before")
        seconds = COMPILED_FACTOR * timing.stacked_seconds
        return CompilingEstimate(COMPILE_SECONDS, seconds, "by experience")

    def was_compiled(self, key: Hashable) -> bool:
        """Return whether compiling was tried, so that ``compiled_seconds`` costs nothing."""
        return key in self._compiled

    def compiled_seconds(self, group: VariantGroup, fleet: Sequence[Variant]) -> float | None:
        """Return the seconds of a compiled member-step on one core; None where the compiler fails.

        Args:
            group: of the model.
            fleet: members that are compiled together, the first time.
        """
        if group.key not in self._compiled:
            self._compiled[group.key] = _try_compiling(group, fleet)
        return self._compiled[group.key]


def _try_compiling(group: VariantGroup, fleet: Sequence[Variant]) -> float | None:
    """Return the seconds of a compiled member-step, and write them down for later runs."""
    found = measure_compiled(fleet, group.prepared)
    if found is None:
        return None
    compile_seconds, member_step_seconds = found
    remember(
        fleet_kind(group.key),
        # The compiler's cache on disk makes the next time no longer than this
        compile_seconds=min(compile_seconds, COMPILED_BEFORE_SECONDS),
        compiled_seconds=member_step_seconds,
    )
    return member_step_seconds
