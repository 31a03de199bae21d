"""Between what winnow holds and what a table holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from winnow.recipe import Outcome, Variant

__all__ = [
    "canonical",
    "from_json",
    "now",
    "outcome_from_row",
    "outcome_row",
    "pack",
    "to_json",
    "unpack",
]


def to_json(value: object) -> str:
    """Return a value as JSON text.

    NumPy numbers and arrays become plain ones; NaN and infinities come back as they went.

    Raises:
        ValueError: for anything else that JSON has no form for.
    """
    return json.dumps(value, default=_plain, separators=(",", ":"))


def from_json(text: str) -> Any:
    """Return the value of JSON text that ``to_json`` wrote."""
    return json.loads(text)


def canonical(variant: Variant) -> str:
    """Return the text that ``Variant.id`` is a hash of."""
    return json.dumps(variant.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def pack(values: Sequence[float]) -> bytes:
    """Return a curve as little-endian float64, whatever the machine."""
    return np.asarray(values, dtype="<f8").tobytes()


def unpack(points: bytes) -> list[float]:
    """Return the curve of these bytes."""
    return np.frombuffer(points, dtype="<f8").tolist()


def outcome_row(outcome: Outcome, created: str) -> dict[str, Any]:
    """Return the row of ``outcomes``; the curves go elsewhere.

    Args:
        outcome: of a variant.
        created: when it was recorded, of ``now``.
    """
    return {
        "variant_id": outcome.variant_id,
        "status": outcome.status,
        "reason": _storable(outcome.reason),
        "score": outcome.score,
        "metrics": to_json(outcome.metrics),
        "best_epoch": int(outcome.best_epoch),
        "epochs": int(outcome.epochs),
        "steps": int(outcome.steps),
        "seconds": outcome.seconds,
        "predictions_digest": outcome.predictions_digest,
        "stopped": _storable(outcome.stopped),
        "weights": outcome.weights,
        "fleet": outcome.fleet,
        "cause": outcome.cause,
        "device": outcome.device,
        "versions": to_json(outcome.versions),
        "created": created,
    }


def outcome_from_row(row: sa.RowMapping, curves: dict[str, list[float]]) -> Outcome:
    """Return the outcome of a row of ``outcomes`` and of the curves beside it.

    What older ledgers do not have in the row is empty.
    """
    return Outcome(
        variant_id=row["variant_id"],
        status=row["status"],
        reason=row["reason"],
        score=row["score"],
        metrics=from_json(row["metrics"]),
        curves=curves,
        best_epoch=row["best_epoch"],
        epochs=row["epochs"],
        steps=row["steps"],
        seconds=row["seconds"],
        predictions_digest=row["predictions_digest"],
        stopped=row["stopped"],
        weights=row["weights"],
        fleet=row["fleet"],
        cause=row["cause"],
        device=row["device"] or "",
        versions=from_json(row["versions"] or "{}"),
    )


def _storable(text: str | None) -> str | None:
    """Return the words of any exception or of a user's method without what no database takes."""
    if text is None:
        return None
    without_surrogates = text.encode("utf-8", "backslashreplace").decode()
    return without_surrogates.replace("\0", "\\x00")


def now() -> str:
    """Return the time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _plain(value: object) -> object:
    """Return a NumPy value as plain data, for what JSON does not know."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise ValueError(f"JSON has no form for {type(value).__name__}: {value!r:.80}")
