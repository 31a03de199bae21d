"""What a run directory says about the run itself, over all the sittings that worked in it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import replace

from winnow import data
from winnow.data import PreparedData
from winnow.execution import FleetRecord, PlanRecord, RunRecord
from winnow.ledger import Ledger
from winnow.pipeline._run_facts import quick_words, run_facts, sittings_of
from winnow.pipeline._source import settings_of
from winnow.recipe import QUICK, Recipe
from winnow.records import keep, recall

__all__ = ["Journal"]

AS_QUICK_AS_BEFORE = (
    "this run was begun with --quick, and the recipe it goes on with asks for no more"
)


class Journal:
    """Writes how a run was started, with what versions, how it trained and what was noted.

    Args:
        ledger: of the run directory.
        recipe: what is run.
        command: how to repeat the run.
        ablate: whether this sitting looks for parts that do nothing.
        quick: whether the recipe was made small by ``--quick``.
        began: reading of ``time.perf_counter`` from which the seconds of this sitting count.

    Attributes:
        before: the record ``run`` as earlier sittings left it; empty in a new directory.
        began: as it was given.
        quick: whether this sitting, or an earlier one that asked for as little, was quick.
    """

    def __init__(
        self,
        ledger: Ledger,
        recipe: Recipe,
        *,
        command: str,
        ablate: bool,
        quick: bool,
        began: float,
    ) -> None:
        self.before = recall(ledger, RunRecord) or RunRecord()
        self.began = began
        self.quick = quick or _is_as_quick(recipe, self.before)
        self._ledger = ledger
        self._recipe = recipe
        self._command = command
        self._ablate = ablate
        plan = recall(ledger, PlanRecord) or PlanRecord()
        self._fleets = plan.fleets
        self._sittings = sittings_of(self.before, trained=bool(plan.fleets))
        self._notes: list[str] = []

    @property
    def spent(self) -> float:
        """The seconds that earlier sittings took."""
        return self.before.seconds or 0.0

    def add(self, note: str) -> bool:
        """Take a note in, unless it is there already; tell whether it is new."""
        if note in self._notes:
            return False
        self._notes.append(note)
        return True

    def write(self, prepared: PreparedData, metric: str, fleets: Sequence[FleetRecord]) -> None:
        """Write the documents ``run``, ``plan`` and ``data``.

        Args:
            prepared: the rows of the run.
            metric: what is optimized, never ``auto``.
            fleets: that this sitting has trained.
        """
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        facts = run_facts(
            self._recipe,
            metric=metric,
            task=prepared.task,
            command=self._command,
            started=self.before.started or now,
            seconds=self.spent + time.perf_counter() - self.began,
            notes=tuple(self._notes),
            before=self._sittings,
            trained=bool(fleets),
            quick=self.quick,
            ablate=self._ablate,
        )
        # Written several times in a sitting, which began but once
        self.before = replace(self.before, started=facts.started)
        keep(self._ledger, facts)
        keep(self._ledger, PlanRecord((*self._fleets, *fleets)))
        keep(self._ledger, data.describe(prepared))


def quick_note(recipe: Recipe) -> str:
    """Return the note of a run that is quick because an earlier sitting was."""
    return quick_words(recipe, AS_QUICK_AS_BEFORE)


def _is_as_quick(recipe: Recipe, before: RunRecord) -> bool:
    """Tell whether an earlier sitting was quick and the recipe asks for as little now."""
    if not before.quick or before.recipe_yaml is None:
        return False
    known = settings_of(Recipe.from_yaml(before.recipe_yaml))
    now = settings_of(recipe)
    # Only the settings that --quick touches count: another metric is no smaller question.
    return all(known[path] == now[path] for path in now if path in QUICK)
