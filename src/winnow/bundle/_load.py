"""Reading a bundle and predicting with it. NumPy and ONNX Runtime do it; PyTorch is not needed
and not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from winnow.bundle._files import MODEL, PREPARATION, RECIPE, WEIGHTS, from_json
from winnow.bundle._find import find_bundle
from winnow.bundle._manifest import Manifest, check_file, read_file, read_manifest
from winnow.bundle._model_file import check_fits, outputs_of
from winnow.bundle._session import check_self_contained, open_session
from winnow.data import Preparation, Unusual
from winnow.errors import BundleError, DataError, InputError
from winnow.trees import Tree

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Answer", "Bundle", "load"]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a bundle says to some rows, from one pass of the model.

    Attributes:
        predictions: (n,) class labels as they were in the data, or numbers in the target's unit.
        probabilities: (n, C) of the classes in their order; None for regression.
        warnings: for each row its values unlike any in the training rows; empty where all are
            ordinary.
    """

    predictions: np.ndarray
    probabilities: np.ndarray | None
    warnings: Sequence[Sequence[Unusual]]


@dataclass(frozen=True, eq=False, repr=False)
class Bundle:
    """A model that predicts from rows as they were in the data. Safe to call from several threads
    at once.

    Attributes:
        path: the folder it was read from.
        manifest: what is known about the model.
        preparation: turns rows into the model's input and its outputs into predictions.
    """

    path: Path
    manifest: Manifest
    preparation: Preparation
    _session: onnxruntime.InferenceSession

    @property
    def task(self) -> Literal["classification", "regression"]:
        """What the model predicts: classes, or numbers."""
        return self.preparation.target.task

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class labels as text, in the order of the probabilities; None for regression."""
        return self.preparation.classes

    @property
    def schema(self) -> list[dict[str, Any]]:
        """The input columns, each with its name, kind and what was seen in training."""
        return self.preparation.schema

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes" if self.classes else self.task
        return (
            f"Bundle({str(self.path)!r}, {what}, {self.manifest.deployed}, {len(self.schema)} "
            f"columns)"
        )

    def predict(self, rows: Any) -> np.ndarray:
        """Predict some rows.

        Args:
            rows: one record, a list of records, columns by name, a polars or pandas frame, or an
                array (n, columns); of several inputs, records, or their arrays by name or as a
                tuple. Columns that the model does not know are passed over; NaN and
                None stand for a gap where gaps are allowed.

        Returns:
            (n,) class labels as they were in the data, or numbers in the target's unit.

        Raises:
            InputError: rows that do not fit the schema; ``problems`` names the row and the field of
                each mistake.
        """
        return self.preparation.decode(self.logits(rows))

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Predict the probability of each class.

        Args:
            rows: as ``predict`` takes them.

        Returns:
            (n, C) probabilities in [0, 1], columns in the order of ``classes``.

        Raises:
            InputError: rows that do not fit the schema, or a model that predicts numbers.
        """
        if self.classes is None:
            raise InputError(
                f"this model predicts {self.preparation.target.name!r}, a number: it has no "
                f"probabilities"
            )
        return self.preparation.probabilities(self.logits(rows))

    def answer(self, rows: Any) -> Answer:
        """Return predictions, probabilities and warnings at once.

        Args:
            rows: as ``predict`` takes them.

        Returns:
            All three, from one pass of the model.

        Raises:
            InputError: rows that do not fit the schema; ``problems`` names the row and the field of
                each mistake.
        """
        warnings: list[list[Unusual]] = []
        if isinstance(rows, list | tuple) and not rows:
            outputs = self.logits(rows)
        else:
            X, warnings = self.preparation.examine(rows)
            outputs = self.outputs(X)
        probabilities = None if self.classes is None else self.preparation.probabilities(outputs)
        return Answer(self.preparation.decode(outputs), probabilities, warnings)

    def logits(self, rows: Any) -> np.ndarray:
        """Return the model's raw outputs.

        Args:
            rows: as ``predict`` takes them.

        Returns:
            (n, C) scores before the softmax, or (n, 1) values; float32.

        Raises:
            InputError: rows that do not fit the schema.
        """
        if isinstance(rows, list | tuple) and not rows:
            return np.empty((0, self.preparation.out_features), dtype=np.float32)
        return self.outputs(self.preparation.transform(rows))

    def outputs(self, X: Tree) -> np.ndarray:
        """Return the model's raw outputs of rows that ``preparation`` has prepared already.

        They go through the model in pieces, which bounds the memory.

        Args:
            X: (n, *shape) float32, or a tree of the inputs of a model that has several.

        Returns:
            (n, C) or (n, 1) float32.
        """
        return outputs_of(self._session, self.preparation, X)

    def weights(self) -> dict[str, np.ndarray]:
        """Return the trained float32 state dict, to go on training from.

        A module takes it by ``load_state_dict``, after ``torch.from_numpy`` of each array.

        Raises:
            BundleError: the bundle has none, or they were changed.
        """
        from safetensors.numpy import load as from_bytes

        return from_bytes(read_file(self.path, WEIGHTS, self.manifest))

    def recipe_yaml(self) -> str:
        """Return the recipe that made the model.

        Raises:
            BundleError: the bundle has none, or it was changed.
        """
        return read_file(self.path, RECIPE, self.manifest).decode()


def load(path: str | Path, *, threads: int | None = None) -> Bundle:
    """Open a bundle. Every file is checked against the manifest; nothing that came with the bundle
    is run as code.

    Args:
        path: the bundle's folder, or the run directory in which it lies.
        threads: ONNX Runtime's threads for one call; None: as many as the machine has cores.

    Returns:
        The bundle, ready to predict.

    Raises:
        BundleError: no bundle, damaged, changed after it was written, written by a newer winnow, or
            needing other files.
        ValueError: ``threads`` is below 1.

    Example:
        >>> import tempfile, winnow
        >>> recipe = winnow.Recipe(
        ...     name="iris",
        ...     data=winnow.Data(source="sklearn:iris"),
        ...     model=winnow.Model(use="mlp"),
        ...     train=winnow.Train(epochs=2),
        ...     final=winnow.Final(seeds=2),
        ... )
        >>> done = winnow.run(recipe, out=tempfile.mkdtemp(), ablate=False)
        >>> bundle = winnow.load(done.bundle)
        >>> bundle.predict([[5.1, 3.5, 1.4, 0.2]]).shape
        (1,)
    """
    if threads is not None and threads < 1:
        raise ValueError(f"`threads` must be at least 1, got {threads}")
    folder = find_bundle(Path(path))
    manifest = read_manifest(folder)
    for name in manifest.files:
        if name not in (MODEL, PREPARATION):  # these two are read now, which checks them as well
            check_file(folder, name, manifest)
    preparation = _preparation(read_file(folder, PREPARATION, manifest))
    onnx = read_file(folder, MODEL, manifest)
    check_self_contained(onnx)
    try:
        session = open_session(onnx, threads=threads)
    except Exception as error:  # ONNX Runtime's own exception types are many
        raise BundleError(f"ONNX Runtime cannot open {MODEL}: {error}") from error
    check_fits(session, preparation)
    return Bundle(folder, manifest, preparation, session)


def _preparation(content: bytes) -> Preparation:
    """Return the preparation in its file."""
    try:
        return Preparation.from_dict(from_json(content, PREPARATION))
    except DataError as error:
        raise BundleError(f"{PREPARATION}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{PREPARATION} cannot be read: {type(error).__name__}: {error}"
        ) from error
