"""Evaluate: how good are the trained models on the rows that nothing has seen yet?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.errors import ModelError
from winnow.evaluation._metrics import confusion_matrix, measure, softmax
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
    truth: NDArray[Any]
    predictions: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Test rows."""
        return len(self.truth)

    @property
    def record(self) -> EvaluationRecord:
        """The ``evaluation`` document."""
        return EvaluationRecord(
            task=self.task,
            metrics=self.metrics,
            per_seed={name: tuple(values) for name, values in self.per_seed.items()},
            shipped=self.shipped,
            confusion=None
            if self.confusion is None
            else tuple(tuple(row) for row in self.confusion.tolist()),
            classes=self.classes,
            rows=self.rows,
            scatter=self._scatter(),
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """``record`` as plain data."""
        return self.record.to_dict()

    def _scatter(self) -> ScatterRecord | None:
        if self.task != "regression":
            return None
        # evenly through the rows, which the split has shuffled already
        some = np.unique(
            np.linspace(0, self.rows - 1, min(self.rows, SCATTER_POINTS)).round().astype(int)
        )
        return ScatterRecord(
            tuple(self.truth[some].tolist()), tuple(self.predictions[some].tolist())
        )


def evaluate(trained: TrainingResult) -> Evaluation:
    """Measure every trained member on the test rows.

    Call it once, when nothing will be chosen by it any more: a test score that chose something is
    no test score.

    Raises:
        DataError: an item of a dataset cannot be read or does not fit.
        ModelError: when the outputs of a member are not finite, or its weights do not fit.
        WorkspaceError: when weights are missing.
    """
    classification = trained.prepared.task == "classification"
    truth, outputs = _outputs(trained)
    metric = trained.variants[0].metric
    measured = {
        i: measure(trained.prepared.task, truth, output, metric=metric)
        for i, output in outputs.items()
    }
    names = [n for n in measured[trained.best] if all(n in values for values in measured.values())]
    per_seed = {name: [values[name] for values in measured.values()] for name in names}
    best = outputs[trained.best]
    evaluation = Evaluation(
        task=trained.prepared.task,
        metrics={
            name: rows_interval(metric_of(name), truth, list(outputs.values()), values)
            for name, values in per_seed.items()
        },
        per_seed=per_seed,
        shipped={name: measured[trained.best][name] for name in names},
        confusion=confusion_matrix(truth, best.argmax(axis=1), best.shape[1])
        if classification
        else None,
        classes=trained.prepared.classes,
        truth=truth,
        predictions=best,
        notes=tuple(_notes(trained, names, truth)),
    )
    keep(trained.workspace.ledger, evaluation.record)
    return evaluation


def _outputs(trained: TrainingResult) -> tuple[NDArray[Any], dict[int, NDArray[np.float64]]]:
    """One pass over the test rows for all members: class indices, or targets in their own units,
    (rows,); and by member, probabilities (rows, classes), or predictions (rows,) in the units of
    the target.
    """
    prepared = trained.prepared
    modules = {i: trained.module(i) for i in trained.finished}
    targets: list[NDArray[Any]] = []
    pieces: dict[int, list[NDArray[np.float64]]] = {i: [] for i in modules}
    for x, y in prepared.batches("test", dtype=trained.variants[0].train.weights_precision):
        targets.append(main(y).numpy())
        for i, module in modules.items():
            pieces[i].append(predict(module, x).double().numpy())
    truth, raw = np.concatenate(targets), {i: np.concatenate(p) for i, p in pieces.items()}
    for i, rows in raw.items():
        lost = int((~np.isfinite(rows)).any(axis=1).sum())
        if lost:
            what = f"for {lost} of {len(rows)} test rows"
            raise ModelError(
                f"member {i} gives outputs that are not finite {what}: train it again with a "
                f"lower rate"
            )
    if prepared.task == "classification":
        return truth, {i: softmax(rows) for i, rows in raw.items()}
    decode = prepared.preparation.decode
    return decode(truth), {i: decode(rows) for i, rows in raw.items()}


def _notes(trained: TrainingResult, names: list[str], truth: NDArray[Any]) -> list[str]:
    metric = trained.variants[0].metric
    notes = [
        f"the intervals cover {len(trained.finished)} trainings and the choice of the "
        f"{len(truth)} test rows among rows like them"
    ]
    if len(truth) < FEW_ROWS:
        notes.append(
            f"{len(truth)} test rows are few: read the intervals, not the means; more rows, or a "
            f"larger data.split.test, would "
            "tell more"
        )
    lost = len(trained.outcomes) - len(trained.finished)
    if lost:
        notes.append(
            f"{lost} of {len(trained.outcomes)} final trainings failed and are not in these figures"
        )
    if trained.prepared.task == "classification":
        present = set(truth.tolist())
        absent = [
            label for i, label in enumerate(trained.prepared.classes or ()) if i not in present
        ]
        if "roc_auc" not in names:
            notes.append(
                f"no ROC AUC: the test rows hold no row of class {', '.join(map(str, absent))}"
            )
        elif absent:
            notes.append(
                f"ROC AUC is the mean without class {', '.join(map(str, absent))}, of which the "
                f"test rows hold no row"
            )
    if trained.prepared.task == "regression" and "r2" not in names:
        notes.append("no R2: every test row has the same target")
    if metric not in (*names, "roc_auc", "r2"):
        notes.append(
            f"no {metric_label(metric)}: it is not defined on these test rows for every training"
        )
    return notes
