"""The ledger: what was asked, what was trained, what came out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from pydantic import ValidationError

from winnow.errors import WorkspaceError, did_you_mean
from winnow.files import without_formulas, written_aside
from winnow.ledger import _codec, _export, _record
from winnow.ledger._database import Database, chunks
from winnow.ledger._tables import curves, documents, outcomes, studies, study_variants, variants
from winnow.recipe import Outcome, Variant

if TYPE_CHECKING:
    import polars

__all__ = ["Ledger", "StudyOutcome", "StudyRecord"]


@dataclass(frozen=True)
class StudyRecord:
    """A question that was asked.

    Attributes:
        name: of the study.
        kind: what is asked, such as ``search``.
        spec: its settings.
        created: when it was first asked, ISO 8601, UTC.
    """

    name: str
    kind: str
    spec: dict[str, Any]
    created: str


@dataclass(frozen=True)
class StudyOutcome:
    """One outcome as a study sees it.

    Attributes:
        outcome: of a variant.
        note: what the study wrote beside it, such as the number of a trial.
    """

    outcome: Outcome
    note: dict[str, Any]


class Ledger:
    """The durable record of studies, variants, outcomes, curves and documents.

    A file (SQLite) or a database URL (``postgresql://...``). Every method is one transaction: it
    happens wholly or not at all, also when the process is killed in the middle. A method that fails
    raises ``WorkspaceError`` and leaves the record as it was.

    Threads may share one ledger. Processes may work on the same file at once, each with a ledger
    that it opened itself: do not carry one over a fork or send it to another process. Writers wait
    for each other. The ledger owns its connections, and gives them back with ``close`` or at the
    end of its ``with`` block; what it returns is plain data and stays valid.
    """

    def __init__(self, path_or_url: str | Path) -> None:
        self._database = Database(path_or_url)

    @classmethod
    def open(cls, path_or_url: str | Path) -> Self:
        """Open a ledger, and make it, with the directories above it, when there is none.

        Raises:
            WorkspaceError: for a directory, a place that cannot be written, a file that is no
                ledger, a ledger from a newer winnow, or a database that does not answer.
            MissingExtraError: for a URL whose driver is not installed.
        """
        return cls(path_or_url)

    def close(self) -> None:
        """Give the connections back.

        Closing twice is allowed; everything else on a closed ledger raises ``WorkspaceError``.
        """
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self._database.label!r})"

    # -- outcomes ----------------------------------------------------------------------------------

    def record(
        self,
        results: Sequence[tuple[Variant, Outcome]],
        *,
        study: str | None = None,
        notes: Sequence[Mapping[str, Any]] | None = None,
        replace: bool = False,
    ) -> None:
        """Write one fleet's results, and that they belong to a study, in one transaction.

        An id that is on record keeps its first outcome, with three exceptions: a finished outcome
        takes the place of a failed one, a failure of the variant's own that of one of the
        environment, and weights are noted for an outcome that had none. Recording the same results
        again changes nothing.

        Args:
            results: each variant with its outcome.
            study: a study that was ``put_study`` before; the results join it after those already in
                it.
            notes: one for each result, what the study wants to remember about it. The same variant
                may be in a study several times, with different notes.
            replace: finished outcomes take the place of those on record, whose weights are lost:
                score and weights are to be of the same training.

        Raises:
            ValueError: when an outcome is not its variant's, or notes do not match the results.
            WorkspaceError: for an unknown study.
        """
        _record.check(results, study, notes)
        with self._database.write() as connection:
            if study is not None:
                self._require_study(connection, study)
            _record.outcomes(connection, self._database.upsert, results, replace=replace)
            if study is not None:
                _record.membership(connection, study, results, notes)

    def outcomes(self, ids: Iterable[str], *, curves: bool = False) -> dict[str, Outcome]:
        """Return the outcomes on record by id, in the order of ``ids``.

        Args:
            ids: of variants; those without an outcome are not in the result.
            curves: read the curves, too; else ``Outcome.curves`` is empty.
        """
        asked = dict.fromkeys(ids)
        with self._database.read() as connection:
            found = _outcomes(connection, asked, curves)
        return {i: found[i] for i in asked if i in found}

    def outcome(self, variant_id: str, *, curves: bool = True) -> Outcome | None:
        """Return the outcome of one variant, or None when it has none."""
        return self.outcomes([variant_id], curves=curves).get(variant_id)

    def variants(self, ids: Iterable[str]) -> dict[str, Variant]:
        """Return the variants on record by id, in the order of ``ids``.

        Raises:
            WorkspaceError: when one was written by a winnow whose settings this one does not know.
        """
        asked = dict.fromkeys(ids)
        query = sa.select(variants.c.id, variants.c.settings)
        rows: list[sa.Row] = []
        with self._database.read() as connection:
            for chunk in chunks(asked):
                rows.extend(connection.execute(query.where(variants.c.id.in_(chunk))))
        found = {row.id: _variant(row.id, row.settings) for row in rows}
        return {i: found[i] for i in asked if i in found}

    def set_weights(self, variant_id: str, path: str | Path) -> None:
        """Note where the weights of a recorded variant are, relative to the run directory.

        Raises:
            WorkspaceError: for an id without an outcome.
        """
        where = path.as_posix() if isinstance(path, Path) else path
        of_variant = outcomes.c.variant_id == variant_id
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(outcomes).where(of_variant).values(weights=where)
            )
            if changed.rowcount == 0:
                raise WorkspaceError(
                    f"the ledger has no outcome of variant {variant_id!r} to note weights for"
                )

    # -- studies -----------------------------------------------------------------------------------

    def put_study(self, name: str, kind: str, spec: Mapping[str, Any]) -> None:
        """Write that a study was asked.

        Under a known name its kind and spec are replaced; what it found stays.

        Args:
            name: of the study.
            kind: what is asked.
            spec: its settings, as JSON has a form for.
        """
        row = {"kind": kind, "spec": _codec.to_json(dict(spec))}
        insert = self._database.upsert(studies).values(name=name, created=_codec.now(), **row)
        upsert = insert.on_conflict_do_update(index_elements=[studies.c.name], set_=row)
        with self._database.write() as connection:
            connection.execute(upsert)

    def studies(self) -> list[StudyRecord]:
        """Return all studies, the oldest first."""
        query = sa.select(studies).order_by(studies.c.created, studies.c.name)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            StudyRecord(row.name, row.kind, _codec.from_json(row.spec), row.created) for row in rows
        ]

    def study_outcomes(self, name: str, *, curves: bool = False) -> list[StudyOutcome]:
        """Return what a study was told, in the order in which it was recorded.

        Args:
            name: of the study.
            curves: read the curves, too; else ``Outcome.curves`` is empty.

        Raises:
            WorkspaceError: for an unknown study.
        """
        query = (
            sa.select(study_variants.c.variant_id, study_variants.c.note)
            .where(study_variants.c.study == name)
            .order_by(study_variants.c.position)
        )
        with self._database.read() as connection:
            self._require_study(connection, name)
            rows = connection.execute(query).all()
            ids = dict.fromkeys(row.variant_id for row in rows)
            found = _outcomes(connection, ids, curves)
        return [StudyOutcome(found[row.variant_id], _codec.from_json(row.note)) for row in rows]

    @staticmethod
    def _require_study(connection: sa.Connection, name: str) -> None:
        """Refuse an unknown study."""
        query = sa.select(studies.c.name).where(studies.c.name == name)
        # PostgreSQL locks its row, so that two writers do not give out the same positions
        if connection.get_execution_options().get("winnow_write"):
            query = query.with_for_update()
        if connection.execute(query).first() is None:
            known = connection.execute(sa.select(studies.c.name)).scalars().all()
            raise WorkspaceError(f"the ledger has no study {name!r}{did_you_mean(name, known)}")

    # -- documents ---------------------------------------------------------------------------------

    def put_document(self, name: str, content: Mapping[str, Any]) -> None:
        """Write the facts that a stage leaves, in place of what was there under this name.

        NumPy numbers and arrays become plain ones, tuples lists; NaN and infinities come back as
        they went.

        Raises:
            ValueError: for anything else that JSON has no form for.
        """
        row = {"content": _codec.to_json(dict(content)), "updated": _codec.now()}
        insert = self._database.upsert(documents).values(name=name, **row)
        upsert = insert.on_conflict_do_update(index_elements=[documents.c.name], set_=row)
        with self._database.write() as connection:
            connection.execute(upsert)

    def get_document(self, name: str) -> dict[str, Any] | None:
        """Return the facts under this name, or None."""
        query = sa.select(documents.c.content).where(documents.c.name == name)
        with self._database.read() as connection:
            text = connection.execute(query).scalar()
        return None if text is None else _codec.from_json(text)

    def remove_document(self, name: str) -> None:
        """Forget the facts under this name, if there are any.

        They are then about something that is no more.
        """
        with self._database.write() as connection:
            connection.execute(sa.delete(documents).where(documents.c.name == name))

    def documents(self) -> list[str]:
        """Return the names of all documents, sorted."""
        with self._database.read() as connection:
            return sorted(connection.execute(sa.select(documents.c.name)).scalars())

    # -- exports -----------------------------------------------------------------------------------

    def to_table(self) -> polars.DataFrame:
        """Return a table with one row for each outcome, the oldest first.

        The columns are those of ``Outcome`` without its curves, ``created``, then
        ``metrics.<name>``, then the variant's settings by dotted path,
        ``settings.train.optimizer.lr`` and so on; settings that are lists or mappings are JSON
        text.
        """
        with self._database.read() as connection:
            return _export.table(connection)

    def export_csv(self, path: str | Path) -> None:
        """Write ``to_table`` to a CSV file.

        Raises:
            WorkspaceError: when the file cannot be written.
        """
        try:
            with written_aside(path) as aside:
                without_formulas(self.to_table()).write_csv(aside)
        except OSError as error:
            raise WorkspaceError(
                f"cannot write the table of outcomes to {path}: {error.strerror or error}"
            ) from error


def _outcomes(
    connection: sa.Connection, ids: Iterable[str], with_curves: bool
) -> dict[str, Outcome]:
    """Return the outcomes on record by id, in no order."""
    found = {}
    for chunk in chunks(ids):
        curves_of = _curves(connection, chunk) if with_curves else {}
        query = sa.select(outcomes).where(outcomes.c.variant_id.in_(chunk))
        for row in connection.execute(query).mappings():
            variant_id = row["variant_id"]
            found[variant_id] = _codec.outcome_from_row(row, curves_of.get(variant_id, {}))
    return found


def _curves(connection: sa.Connection, ids: list[str]) -> dict[str, dict[str, list[float]]]:
    """Return the curves of variants, by id and name."""
    found: defaultdict[str, dict[str, list[float]]] = defaultdict(dict)
    query = sa.select(curves).where(curves.c.variant_id.in_(ids))
    for variant_id, name, points in connection.execute(query):
        found[variant_id][name] = _codec.unpack(points)
    return found


def _variant(variant_id: str, settings: str) -> Variant:
    """Return the variant of settings on record."""
    try:
        return Variant.model_validate(_codec.from_json(settings))
    except (ValidationError, ValueError) as error:
        raise WorkspaceError(
            f"variant {variant_id} was recorded by another version of winnow and cannot be read: "
            f"{error}"
        ) from error
