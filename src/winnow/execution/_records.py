"""The documents about how a run was made, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from winnow.records import Document, Record

__all__ = ["FleetRecord", "PlanRecord", "RunRecord", "Sitting", "WayRecord", "WaysRecord"]


@dataclass(frozen=True)
class FleetRecord(Record):
    """Variants that trained together: how many, ``how`` (see ``How``), why so, for which study."""

    members: int = 0
    how: str = ""
    reason: str = ""
    study: str = ""


@dataclass(frozen=True)
class PlanRecord(Document):
    """The fleets of a run, in the order in which they trained."""

    NAME: ClassVar[str] = "plan"

    fleets: tuple[FleetRecord, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sitting(Record):
    """When (ISO 8601) a process began that trained, with what versions, on what machine."""

    began: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord(Document):
    """How a run was started, where, with what versions.

    Attributes:
        name: of its recipe.
        command: how to repeat it.
        started: ISO 8601, when its first sitting began.
        seconds: of work, over all sittings.
        versions, machine: of the first sitting that trained.
        sittings: those that trained with others than the one before; None in ledgers that are
            older than sittings.
        seed, recipe_yaml: as asked.
        metric: never ``auto``.
        notes: what the reader should know.
        quick: what a quick run asks for, in words; None for others.
        ablate: whether the last sitting looked for parts that do nothing.
    """

    NAME: ClassVar[str] = "run"

    name: str | None = None
    command: str | None = None
    started: str | None = None
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    sittings: tuple[Sitting, ...] | None = None
    seed: int | None = None
    recipe_yaml: str | None = None
    metric: str = ""
    higher_is_better: bool | None = None
    task: str | None = None
    notes: tuple[str, ...] = ()
    quick: str | None = None
    ablate: bool = True


@dataclass(frozen=True)
class WayRecord(Record):
    """The way in which all variants of a study train that can be stacked (``stacked``,
    ``compiled`` or ``apart``), and with what it was measured.
    """

    way: Literal["stacked", "compiled", "apart"] | None = None
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WaysRecord(Document):
    """The way of each study."""

    NAME: ClassVar[str] = "ways"

    studies: Mapping[str, WayRecord] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The ways by study, without a name above them."""
        return {study: way.to_dict() for study, way in self.studies.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        return super().from_dict({"studies": document})
