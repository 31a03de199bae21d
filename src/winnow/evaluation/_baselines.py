"""Does a model beat a constant, a linear model and gradient boosting on the same rows?

These are fitted once (``fit_baselines``); any predictions for the test rows are held against them
(``compare_baselines``): those of the PyTorch model while there is no file, then those of the file
that ships.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from winnow.data import PreparedData
from winnow.evaluation._fit_baselines import FittedBaseline, center
from winnow.evaluation._metrics import measure
from winnow.evaluation._records import Baseline, BaselinesRecord
from winnow.recipe import metric_label, metric_of
from winnow.records import plain
from winnow.stats import Interval, paired_rows

__all__ = ["Baselines", "ahead_of_the_model", "compare_baselines", "gain_over"]

IN_WORDS = {"linear": "a linear model", "boosting": "gradient boosting"}


@dataclass(frozen=True)
class Baselines:
    """The baselines, and what they say about a model.

    Attributes:
        metric: the recipe's.
        rows: test rows.
        file: the digest of the model file that is compared; None: the PyTorch model, of which there
            is no file yet.
        shipped: of that model, by name of the metric, on the same rows.
        baselines: the constant first.
        beats_constant: whether the model is shown to be better than the constant by the recipe's
            metric: the lower end of the gain's interval lies above 0.
        one_answer: the class that the model predicts for every test row, None where there are
            several, and for regression.
        ranks: of a classification the gain in ROC AUC over the constant's 0.5; None where the area
            is not defined.
        verdict: what that comes to, in a sentence.
        notes: where a baseline is better, how they were fitted.
    """

    metric: str
    rows: int
    file: str | None
    shipped: dict[str, float]
    baselines: tuple[Baseline, ...]
    beats_constant: bool
    one_answer: str | None
    ranks: Interval | None
    verdict: str
    notes: tuple[str, ...] = ()

    @property
    def record(self) -> BaselinesRecord:
        """The ``baselines`` document."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return BaselinesRecord(higher_is_better=metric_of(self.metric).higher_is_better, **found)

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()

    def for_manifest(self) -> dict[str, Any]:
        """Return what a bundle keeps: the verdict, and the baselines' metrics by name."""
        measured = {b.name: b.metrics for b in self.baselines if b.metrics}
        return plain(
            {
                "text": self.verdict,
                "beats_constant": self.beats_constant,
                "metric": self.metric,
                "baselines": measured,
            }
        )


def compare_baselines(
    fitted: Sequence[FittedBaseline],
    prepared: PreparedData,
    metric: str,
    truth: np.ndarray,
    predictions: np.ndarray,
    *,
    file: str | None = None,
) -> Baselines:
    """Hold a model's predictions for the test rows against those of the baselines.

    Args:
        fitted: by ``fit_baselines``, of the same rows.
        prepared: the rows.
        metric: the recipe's.
        truth: class indices, or values in the units of the target, (rows,).
        predictions: of the model: probabilities (rows, classes), or values (rows,).
        file: the digest of the model file that gave them; None for a PyTorch model.
    """
    shipped = measure(prepared.task, truth, predictions, metric=metric)
    # Where the recipe's metric is not defined on these rows, the first that is takes its place
    judged_by = metric if metric in shipped else next(iter(shipped))
    baselines = []
    for each in fitted:
        baseline = each.baseline
        if each.predictions is not None:
            baseline = replace(
                baseline,
                metrics=_measured(truth, each.predictions, prepared, metric),
                gain=gain_over(judged_by, truth, predictions, each.predictions),
            )
        baselines.append(baseline)
    constant = baselines[0].gain
    assert constant is not None  # only the others are ever left out
    one_answer, ranks = None, None
    if prepared.classes is not None:
        one_answer = _one_answer(predictions, prepared.classes)
        if "roc_auc" in shipped:
            ranks = _gain_in_ranks(truth, predictions)
    notes = ahead_of_the_model(judged_by, baselines, file)
    if any(baseline.metrics for baseline in baselines[1:]):
        notes.append(
            "the baselines were fitted on the training rows alone; the validation rows chose "
            "nothing for them"
        )
    return Baselines(
        metric=judged_by,
        rows=len(truth),
        file=file,
        shipped=shipped,
        baselines=tuple(baselines),
        beats_constant=constant.low > 0,
        one_answer=one_answer,
        ranks=ranks,
        verdict=_verdict(judged_by, baselines, one_answer, ranks),
        notes=tuple(notes),
    )


def gain_over(metric: str, y: np.ndarray, model: np.ndarray, other: np.ndarray) -> Interval:
    """Return how much better ``model`` is than ``other``: above 0 is better, of losses too.

    Args:
        metric: by which they are compared.
        y: class indices, or values in the units of the target, (rows,).
        model, other: probabilities (rows, classes), or values (rows,).
    """
    gain = paired_rows(metric_of(metric), y, other, model)
    if metric_of(metric).higher_is_better:
        return gain
    return replace(gain, mean=-gain.mean, low=-gain.high, high=-gain.low)


def ahead_of_the_model(metric: str, baselines: Sequence[Baseline], file: str | None) -> list[str]:
    """Return a sentence for each baseline that the test rows show to be better than the model.

    Args:
        metric: that the gains are in.
        baselines: the constant first, which is judged by itself.
        file: the digest of the model's file; None: there is none yet.
    """
    model = "the model" if file is None else "the model that ships"
    sentences = []
    for baseline in baselines[1:]:
        gain = baseline.gain
        if gain is None or not gain.high < 0:
            continue
        name = IN_WORDS.get(baseline.name, baseline.name)
        lead = replace(gain, mean=-gain.mean, low=-gain.high, high=-gain.low)
        sentences.append(
            f"{name} is better than {model}, by {lead} of {_in_words(metric)} on the same test rows"
        )
    return sentences


def _one_answer(predictions: np.ndarray, classes: Sequence[str]) -> str | None:
    """Return the class that is predicted for every row; None where there are several."""
    predicted = np.unique(predictions.argmax(axis=1))
    return classes[predicted[0]] if len(predicted) == 1 else None


def _gain_in_ranks(truth: np.ndarray, predictions: np.ndarray) -> Interval:
    """Return the gain in ROC AUC over equal probabilities, which tell no two rows apart."""
    equal = np.full_like(predictions, 1 / predictions.shape[1])
    return gain_over("roc_auc", truth, predictions, equal)


def _verdict(
    metric: str,
    baselines: Sequence[Baseline],
    one_answer: str | None,
    ranks: Interval | None,
) -> str:
    """Return what the gains come to, in a sentence."""
    constant = baselines[0].gain
    beats_constant = constant is not None and constant.low > 0
    tells_rows_apart = ranks is not None and ranks.low > 0
    words = _in_words(metric)
    if one_answer is not None and tells_rows_apart:
        verdict = (
            f"the model answers {one_answer!r} for every test row; only its probabilities tell "
            f"rows apart"
        )
        if beats_constant:
            return verdict
        return f"{verdict}, and by {words} it is not shown to be better than a constant"
    if one_answer is not None:
        return (
            f"no better than a constant: the model answers {one_answer!r} for every test row, and "
            f"its probabilities are not shown to tell rows apart"
        )
    if beats_constant:
        # What a reader takes "better than a constant" for: that the model earns its keep
        level = [IN_WORDS[b.name] for b in baselines[1:] if _is_level(b)]
        verdict = f"better than a constant by {words}"
        if not level:
            return verdict
        return f"{verdict}, not shown to be better than {' or '.join(level)}"
    if tells_rows_apart and metric != "roc_auc":
        return (
            f"not shown to be better than a constant by {words}; its probabilities do tell rows "
            f"apart"
        )
    return f"not shown to be better than a constant by {words}"


def _is_level(baseline: Baseline) -> bool:
    """Return whether the model is not shown to be better than a baseline that was measured."""
    return baseline.gain is not None and not baseline.gain.low > 0


def _in_words(metric: str) -> str:
    """Return its label; but a name of one word stands as recipes spell it."""
    is_one_word = not {"_", ":"} & set(metric)
    return metric if is_one_word else metric_label(metric)


def _measured(
    y: np.ndarray, predictions: np.ndarray, prepared: PreparedData, metric: str
) -> dict[str, float]:
    """Return the metrics of a baseline; a constant is the best one by each of them."""
    found = measure(prepared.task, y, predictions, metric=metric)
    if prepared.task == "classification" or np.ptp(predictions) != 0:
        return found
    # The mean is the constant for squares, the median for sizes
    for name in found:
        scored_by = metric_of(name)
        if scored_by.best_constant == "median":
            median = np.full(len(y), center(prepared, name))
            found[name] = float(scored_by.value(y, median))
    return found
