"""Writing a bundle: a folder with the model, its weights, the preparation and what is known
about it. No pickle anywhere.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from winnow import __version__
from winnow.bundle._files import (
    MANIFEST,
    MODEL,
    PREPARATION,
    RECIPE,
    WEIGHTS,
    digest_of,
    to_json,
)
from winnow.bundle._manifest import Manifest, VerdictRecord, manifest_digest
from winnow.bundle._record import FileRecord
from winnow.bundle._session import check_self_contained
from winnow.bundle._write import write_folder
from winnow.data import Preparation
from winnow.errors import BundleError

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
        verdict: whether the model is shown to be better than the simple ones that it was held
            against; see ``VerdictRecord``.
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
    manifest = Manifest(
        created=(created or dt.datetime.now(dt.UTC)).isoformat(timespec="seconds"),
        versions=_versions(),
        name=name or Path(path).stem,
        task=preparation.target.task,
        target=preparation.target.name,
        classes=preparation.classes or None,
        metric=metric,
        metrics=metrics or {},
        recipe_metrics=recipe_metrics or {},
        test_rows=test_rows,
        verdict=None if verdict is None else VerdictRecord.from_dict(verdict),
        schema=tuple(preparation.schema),
        model=model or {},
        deployed=kind,
        parity=parity,
        compression=compression,
        examples=tuple(examples),
        files={name: _listed(content) for name, content in files.items()},
    )
    # Of the plain data, which is what a reader has before it can trust any of it
    signed = replace(manifest, digest=manifest_digest(manifest.to_dict()))
    write_folder(Path(path), {**files, MANIFEST: to_json(signed.to_dict())})
    return Path(path)


def _listed(content: bytes) -> FileRecord:
    """Return the size and the digest of a file, as the manifest lists them."""
    return FileRecord(len(content), digest_of(content))


def _safetensors(weights: Mapping[str, Any]) -> bytes:
    """Return the state dict as a file, every floating tensor as float32."""
    from safetensors.numpy import save as to_bytes

    return to_bytes({name: _array(name, value) for name, value in weights.items()})


def _array(name: str, value: Any) -> np.ndarray:
    """Return a tensor or an array as NumPy's, floats in 32 bits.

    Args:
        name: in the state dict, for the message.
        value: a tensor of PyTorch's, or whatever NumPy makes an array of.

    Raises:
        BundleError: no numbers.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.is_floating_point():
            value = value.float()  # NumPy has no bfloat16
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise BundleError(
            f"cannot store the weights {name!r}: expected numbers, found {array.dtype}"
        )
    dtype = np.float32 if array.dtype.kind == "f" else array.dtype
    # A copy: tensors that share memory are each written whole, and load back the same.
    return np.array(array, dtype=dtype, order="C")


def _versions() -> dict[str, str | None]:
    """Return the versions of what writes a bundle; None where a library is not installed."""
    versions: dict[str, str | None] = {"winnow": __version__}
    for distribution in ("torch", "onnx", "onnxruntime"):
        versions[distribution] = _version(distribution)
    return versions


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
