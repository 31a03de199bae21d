"""Writing a fleet's results, inside the transaction of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from winnow.ledger import _codec, _tables
from winnow.ledger._database import chunks
from winnow.recipe import Outcome, Variant

__all__ = ["check", "membership", "outcomes"]

Results = Sequence[tuple[Variant, Outcome]]
Notes = Sequence[Mapping[str, Any]] | None
Upsert = Callable[[sa.Table], Any]  # the dialects' INSERTs have no common class with on_conflict_*


def check(results: Results, study: str | None, notes: Notes) -> None:
    """Refuse results that do not fit together.

    Args:
        results: each variant with its outcome.
        study: that they belong to; None: to none.
        notes: one for each result; None: there are none.

    Raises:
        ValueError: with the position at fault.
    """
    for i, (variant, outcome) in enumerate(results):
        if variant.id != outcome.variant_id:
            raise ValueError(
                f"result {i}: expected the outcome of variant {variant.id}, got that of "
                f"{outcome.variant_id}"
            )
    if notes is not None and study is None:
        raise ValueError("`notes` are a study's: name the study, too")
    if notes is not None and len(notes) != len(results):
        raise ValueError(f"expected one note for each of {len(results)} results, got {len(notes)}")


def outcomes(
    connection: sa.Connection,
    upsert: Upsert,
    results: Results,
    *,
    replace: bool = False,
) -> None:
    """Write the outcomes that the ledger lacks, or has only as failed.

    Args:
        connection: inside a transaction that writes.
        upsert: ``Database.upsert``.
        results: each variant with its outcome.
        replace: write all that finished, also those that the ledger has.
    """
    table = _tables.outcomes
    offered = _one_each(results)
    known = _known_outcomes(connection, offered)
    replaced = {i for i, row in known.items() if _gives_way(row, offered[i][1], replace)}
    for ids in chunks(replaced):
        # Takes its curves along
        connection.execute(sa.delete(table).where(table.c.variant_id.in_(ids)))
    for variant_id, row in known.items():
        weights = offered[variant_id][1].weights
        if variant_id in replaced or row.weights is not None or weights is None:
            continue
        of_variant = table.c.variant_id == variant_id
        connection.execute(sa.update(table).where(of_variant).values(weights=weights))
    fresh = [pair for i, pair in offered.items() if i not in known or i in replaced]
    _insert(connection, upsert, fresh)


def _known_outcomes(connection: sa.Connection, ids: Iterable[str]) -> dict[str, sa.Row]:
    """Return what decides whether an outcome on record is replaced, by id."""
    table = _tables.outcomes
    query = sa.select(table.c.variant_id, table.c.status, table.c.cause, table.c.weights)
    known = {}
    for chunk in chunks(ids):
        for row in connection.execute(query.where(table.c.variant_id.in_(chunk))):
            known[row.variant_id] = row
    return known


def _gives_way(row: sa.Row, offered: Outcome, replace: bool) -> bool:
    """Return whether what is on record is replaced."""
    if row.status == "finished":
        return replace and offered.finished
    if offered.finished:
        return True
    # A failure of the environment says nothing about the variant: anything is better
    return row.cause == "environment" and not offered.may_pass


def membership(connection: sa.Connection, study: str, results: Results, notes: Notes) -> None:
    """Write that the results belong to the study, unless it has them with the same note.

    Args:
        connection: inside a transaction that writes.
        study: its name.
        results: each variant with its outcome.
        notes: one for each result; None: there are none.
    """
    table = _tables.study_variants
    of_study = table.c.study == study
    texts = ["{}"] * len(results)
    if notes is not None:
        texts = [_codec.to_json(dict(note)) for note in notes]
    ids = [variant.id for variant, _ in results]
    offered = dict.fromkeys(zip(ids, texts, strict=True))  # each once, in their order
    query = sa.select(table.c.variant_id, table.c.note).where(of_study)
    known = set()
    for chunk in chunks(set(ids)):
        for row in connection.execute(query.where(table.c.variant_id.in_(chunk))):
            known.add((row.variant_id, row.note))
    next_position = sa.func.coalesce(sa.func.max(table.c.position) + 1, 0)
    begin = connection.execute(sa.select(next_position).where(of_study)).scalar_one()
    joining = [pair for pair in offered if pair not in known]
    rows = [
        {"study": study, "position": position, "variant_id": variant_id, "note": note}
        for position, (variant_id, note) in enumerate(joining, begin)
    ]
    if rows:
        connection.execute(sa.insert(table), rows)


def _one_each(results: Results) -> dict[str, tuple[Variant, Outcome]]:
    """Return the result of each id: the first that finished, or the first."""
    chosen: dict[str, tuple[Variant, Outcome]] = {}
    for variant, outcome in results:
        before = chosen.get(variant.id)
        if before is None or (outcome.finished and not before[1].finished):
            chosen[variant.id] = (variant, outcome)
    return chosen


def _insert(connection: sa.Connection, upsert: Upsert, fresh: Results) -> None:
    created = _codec.now()
    variants = []
    outcomes = []
    curves = []
    for variant, outcome in fresh:
        settings = _codec.canonical(variant)
        variants.append({"id": variant.id, "settings": settings, "seed": variant.seed})
        outcomes.append(_codec.outcome_row(outcome, created))
        for name, values in outcome.curves.items():
            points = _codec.pack(values)
            curves.append({"variant_id": outcome.variant_id, "name": name, "points": points})
    # In this order, since outcomes refer to variants, and curves to outcomes
    written = (
        (_tables.variants, variants),
        (_tables.outcomes, outcomes),
        (_tables.curves, curves),
    )
    for table, rows in written:
        # On PostgreSQL another process may have written the same facts since we looked; SQLite has
        # one writer at a time
        if rows:
            connection.execute(upsert(table).on_conflict_do_nothing(), rows)
