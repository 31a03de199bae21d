"""The ledger's tables. Everything in them exists in SQLite and in PostgreSQL."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa

__all__ = [
    "SCHEMA_VERSION",
    "curves",
    "documents",
    "meta",
    "metadata",
    "outcomes",
    "studies",
    "study_variants",
    "variants",
]

SCHEMA_VERSION = 4  # raised with every column that is added below


class Real(sa.types.TypeDecorator[float]):
    """A double that may be NaN. SQLite stores NaN as NULL, so NULL is read as NaN, everywhere."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: sa.Dialect) -> float | None:
        return None if value is None or math.isnan(value) else float(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> float:
        return math.nan if value is None else float(value)


metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

studies = sa.Table(
    "studies",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("spec", sa.Text, nullable=False),  # JSON
    sa.Column("created", sa.Text, nullable=False),  # ISO 8601, UTC, as all times here
)

variants = sa.Table(
    "variants",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("settings", sa.Text, nullable=False),  # canonical JSON: what the id is a hash of
    sa.Column("seed", sa.BigInteger, nullable=False),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("variant_id", sa.ForeignKey("variants.id"), primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("score", Real),
    sa.Column("metrics", sa.Text, nullable=False),  # JSON
    sa.Column("best_epoch", sa.Integer, nullable=False),
    sa.Column("epochs", sa.Integer, nullable=False),
    sa.Column("steps", sa.BigInteger, nullable=False),
    sa.Column("seconds", Real),
    sa.Column("weights", sa.Text),
    sa.Column("fleet", sa.Text, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
    # Added since the first schema. Older ledgers are given such columns when they are opened, so
    # they must take NULL.
    sa.Column("cause", sa.Text),
    sa.Column("device", sa.Text),
    sa.Column("versions", sa.Text),  # JSON
    sa.Column("predictions_digest", sa.Text),
    sa.Column("stopped", sa.Text),
)

# Without row ids these two are stored in the order of their keys: what is read together lies
# together.
curves = sa.Table(
    "curves",
    metadata,
    sa.Column(
        "variant_id", sa.ForeignKey("outcomes.variant_id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("points", sa.LargeBinary, nullable=False),  # float64, little-endian
    sqlite_with_rowid=False,
)

study_variants = sa.Table(
    "study_variants",
    metadata,
    sa.Column("study", sa.ForeignKey("studies.name"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("variant_id", sa.ForeignKey("variants.id"), nullable=False),
    sa.Column("note", sa.Text, nullable=False),  # JSON
    sa.Index("study_variants_by_variant", "study", "variant_id"),
    sqlite_with_rowid=False,
)

documents = sa.Table(
    "documents",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("content", sa.Text, nullable=False),  # JSON
    sa.Column("updated", sa.Text, nullable=False),
)
