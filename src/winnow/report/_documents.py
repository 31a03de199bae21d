"""The documents of a run, as the report reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from winnow.bundle import BundleRecord
from winnow.compression import CompressionRecord, ShippedRecord
from winnow.data import DataRecord
from winnow.errors import WorkspaceError
from winnow.evaluation import BaselinesRecord, EvaluationRecord
from winnow.execution import PlanRecord, RunRecord
from winnow.records import Document
from winnow.report._errors import ReportError
from winnow.study import AblationRecord, BudgetRecord, FinalRecord, SearchRecord

__all__ = ["Documents", "typed"]

BESIDE = ("looks", "ways")  # names of documents whose content others repeat
KINDS: tuple[type[Document], ...] = (
    RunRecord,
    DataRecord,
    PlanRecord,
    SearchRecord,
    AblationRecord,
    FinalRecord,
    EvaluationRecord,
    BaselinesRecord,
    CompressionRecord,
    ShippedRecord,
    BundleRecord,
    BudgetRecord,
)


@dataclass(frozen=True)
class Documents:
    """What the stages of a run left; None for what is not there.

    Attributes:
        unknown: names of documents that no stage of this winnow makes.
    """

    run: RunRecord | None = None
    data: DataRecord | None = None
    plan: PlanRecord | None = None
    search: SearchRecord | None = None
    ablation: AblationRecord | None = None
    final: FinalRecord | None = None
    evaluation: EvaluationRecord | None = None
    baselines: BaselinesRecord | None = None
    compression: CompressionRecord | None = None
    shipped: ShippedRecord | None = None
    bundle: BundleRecord | None = None
    budget: BudgetRecord | None = None
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, documents: Mapping[str, Mapping[str, Any] | None]) -> Documents:
        """The records of plain data, by name.

        Raises:
            ReportError: a document is no mapping, or holds a value of another type than its record.
        """
        there = {name: document for name, document in documents.items() if document is not None}
        for name, document in there.items():
            if not isinstance(document, Mapping):
                raise ReportError(
                    f"expected document {name!r} as a mapping, got {type(document).__name__}"
                )
        found: dict[str, Any] = {
            kind.NAME: typed(kind, there[kind.NAME]) for kind in KINDS if kind.NAME in there
        }
        unknown = tuple(name for name in there if name not in found and name not in BESIDE)
        return cls(**found, unknown=unknown)

    def __contains__(self, name: str) -> bool:
        return getattr(self, name, None) is not None

    def each(self) -> Iterator[Document]:
        """Those that are there."""
        return (d for kind in KINDS if (d := getattr(self, kind.NAME)) is not None)


def typed(kind: type[Document], document: Document | Mapping[str, Any]) -> Any:
    """``document`` as a record of this kind, which it may be already.

    Raises:
        ReportError: a value is of another type than the field of the record.
    """
    if isinstance(document, kind):
        return document
    assert isinstance(document, Mapping)
    try:
        return kind.from_dict(document)
    except WorkspaceError as error:
        raise ReportError(str(error)) from error
