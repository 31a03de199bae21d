"""Baselines: what a constant, a linear model and gradient boosting reach on the same rows, and
whether the model beats them.

They are fitted once (``fit_baselines``); any predictions for the test rows are held against them
(``compare_baselines``): those of the PyTorch model while there is no file, then those of the file
that ships.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.data import PreparedData, Rows
from winnow.errors import first_line
from winnow.evaluation._metrics import measure
from winnow.evaluation._records import Baseline, BaselinesRecord
from winnow.recipe import derive_seed, metric_label, metric_of
from winnow.records import plain
from winnow.stats import Interval, paired_rows
from winnow.trees import main

__all__ = [
    "Baselines",
    "FittedBaseline",
    "ahead_of_the_model",
    "compare_baselines",
    "fit_baselines",
]

MOST_ROWS = 10_000  # training rows that the linear model and boosting are fitted on
MOST_STREAMED = 2_000  # streamed training rows that are read for the constant
MOST_VALUES = 2_000_000  # features times those rows
MOST_TREES = 600  # of boosting: rounds times classes
MOST_CLASSES = 60
ROUNDS = 100  # scikit-learn's default


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
        return BaselinesRecord(
            higher_is_better=metric_of(self.metric).higher_is_better,
            **{f.name: getattr(self, f.name) for f in fields(self)},
        )

    def to_dict(self) -> dict[str, Any]:
        """``record`` as plain data."""
        return self.record.to_dict()

    def for_manifest(self) -> dict[str, Any]:
        """What a bundle keeps: the verdict, and the baselines' metrics by name."""
        return plain(
            {
                "text": self.verdict,
                "beats_constant": self.beats_constant,
                "metric": self.metric,
                "baselines": {b.name: b.metrics for b in self.baselines if b.metrics},
            }
        )


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline and its predictions for the test rows, probabilities (rows, classes) or values
    (rows,); None: left out.
    """

    baseline: Baseline
    predictions: NDArray[Any] | None


def fit_baselines(prepared: PreparedData, metric: str) -> tuple[FittedBaseline, ...]:
    """Fit the baselines on the training rows, prepared as the model's were, and predict the test
    rows.

    The validation rows play no part: nothing is chosen for a baseline (ridge chooses its penalty by
    leaving out training rows).
    It takes a second or two: more than 10,000 training rows are sampled, wide rows fewer still, and
    streamed rows and rows that are arrays are left to the constant. A baseline that cannot be
    fitted is left out with the reason.

    Args:
        prepared: the rows.
        metric: the recipe's; it says whether the constant is the mean or the median.
    """
    found = [_constant(prepared, metric)]
    reason = _left_out(prepared)
    for name, what, fit in _MODELS[prepared.task]:
        if reason is not None:
            found.append(FittedBaseline(Baseline(name, what, note=reason), None))
            continue
        began = time.perf_counter()
        try:
            predicted, note = fit(prepared)
        except Exception as error:  # a comparison must not end a run that has its model
            note = f"left out: {first_line(error)}"
            found.append(FittedBaseline(Baseline(name, what, note=note), None))
            continue
        baseline = Baseline(name, what, seconds=time.perf_counter() - began, note=note)
        if np.isfinite(predicted).all():
            found.append(FittedBaseline(baseline, predicted))
        else:
            found.append(
                FittedBaseline(
                    replace(baseline, note="left out: its predictions are not finite"), None
                )
            )
    return tuple(found)


def compare_baselines(
    fitted: Sequence[FittedBaseline],
    prepared: PreparedData,
    metric: str,
    truth: NDArray[Any],
    predictions: NDArray[Any],
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
    asked = metric
    scores = measure(prepared.task, truth, predictions, metric=asked)
    if metric not in scores:  # not defined on these rows: the first that is
        metric = next(iter(scores))
    baselines = []
    for baseline, made in ((f.baseline, f.predictions) for f in fitted):
        if made is not None:
            gain = gain_over(metric, truth, predictions, made)
            baseline = replace(baseline, metrics=_measured(truth, made, prepared, asked), gain=gain)
        baselines.append(baseline)
    return _judged(metric, truth, predictions, scores, tuple(baselines), prepared.classes, file)


def gain_over(metric: str, y: NDArray[Any], model: NDArray[Any], other: NDArray[Any]) -> Interval:
    """How much better ``model`` is than ``other``: above 0 is better, of losses too;
    probabilities (rows, classes) or values.
    """
    gain = paired_rows(metric_of(metric), y, other, model)
    if metric_of(metric).higher_is_better:
        return gain
    return Interval(-gain.mean, -gain.high, -gain.low, gain.confidence, gain.n, kind=gain.kind)


def _judged(
    metric: str,
    truth: NDArray[Any],
    answers: NDArray[Any],
    scores: dict[str, float],
    baselines: tuple[Baseline, ...],
    classes: Sequence[Any] | None,
    file: str | None,
) -> Baselines:
    constant = baselines[0].gain
    assert constant is not None
    beats = constant.low > 0
    one, ranks = None, None
    if classes is not None:
        given = np.unique(answers.argmax(axis=1))
        one = classes[given[0]] if len(given) == 1 else None
        if "roc_auc" in scores:
            ranks = gain_over(
                "roc_auc", truth, answers, np.full_like(answers, 1 / answers.shape[1])
            )
    tells_apart = ranks is not None and ranks.low > 0
    words = _words(metric)
    if one is not None and tells_apart:
        verdict = (
            f"the model answers {one!r} for every test row; only its probabilities tell rows apart"
        )
        verdict += "" if beats else f", and by {words} it is not shown to be better than a constant"
    elif one is not None:
        verdict = (
            f"no better than a constant: the model answers {one!r} for every test row, and its "
            f"probabilities are not shown to"
        )
        verdict += " tell rows apart"
    elif beats:
        # what a reader takes "better than a constant" for: that the model earns its keep
        level = [_NAMES[b.name] for b in baselines[1:] if b.gain is not None and not b.gain.low > 0]
        verdict = f"better than a constant by {words}"
        verdict += f", not shown to be better than {' or '.join(level)}" if level else ""
    elif tells_apart and metric != "roc_auc":
        verdict = (
            f"not shown to be better than a constant by {words}; its probabilities do tell rows "
            f"apart"
        )
    else:
        verdict = f"not shown to be better than a constant by {words}"
    notes = ahead_of_the_model(metric, baselines, file)
    fitted = [b for b in baselines[1:] if b.metrics]
    if fitted:
        notes.append(
            "the baselines were fitted on the training rows alone; the validation rows chose "
            "nothing for them"
        )
    return Baselines(
        metric,
        len(truth),
        file,
        scores,
        baselines,
        beats,
        one,
        ranks,
        verdict=verdict,
        notes=tuple(notes),
    )


def ahead_of_the_model(metric: str, baselines: Sequence[Baseline], file: str | None) -> list[str]:
    """A sentence for each baseline that the test rows show to be better than the model.

    Args:
        metric: that the gains are in.
        baselines: the constant first, which is judged by itself.
        file: the digest of the model's file; None: there is none yet.
    """
    model = "the model" if file is None else "the model that ships"
    return [
        f"{_NAMES.get(b.name, b.name)} is better than {model}, by {_shown(b.gain)} of "
        f"{_words(metric)} on the same test rows"
        for b in baselines[1:]
        if b.gain is not None and b.gain.high < 0
    ]


def _words(metric: str) -> str:
    """Its label; but one word stands as recipes spell it."""
    return metric_label(metric) if {"_", ":"} & set(metric) else metric


def _shown(gain: Interval) -> str:
    return str(Interval(-gain.mean, -gain.high, -gain.low, gain.confidence, gain.n))


def _measured(
    y: NDArray[Any], predicted: NDArray[Any], prepared: PreparedData, metric: str
) -> dict[str, float]:
    found = measure(prepared.task, y, predicted, metric=metric)
    # The mean is the constant for squares, the median for sizes
    if prepared.task == "regression" and np.ptp(predicted) == 0:
        for name in found:
            if metric_of(name).best_constant == "median":
                median = np.full(len(y), _center(prepared, name))
                found[name] = float(metric_of(name).value(y, median))
    return found


# -- the baselines ---------------------------------------------------------------------------------


def _constant(prepared: PreparedData, metric: str) -> FittedBaseline:
    rows = len(prepared.test)
    if prepared.task == "classification":
        labels = _training_labels(prepared)
        classes = prepared.classes or ()
        shares = np.bincount(labels, minlength=len(classes)) / len(labels)
        what = (
            f"always {classes[int(shares.argmax())]!r}, with the classes' shares in the training "
            f"rows as probabilities"
        )
        return FittedBaseline(Baseline("constant", what), np.tile(shares, (rows, 1)))
    what = f"always the {metric_of(metric).best_constant} of the training rows"
    return FittedBaseline(Baseline("constant", what), np.full(rows, _center(prepared, metric)))


def _center(prepared: PreparedData, metric: str) -> float:
    labels = prepared.preparation.decode(_training_labels(prepared).astype(np.float64))
    is_median = metric_of(metric).best_constant == "median"
    return float(np.median(labels) if is_median else np.mean(labels))


def _training_labels(prepared: PreparedData) -> NDArray[Any]:
    """Of all training rows; of streamed ones a sample, since each is read for its label."""
    train = prepared.train
    if isinstance(train, Rows):
        return train.y
    rng = np.random.default_rng(derive_seed(0, "baselines", "rows"))
    some = np.sort(rng.choice(len(train), min(len(train), MOST_STREAMED), replace=False))
    pieces = np.array_split(some, -(-len(some) // prepared.rows_at_once))
    return np.concatenate([main(train.read(piece)[1]).numpy() for piece in pieces])


def _left_out(prepared: PreparedData) -> str | None:
    """Why only the constant is measured."""
    if not isinstance(prepared.train, Rows):
        return "left out: the rows are streamed"
    if prepared.preparation.layout != "one":
        names = ", ".join(column.name for column in prepared.preparation.columns)
        return f"left out: a row has several inputs ({names})"
    if len(prepared.in_shape) > 1:
        return f"left out: a row is an array of shape {' x '.join(map(str, prepared.in_shape))}"
    if prepared.in_shape[0] > MOST_VALUES // 100:
        return f"left out: {prepared.in_shape[0]} features are too many for a quick comparison"
    return None


def _training_rows(prepared: PreparedData) -> tuple[NDArray[Any], NDArray[Any], str | None]:
    """Features and labels, or targets in their own units, of no more rows than a second or two
    allow; a note where some are left out.
    """
    train = prepared.train
    assert isinstance(train, Rows)  # others are left out before
    X, y = train.X[:], train.y
    most = min(MOST_ROWS, MOST_VALUES // X.shape[1])
    note = None
    if len(y) > most:
        rng = np.random.default_rng(derive_seed(0, "baselines", "rows"))
        rows = np.sort(rng.choice(len(y), most, replace=False))
        X, y, note = X[rows], y[rows], f"fitted on {most} of {len(y)} training rows"
    return (
        X,
        y
        if prepared.task == "classification"
        else prepared.preparation.decode(y.astype(np.float64)),
        note,
    )


def _linear_classes(prepared: PreparedData) -> tuple[NDArray[np.float64], str | None]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y, note = _training_rows(prepared)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        # Of iterations that end early: it is a yardstick, and takes no longer than this
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return _probabilities(model, prepared), note


def _linear_values(prepared: PreparedData) -> tuple[NDArray[np.float64], str | None]:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y, note = _training_rows(prepared)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-2, 4, 13))).fit(X, y)
    return np.asarray(model.predict(prepared.test.X), dtype=np.float64), note


def _boosted_classes(prepared: PreparedData) -> tuple[NDArray[np.float64], str | None]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, y, note = _training_rows(prepared)
    if prepared.out_features > MOST_CLASSES:
        raise ValueError(
            f"{prepared.out_features} classes, each with its own trees, are too many for a quick "
            f"comparison"
        )
    trees = 1 if prepared.out_features == 2 else prepared.out_features
    rounds = min(ROUNDS, MOST_TREES // trees)
    if rounds < ROUNDS:
        note = "; ".join(
            filter(
                None,
                (note, f"{rounds} rounds instead of {ROUNDS}, since every class has its own trees"),
            )
        )
    model = HistGradientBoostingClassifier(
        max_iter=rounds, early_stopping=False, random_state=0
    ).fit(X, y)
    return _probabilities(model, prepared), note


def _boosted_values(prepared: PreparedData) -> tuple[NDArray[np.float64], str | None]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    X, y, note = _training_rows(prepared)
    model = HistGradientBoostingRegressor(
        max_iter=ROUNDS, early_stopping=False, random_state=0
    ).fit(X, y)
    return np.asarray(model.predict(prepared.test.X), dtype=np.float64), note


def _probabilities(model: Any, prepared: PreparedData) -> NDArray[np.float64]:
    """For all classes: one that the sampled rows lack gets 0."""
    found = np.zeros((len(prepared.test), prepared.out_features))
    found[:, model.classes_] = model.predict_proba(prepared.test.X)
    shares: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return shares


_NAMES = {"linear": "a linear model", "boosting": "gradient boosting"}
_MODELS: dict[
    str,
    tuple[tuple[str, str, Callable[[PreparedData], tuple[NDArray[np.float64], str | None]]], ...],
] = {
    "classification": (
        (
            "linear",
            "logistic regression (scikit-learn, C = 1) on standardized features",
            _linear_classes,
        ),
        (
            "boosting",
            "scikit-learn's HistGradientBoostingClassifier with its default settings",
            _boosted_classes,
        ),
    ),
    "regression": (
        (
            "linear",
            "ridge regression (scikit-learn, penalty by leave-one-out on the training rows)",
            _linear_values,
        ),
        (
            "boosting",
            "scikit-learn's HistGradientBoostingRegressor with its default settings",
            _boosted_values,
        ),
    ),
}
