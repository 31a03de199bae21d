"""Writing a bundle: a folder with the model, its weights, the preparation and what is known
about it. No pickle anywhere.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from winnow import __version__
from winnow.bundle._files import (
    FORMAT,
    MANIFEST,
    MODEL,
    PREPARATION,
    RECIPE,
    VERSION,
    WEIGHTS,
    digest_of,
    manifest_digest,
    to_json,
    write_folder,
)
from winnow.bundle._session import check_self_contained
from winnow.data import Preparation
from winnow.errors import BundleError
from winnow.records import plain

__all__ = ["save"]


def save(
    path: str | Path,
    *,
    onnx: bytes,
    kind: str,
    preparation: Preparation,
    name: str | None = None,
    weights: Mapping[str, Any] | None = None,
    metric: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    recipe_metrics: Mapping[str, Any] | None = None,
    test_rows: int | None = None,
    verdict: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    recipe_yaml: str | None = None,
    parity: Mapping[str, Any] | None = None,
    compression: Mapping[str, Any] | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
    created: dt.datetime | None = None,
) -> Path:
    """Write a bundle to the folder ``path``, all or nothing. A bundle that is there is replaced,
    anything else is refused.

    Args:
        path: the folder; by custom its name ends in ``.winnow``.
        onnx: the deployed model; input ``x`` (batch, *shape), output ``y`` (batch, classes) raw
            scores, or (batch, 1).
        kind: ``fp32``, or what made it smaller, as ``int8``.
        preparation: turns rows into ``x`` and outputs into predictions.
        name: what the model is called; None: the folder's name.
        weights: the trained float32 state dict (tensors or arrays), to go on training from; not
            needed to predict.
        metric: the score that was optimized.
        metrics: of this very model file on the test rows, by name: intervals over the rows, or
            numbers.
        recipe_metrics: what the recipe gives on average: means over trainings with several seeds,
            before compression.
        test_rows: how many rows ``metrics`` are of.
        verdict: whether the model is shown to be better than a constant, as ``text`` and the
            baselines it was held against.
        model: how the model was made: ``use``, ``args``, ``parameters`` and whatever else is JSON.
        recipe_yaml: the recipe with nothing open.
        parity: how far this very model file is from the PyTorch model that it came from.
        compression: what compression measured of the deployed model.
        examples: a few rows to try the model on, JSON values by column.
        created: time of writing; None: now.

    Returns:
        ``path``, as a Path.

    Raises:
        BundleError: ``path`` holds something that is not a bundle, or the model needs other files.
    """
    check_self_contained(onnx)
    files = {MODEL: onnx, PREPARATION: to_json(preparation.to_dict())}
    if weights is not None:
        files[WEIGHTS] = _safetensors(weights)
    if recipe_yaml is not None:
        files[RECIPE] = recipe_yaml.encode()
    manifest = {
        "format": FORMAT,
        "format_version": VERSION,
        "created": (created or dt.datetime.now(dt.UTC)).isoformat(timespec="seconds"),
        "versions": {
            "winnow": __version__,
            **{name: _version(name) for name in ("torch", "onnx", "onnxruntime")},
        },
        "name": name or Path(path).stem,
        "task": preparation.target.task,
        "target": preparation.target.name,
        "classes": list(preparation.classes) if preparation.classes else None,
        "metric": metric,
        "metrics": plain(metrics or {}),
        "recipe_metrics": plain(recipe_metrics or {}),
        "test_rows": test_rows,
        "verdict": plain(verdict),
        "schema": plain(preparation.schema),
        "model": plain(model or {}),
        "deployed": kind,
        "parity": plain(parity),
        "compression": plain(compression),
        "examples": plain(list(examples)),
        "files": {
            name: {"bytes": len(content), "sha256": digest_of(content)}
            for name, content in files.items()
        },
    }
    manifest["digest"] = manifest_digest(manifest)
    write_folder(Path(path), {**files, MANIFEST: to_json(manifest)})
    return Path(path)


def _safetensors(weights: Mapping[str, Any]) -> bytes:
    """The state dict, every floating tensor as float32."""
    from safetensors.numpy import save as to_bytes

    arrays = {}
    for name, value in weights.items():
        if hasattr(value, "detach"):  # a tensor; NumPy has no bfloat16
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() else value).numpy()
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise BundleError(
                f"cannot store the weights {name!r}: expected numbers, found {array.dtype}"
            )
        # a copy: tensors that share memory are each written whole, and load back the same
        arrays[name] = np.array(
            array, dtype=np.float32 if array.dtype.kind == "f" else array.dtype, order="C"
        )
    return to_bytes(arrays)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
