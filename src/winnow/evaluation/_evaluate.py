"""Evaluate: how good are the trained models on the rows that nothing has seen yet?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.data import softmax
from winnow.errors import ModelError
from winnow.evaluation._metrics import confusion_matrix, measure
from winnow.evaluation._records import EvaluationRecord, ScatterRecord
from winnow.recipe import metric_label, metric_of
from winnow.records import keep
from winnow.stats import FEW_ROWS, Interval, rows_interval
from winnow.study import TrainingResult
from winnow.training import predict
from winnow.trees import main

__all__ = ["Evaluation", "evaluate"]

SCATTER_POINTS = 500  # in the document; the report draws them


@dataclass(frozen=True)
class Evaluation:
    """Metrics on the test rows.

    Attributes:
        task: ``classification`` or ``regression``.
        metrics: by name, the mean over the final seeds with its interval over other trainings of
            the recipe and other rows like the test rows (``stats.rows_interval``); ``n`` counts the
            trainings.
        per_seed: by name, one value for each member whose training finished, in the order of
            ``trained.finished``.
        shipped: by name, of the member that ships.
        confusion: of the member that ships, shape (classes, classes), row = true class; None for
            regression.
        classes: labels in the order of the columns; None for regression.
        truth: shape (rows,): class indices, or values in the units of the target.
        predictions: of the member that ships: probabilities (rows, classes), or values (rows,) in
            the units of the target.
        notes: what the reader should know.
    """

    task: str
    metrics: dict[str, Interval]
    per_seed: dict[str, list[float]]
    shipped: dict[str, float]
    confusion: NDArray[np.int64] | None
    classes: tuple[str, ...] | None
    truth: np.ndarray
    predictions: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """How many test rows there are."""
        return len(self.truth)

    @property
    def record(self) -> EvaluationRecord:
        """The ``evaluation`` document."""
        confusion = None
        if self.confusion is not None:
            confusion = tuple(tuple(row) for row in self.confusion.tolist())
        return EvaluationRecord(
            task=self.task,
            metrics=self.metrics,
            per_seed={name: tuple(values) for name, values in self.per_seed.items()},
            shipped=self.shipped,
            confusion=confusion,
            classes=self.classes,
            rows=self.rows,
            scatter=self._scatter(),
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()

    def _scatter(self) -> ScatterRecord | None:
        if self.task != "regression":
            return None
        # Evenly through the rows, which the split has shuffled already
        points = min(self.rows, SCATTER_POINTS)
        positions = np.linspace(0, self.rows - 1, points).round().astype(int)
        some = np.unique(positions)
        truth = tuple(self.truth[some].tolist())
        prediction = tuple(self.predictions[some].tolist())
        return ScatterRecord(truth, prediction)


def evaluate(trained: TrainingResult) -> Evaluation:
    """Measure every trained member on the test rows.

    Call it once, when nothing will be chosen by it any more: a test score that chose something is
    no test score.

    Args:
        trained: by ``winnow.train``.

    Raises:
        DataError: an item of a dataset cannot be read or does not fit.
        ModelError: when the outputs of a member are not finite, or its weights do not fit.
        WorkspaceError: when weights are missing.
    """
    prepared = trained.prepared
    truth, predictions = _predictions(trained)
    measured = {
        i: measure(prepared.task, truth, prediction, metric=trained.metric)
        for i, prediction in predictions.items()
    }
    # A metric may be defined for one member and not for another, and has no mean then
    shipped = measured[trained.best]
    names = [name for name in shipped if all(name in values for values in measured.values())]
    per_seed = {name: [values[name] for values in measured.values()] for name in names}
    metrics = {
        name: rows_interval(metric_of(name), truth, list(predictions.values()), scores)
        for name, scores in per_seed.items()
    }
    of_shipped = predictions[trained.best]
    confusion = None
    if prepared.task == "classification":
        confusion = confusion_matrix(truth, of_shipped.argmax(axis=1), of_shipped.shape[1])
    evaluation = Evaluation(
        task=prepared.task,
        metrics=metrics,
        per_seed=per_seed,
        shipped={name: shipped[name] for name in names},
        confusion=confusion,
        classes=prepared.classes,
        truth=truth,
        predictions=of_shipped,
        notes=tuple(_notes(trained, names, truth)),
    )
    keep(trained.workspace.ledger, evaluation.record)
    return evaluation


def _predictions(trained: TrainingResult) -> tuple[np.ndarray, dict[int, NDArray[np.float64]]]:
    """Return the truth and the predictions of each member, from one pass over the test rows.

    Returns:
        Class indices, or targets in their own units, (rows,); and by member, probabilities (rows,
        classes), or predictions (rows,) in the units of the target.
    """
    prepared = trained.prepared
    targets, outputs = _outputs(trained)
    for i, rows in outputs.items():
        lost = int((~np.isfinite(rows)).any(axis=1).sum())
        if lost:
            raise ModelError(
                f"member {i} gives outputs that are not finite for {lost} of {len(rows)} test "
                f"rows: train it again with a lower rate"
            )
    if prepared.task == "classification":
        return targets, {i: softmax(rows) for i, rows in outputs.items()}
    decode = prepared.preparation.decode
    return decode(targets), {i: decode(rows) for i, rows in outputs.items()}


def _outputs(trained: TrainingResult) -> tuple[np.ndarray, dict[int, NDArray[np.float64]]]:
    """Return the targets as prepared, and the raw outputs of each member that finished."""
    modules = {i: trained.module(i) for i in trained.finished}
    targets: list[np.ndarray] = []
    pieces: dict[int, list[NDArray[np.float64]]] = {i: [] for i in modules}
    precision = trained.variants[0].train.weights_precision
    # Batches outside and members inside: rows that are streamed are read once
    for x, y in trained.prepared.batches("test", dtype=precision):
        targets.append(main(y).numpy())
        for i, module in modules.items():
            pieces[i].append(predict(module, x).double().numpy())
    return np.concatenate(targets), {i: np.concatenate(own) for i, own in pieces.items()}


def _notes(trained: TrainingResult, names: Sequence[str], truth: np.ndarray) -> list[str]:
    """Return what the reader of the figures should know.

    Args:
        trained: what was measured.
        names: of the metrics that are defined for every member.
        truth: of the test rows.
    """
    finished = len(trained.finished)
    asked = len(trained.outcomes)
    notes = [
        f"the intervals cover {finished} trainings and the choice of the {len(truth)} test rows "
        f"among rows like them"
    ]
    if len(truth) < FEW_ROWS:
        notes.append(
            f"{len(truth)} test rows are few: read the intervals, not the means; more rows, or a "
            f"larger data.split.test, would tell more"
        )
    if finished < asked:
        notes.append(
            f"{asked - finished} of {asked} final trainings failed and are not in these figures"
        )
    if trained.prepared.task == "classification":
        notes.extend(_notes_on_classes(trained, names, truth))
    elif "r2" not in names:
        notes.append("no R2: every test row has the same target")
    # The absence of these two has been explained
    if trained.metric not in (*names, "roc_auc", "r2"):
        label = metric_label(trained.metric)
        notes.append(f"no {label}: it is not defined on these test rows for every training")
    return notes


def _notes_on_classes(
    trained: TrainingResult, names: Sequence[str], truth: np.ndarray
) -> list[str]:
    """Return a note where the test rows hold no row of some class."""
    present = set(truth.tolist())
    classes = trained.prepared.classes or ()
    absent = [str(label) for i, label in enumerate(classes) if i not in present]
    which = ", ".join(absent)
    if "roc_auc" not in names:
        return [f"no ROC AUC: the test rows hold no row of class {which}"]
    if absent:
        return [f"ROC AUC is the mean without class {which}, of which the test rows hold no row"]
    return []
