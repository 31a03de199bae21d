"""Writing a fleet's results, inside the transaction of the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from winnow.ledger import _codec, _tables
from winnow.ledger._database import chunks
from winnow.recipe import Outcome, Variant

__all__ = ["check", "membership", "outcomes"]

Results = Sequence[tuple[Variant, Outcome]]
Notes = Sequence[Mapping[str, Any]] | None


def check(results: Results, study: str | None, notes: Notes) -> None:
    """Refuse results that do not fit together.

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
    upsert: Callable[[sa.Table], Any],
    results: Results,
    *,
    replace: bool = False,
) -> None:
    """Write the outcomes that the ledger lacks, or has only as failed; with ``replace``, all
    that finished.
    """
    table = _tables.outcomes
    offered = _one_each(results)
    query = sa.select(table.c.variant_id, table.c.status, table.c.cause, table.c.weights)
    known = {
        r.variant_id: r
        for ids in chunks(offered)
        for r in connection.execute(query.where(table.c.variant_id.in_(ids)))
    }
    replaced = {i for i, row in known.items() if _gives_way(row, offered[i][1], replace)}
    for ids in chunks(replaced):
        # Takes its curves along
        connection.execute(sa.delete(table).where(table.c.variant_id.in_(ids)))
    for i, row in known.items():
        if (
            i not in replaced
            and row.weights is None
            and (weights := offered[i][1].weights) is not None
        ):
            connection.execute(
                sa.update(table).where(table.c.variant_id == i).values(weights=weights)
            )
    _insert(
        connection, upsert, [pair for i, pair in offered.items() if i not in known or i in replaced]
    )


def _gives_way(row: Any, offered: Outcome, replace: bool) -> bool:
    """Whether what is on record is replaced. A failure of the environment says nothing about
    the variant: anything is better.
    """
    if row.status == "finished":
        return replace and offered.finished
    return offered.finished or (row.cause == "environment" and not offered.may_pass)


def membership(connection: sa.Connection, study: str, results: Results, notes: Notes) -> None:
    """Write that the results belong to the study, unless it has them with the same note."""
    table = _tables.study_variants
    of_study = table.c.study == study
    texts = (
        [_codec.to_json(dict(note)) for note in notes]
        if notes is not None
        else ["{}"] * len(results)
    )
    offered = dict.fromkeys(
        (variant.id, text) for (variant, _), text in zip(results, texts, strict=True)
    )
    query = sa.select(table.c.variant_id, table.c.note).where(of_study)
    ids_in = chunks({variant_id for variant_id, _ in offered})
    known = {
        (r.variant_id, r.note)
        for ids in ids_in
        for r in connection.execute(query.where(table.c.variant_id.in_(ids)))
    }
    begin = connection.execute(
        sa.select(sa.func.coalesce(sa.func.max(table.c.position) + 1, 0)).where(of_study)
    ).scalar_one()
    rows = [
        {"study": study, "position": position, "variant_id": variant_id, "note": note}
        for position, (variant_id, note) in enumerate(
            (pair for pair in offered if pair not in known), begin
        )
    ]
    if rows:
        connection.execute(sa.insert(table), rows)


def _one_each(results: Results) -> dict[str, tuple[Variant, Outcome]]:
    """The result of each id: the first that finished, or the first."""
    chosen: dict[str, tuple[Variant, Outcome]] = {}
    for variant, outcome in results:
        before = chosen.get(variant.id)
        if before is None or (outcome.finished and not before[1].finished):
            chosen[variant.id] = (variant, outcome)
    return chosen


def _insert(connection: sa.Connection, upsert: Callable[[sa.Table], Any], fresh: Results) -> None:
    created = _codec.now()
    lines = [
        (
            _tables.variants,
            [{"id": v.id, "settings": _codec.canonical(v), "seed": v.seed} for v, _ in fresh],
        ),
        (_tables.outcomes, [_codec.outcome_row(outcome, created) for _, outcome in fresh]),
        (
            _tables.curves,
            [
                {"variant_id": outcome.variant_id, "name": name, "points": _codec.pack(values)}
                for _, outcome in fresh
                for name, values in outcome.curves.items()
            ],
        ),
    ]
    for table, rows in lines:
        # On PostgreSQL another process may have written the same facts since we looked; SQLite has
        # one writer at a time
        if rows:
            connection.execute(upsert(table).on_conflict_do_nothing(), rows)
