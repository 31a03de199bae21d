"""A constant, a linear model and gradient boosting, fitted on the training rows of a model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.data import PreparedData, Rows
from winnow.errors import first_line
from winnow.evaluation._records import Baseline
from winnow.recipe import derive_seed, metric_of
from winnow.trees import main

__all__ = ["FittedBaseline", "center", "fit_baselines"]

MOST_ROWS = 10_000  # training rows that the linear model and boosting are fitted on
MOST_STREAMED = 2_000  # streamed training rows that are read for the constant
MOST_VALUES = 2_000_000  # features times those rows
MOST_TREES = 600  # of boosting: rounds times classes
MOST_CLASSES = 60
ROUNDS = 100  # scikit-learn's default

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline with its predictions for the test rows.

    Attributes:
        baseline: what it is.
        predictions: probabilities (rows, classes) or values (rows,); None where it was left out.
    """

    baseline: Baseline
    predictions: np.ndarray | None


@dataclass(frozen=True)
class _Model:
    """How a baseline that is fitted is called, and how it comes to its predictions.

    Attributes:
        name: ``linear`` or ``boosting``.
        what: what it is, in words.
        predict: fits it and predicts the test rows; a note says what it was not given.
    """

    name: str
    what: str
    predict: Callable[[PreparedData], tuple[Floats, str | None]]


class _Classifier(Protocol):
    """A fitted classifier of scikit-learn."""

    classes_: np.ndarray

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return probabilities, shape (rows, classes that it was fitted on)."""


def fit_baselines(prepared: PreparedData, metric: str) -> tuple[FittedBaseline, ...]:
    """Fit the baselines on the training rows, prepared as the model's were, and predict the test
    rows.

    The validation rows play no part: nothing is chosen for a baseline (ridge chooses its penalty by
    leaving out training rows). It takes a second or two: more than 10,000 training rows are
    sampled, wide rows fewer still, and streamed rows and rows that are arrays are left to the
    constant. A baseline that cannot be fitted is left out with the reason.

    Args:
        prepared: the rows.
        metric: the recipe's; it says whether the constant is the mean or the median.

    Returns:
        The constant, the linear model and gradient boosting, in this order.
    """
    models = CLASSIFIERS if prepared.task == "classification" else REGRESSORS
    reason = _reason_for_the_constant_alone(prepared)
    if reason is None:
        fitted = [_fitted(model, prepared) for model in models]
    else:
        fitted = [_left_out(Baseline(model.name, model.what), reason) for model in models]
    return (_constant(prepared, metric), *fitted)


def _fitted(model: _Model, prepared: PreparedData) -> FittedBaseline:
    began = time.perf_counter()
    try:
        predictions, note = model.predict(prepared)
    except Exception as error:  # a comparison must not end a run that has its model
        return _left_out(Baseline(model.name, model.what), first_line(error))
    seconds = time.perf_counter() - began
    baseline = Baseline(model.name, model.what, seconds=seconds, note=note)
    if not np.isfinite(predictions).all():
        return _left_out(baseline, "its predictions are not finite")
    return FittedBaseline(baseline, predictions)


def _left_out(baseline: Baseline, reason: str) -> FittedBaseline:
    return FittedBaseline(replace(baseline, note=f"left out: {reason}"), None)


def _reason_for_the_constant_alone(prepared: PreparedData) -> str | None:
    """Return why only the constant is measured; None: the others are, too."""
    if not isinstance(prepared.train, Rows):
        return "the rows are streamed"
    if prepared.preparation.layout != "one":
        names = ", ".join(column.name for column in prepared.preparation.columns)
        return f"a row has several inputs ({names})"
    if len(prepared.in_shape) > 1:
        return f"a row is an array of shape {' x '.join(map(str, prepared.in_shape))}"
    features = prepared.in_shape[0]
    if features > MOST_VALUES // 100:  # fewer than a hundred rows would be left
        return f"{features} features are too many for a quick comparison"
    return None


# -- the constant ----------------------------------------------------------------------------------


def _constant(prepared: PreparedData, metric: str) -> FittedBaseline:
    rows = len(prepared.test)
    if prepared.task == "regression":
        what = f"always the {metric_of(metric).best_constant} of the training rows"
        values = np.full(rows, center(prepared, metric))
        return FittedBaseline(Baseline("constant", what), values)
    labels = _training_labels(prepared)
    classes = prepared.classes or ()
    shares = np.bincount(labels, minlength=len(classes)) / len(labels)
    most_frequent = classes[int(shares.argmax())]
    what = (
        f"always {most_frequent!r}, with the classes' shares in the training rows as probabilities"
    )
    return FittedBaseline(Baseline("constant", what), np.tile(shares, (rows, 1)))


def center(prepared: PreparedData, metric: str) -> float:
    """Return the constant that is best by a metric, in units of the target.

    Args:
        prepared: rows of a regression; the training rows decide.
        metric: says whether it is their mean or their median.
    """
    labels = prepared.preparation.decode(_training_labels(prepared).astype(np.float64))
    if metric_of(metric).best_constant == "median":
        return float(np.median(labels))
    return float(np.mean(labels))


def _training_labels(prepared: PreparedData) -> np.ndarray:
    """Return the labels of all training rows; of streamed ones a sample, since each is read for
    its label.
    """
    train = prepared.train
    if isinstance(train, Rows):
        return train.y
    rng = np.random.default_rng(derive_seed(0, "baselines", "rows"))
    number = min(len(train), MOST_STREAMED)
    some = np.sort(rng.choice(len(train), number, replace=False))
    num_pieces = -(-number // prepared.rows_at_once)  # rounded up
    pieces = np.array_split(some, num_pieces)
    return np.concatenate([main(train.read(piece)[1]).numpy() for piece in pieces])


# -- the models ------------------------------------------------------------------------------------
# scikit-learn's models are imported where they are fitted, since that takes a second


def _training_rows(prepared: PreparedData) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Return features and labels, or targets in their own units, of no more rows than a second or
    two allow; and a note where some are left out.
    """
    train = prepared.train
    assert isinstance(train, Rows)  # others are left out before
    X, y = train.X[:], train.y
    most = min(MOST_ROWS, MOST_VALUES // X.shape[1])
    note = None
    if len(y) > most:
        note = f"fitted on {most} of {len(y)} training rows"
        rng = np.random.default_rng(derive_seed(0, "baselines", "rows"))
        rows = np.sort(rng.choice(len(y), most, replace=False))
        X, y = X[rows], y[rows]
    if prepared.task == "regression":
        y = prepared.preparation.decode(y.astype(np.float64))
    return X, y, note


def _logistic_regression(prepared: PreparedData) -> tuple[Floats, str | None]:
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


def _ridge(prepared: PreparedData) -> tuple[Floats, str | None]:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y, note = _training_rows(prepared)
    penalties = np.logspace(-2, 4, 13)
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=penalties))
    with warnings.catch_warnings():
        # Of features that depend on each other, which ridge is there for
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return _values(model.predict(prepared.test.X)), note


def _boosted_classes(prepared: PreparedData) -> tuple[Floats, str | None]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, y, note = _training_rows(prepared)
    classes = prepared.out_features
    if classes > MOST_CLASSES:
        raise ValueError(
            f"{classes} classes, each with its own trees, are too many for a quick comparison"
        )
    trees_of_a_round = 1 if classes == 2 else classes
    rounds = min(ROUNDS, MOST_TREES // trees_of_a_round)
    if rounds < ROUNDS:
        fewer = f"{rounds} rounds instead of {ROUNDS}, since every class has its own trees"
        note = fewer if note is None else f"{note}; {fewer}"
    # Early stopping would take validation rows of its own, at random
    model = HistGradientBoostingClassifier(max_iter=rounds, early_stopping=False, random_state=0)
    model.fit(X, y)
    return _probabilities(model, prepared), note


def _boosted_values(prepared: PreparedData) -> tuple[Floats, str | None]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    X, y, note = _training_rows(prepared)
    model = HistGradientBoostingRegressor(max_iter=ROUNDS, early_stopping=False, random_state=0)
    model.fit(X, y)
    return _values(model.predict(prepared.test.X)), note


def _probabilities(model: _Classifier, prepared: PreparedData) -> Floats:
    """Return probabilities of all classes for the test rows; a class that the sampled rows lack
    gets 0.
    """
    found = np.zeros((len(prepared.test), prepared.out_features))
    found[:, model.classes_] = model.predict_proba(np.asarray(prepared.test.X))
    shares: Floats = found / found.sum(axis=1, keepdims=True)
    return shares


def _values(predictions: np.ndarray) -> Floats:
    return np.asarray(predictions, dtype=np.float64)


CLASSIFIERS = (
    _Model(
        "linear",
        "logistic regression (scikit-learn, C = 1) on standardized features",
        _logistic_regression,
    ),
    _Model(
        "boosting",
        "scikit-learn's HistGradientBoostingClassifier with its default settings",
        _boosted_classes,
    ),
)
REGRESSORS = (
    _Model(
        "linear",
        "ridge regression (scikit-learn, penalty by leave-one-out on the training rows)",
        _ridge,
    ),
    _Model(
        "boosting",
        "scikit-learn's HistGradientBoostingRegressor with its default settings",
        _boosted_values,
    ),
)
