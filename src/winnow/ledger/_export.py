"""The ledger as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from winnow.ledger import _codec
from winnow.ledger._tables import outcomes, variants

if TYPE_CHECKING:
    import polars

__all__ = ["table"]


def table(connection: sa.Connection) -> polars.DataFrame:
    """Return all outcomes with their metrics and the settings of their variants; see
    ``Ledger.to_table``.
    """
    import polars as pl

    query = (
        sa.select(outcomes, variants.c.settings)
        .join(variants)
        .order_by(outcomes.c.created, outcomes.c.variant_id)
    )
    rows = [dict(row) for row in connection.execute(query).mappings()]
    metrics = [_codec.from_json(row.pop("metrics")) for row in rows]
    settings = [dict(_flat(_codec.from_json(row.pop("settings")))) for row in rows]
    numbers = {
        "score": pl.Float64,
        "seconds": pl.Float64,
        "best_epoch": pl.Int64,
        "epochs": pl.Int64,
        "steps": pl.Int64,
    }
    schema = {c.name: numbers.get(c.name, pl.String) for c in outcomes.c if c.name != "metrics"}
    fixed = pl.DataFrame(rows, schema=schema)
    return fixed.hstack([*_columns("metrics", metrics), *_columns("settings", settings)])


def _columns(prefix: str, records: list[dict[str, Any]]) -> list[polars.Series]:
    """Return a column for each key, in the order in which the keys come up.

    What a record lacks is null.
    """
    import polars as pl

    keys = dict.fromkeys(key for record in records for key in record)
    columns = []
    for key in keys:
        values = [record.get(key) for record in records]
        # Not strict: where members differ in kind (1 and 0.5, 64 and "wide") the wider kind holds
        # both
        columns.append(pl.Series(f"{prefix}.{key}", values, strict=False))
    return columns


def _flat(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of each setting.

    What is no record of settings and no plain value becomes JSON text.
    """
    for key, value in settings.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{path}.")
        elif isinstance(value, dict | list):
            yield path, _codec.to_json(value)
        else:
            yield path, value
