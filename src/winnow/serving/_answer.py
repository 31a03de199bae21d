"""Predictions as plain JSON values, and the shape they are described by."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, create_model

from winnow.errors import InputError
from winnow.serving._errors import Fault, RefusalError
from winnow.serving._fields import tidy
from winnow.serving._protocol import Predictor

__all__ = ["ModelInfo", "answer", "answer_model", "model_info"]


class WarnedAnswer(BaseModel):
    """A value unlike any in the training rows: the model answers, and nothing shows how well it
    does there.
    """

    field: str
    message: str


class ModelInfo(BaseModel):
    """Which model answers."""

    name: str
    task: str
    format: int = Field(description="version of the bundle's format")
    digest: str = Field(description="changes whenever the bundle changes")


def model_info(predictor: Predictor, name: str) -> ModelInfo:
    """Return what the manifest says about the model. Without a digest of its own it gets one over
    all it says.
    """
    manifest = predictor.manifest
    text = json.dumps(manifest.to_dict(), sort_keys=True, default=str)
    digest = manifest.digest or hashlib.sha256(text.encode()).hexdigest()
    return ModelInfo(
        name=manifest.name or name,
        task=predictor.task,
        format=manifest.format_version,
        digest=digest[:16],
    )


def answer(predictor: Predictor, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ``predictions``, ``probabilities`` (None for regression) and ``warnings`` of rows that
    fit the schema.

    Raises:
        Refused: 422 when the rows do not fit the bundle after all, or lead to an answer that is not
            finite.
    """
    try:
        found = predictor.answer(rows)
    except InputError as error:
        raise RefusalError(
            422, str(error), faults=[_fault(p.setting, p.message) for p in error.problems]
        ) from None
    warnings = [
        [{"field": field, "message": message} for field, message in row] for row in found.warnings
    ]
    predictions = _plain(found.predictions)
    if found.probabilities is None:
        _check_finite(np.asarray(predictions, dtype=float).reshape(len(rows), -1))
        return {"predictions": predictions, "probabilities": None, "warnings": warnings}
    probabilities = np.asarray(found.probabilities, dtype=float)
    _check_finite(probabilities)
    names = [str(_plain(c)) for c in predictor.classes or ()]
    by_class = [dict(zip(names, map(_short, p), strict=True)) for p in probabilities]
    return {"predictions": predictions, "probabilities": by_class, "warnings": warnings}


def _check_finite(values: np.ndarray[Any, Any]) -> None:
    """``values`` (rows, outputs)."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        message = (
            "the model has no finite answer: the values lie far outside what it was trained on"
        )
        raise RefusalError(422, message, faults=[Fault(int(i), None, message) for i in bad[:100]])


def _fault(setting: str, message: str) -> Fault:
    """A bundle names a place as ``row 3: age``, ``rows[3].age`` or ``age``."""
    found = re.match(r"(?:row |rows?\[)(\d+)\]?(?:[.: ]+(.+))?$", setting)
    if found:
        return Fault(int(found[1]), found[2], message)
    return Fault(None, setting or None, message)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy
        return value.tolist()
    if hasattr(value, "to_list"):  # series of polars
        return value.to_list()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _short(probability: float) -> float:
    return float(f"{probability:.9g}")  # what float32 holds; more digits would be noise


def answer_model(predictor: Predictor, info: ModelInfo) -> type[BaseModel]:
    """Return the pydantic model of an answer of 200, with the bundle's own classes as its
    example.
    """
    classes = [tidy(c) for c in predictor.classes or ()]
    example: Mapping[str, Any]
    if classes:
        label: Any = str | int | float | bool  # as in the data
        shares = {
            str(c): 0.9 if i == 0 else round(0.1 / max(len(classes) - 1, 1), 6)
            for i, c in enumerate(classes)
        }
        example = {
            "predictions": [classes[0]],
            "probabilities": [shares],
            "warnings": [[]],
            "model": info.model_dump(),
        }
        described = f"one class for each row, of: {', '.join(map(str, classes[:100]))}"
    else:
        label = float
        example = {
            "predictions": [0.0],
            "probabilities": None,
            "warnings": [[]],
            "model": info.model_dump(),
        }
        described = "one number for each row, in the target's own unit"
    return create_model(
        "Prediction",
        __doc__="Predictions in the order of the rows.",
        __config__={"json_schema_extra": {"examples": [dict(example)]}},
        predictions=(list[label], Field(description=described)),
        probabilities=(
            list[dict[str, float]] | None,
            Field(description="for each row the probability of every class; null for regression"),
        ),
        warnings=(
            list[list[WarnedAnswer]],
            Field(
                description="for each row its values unlike any in the training rows; empty "
                "where all are ordinary"
            ),
        ),
        model=(ModelInfo, ...),
    )
