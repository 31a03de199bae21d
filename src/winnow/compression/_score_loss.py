"""Scores on the validation rows, and how much of a score is lost: always paired by row, always
with an interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from winnow.compression._drop import Comparison, Draws, draw, drop_of, is_drawn
from winnow.data import softmax
from winnow.errors import ModelError
from winnow.metrics import BaseMetric
from winnow.recipe import metric_of
from winnow.stats import Interval

__all__ = ["Judge"]

# Of the rows there are: beyond it, saying how many would be enough helps nobody
_MOST_TIMES = 2**20


@dataclass(frozen=True)
class Judge:
    """Scores predictions for the same rows.

    Attributes:
        metric: what counts.
        task: classification or regression.
        y: (n,) class indices, or targets in their own units.
        decode: raw outputs (n, 1) to the target's units (regression).
        confidence: of the intervals, in (0, 1).

    Example:
        >>> y = np.array([0, 1] * 100)
        >>> judge = Judge("accuracy", "classification", y, lambda outputs: outputs)
        >>> right = judge.predictions(np.eye(2)[y])
        >>> judge.score(right)
        1.0
        >>> wrong_once = np.concatenate([right[:1, ::-1], right[1:]])
        >>> judge.drop(right, wrong_once).mean
        0.005
    """

    metric: str
    task: Literal["classification", "regression"]
    y: NDArray[Any]
    decode: Callable[[NDArray[Any]], NDArray[Any]]
    confidence: float = 0.95
    _kept: dict[str, Draws] = field(default_factory=dict, init=False, repr=False, compare=False)

    def predictions(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return what a model predicts.

        Args:
            outputs: its raw outputs, (n, ...).

        Returns:
            Probabilities (n, C), or numbers in the target's units (n,).
        """
        rows = outputs.reshape(len(outputs), -1)
        if self.task == "classification":
            # Of outputs that are not finite; the caller looks at the result
            with np.errstate(invalid="ignore"):
                return softmax(rows)
        decoded = self.decode(rows.astype(np.float64))
        return np.asarray(decoded, dtype=np.float64).reshape(-1)

    def score(self, predictions: NDArray[Any]) -> float:
        """Return the metric of finite predictions.

        Raises:
            ModelError: the metric is not one of the task, or not defined on these rows.
        """
        found = math.nan
        if self._metric.task == self.task:
            found = self._metric.value(self.y, predictions)
        if math.isnan(found):
            raise ModelError(
                f"{self.metric} is not defined for this {self.task} on these {len(self.y)} rows"
            )
        return float(found)

    def allowed(self, budget: float, reference: float) -> float:
        """Return the largest drop that ``budget`` accepts, in the metric's unit.

        In units of the target, as rmse and mae are, an absolute budget would mean something else
        for every data set: there it is a share of the reference's score. For the others, whose
        scale is fixed, it is the drop itself.

        Args:
            budget: as the recipe has it, not negative.
            reference: the score of the trained model.
        """
        return budget * abs(reference) if self._metric.in_target_units else budget

    def drop(
        self, reference: NDArray[Any], candidate: NDArray[Any], *, times: float = 1.0
    ) -> Interval:
        """Return how much worse ``candidate`` is than ``reference``; see ``drop_of``.

        Args:
            reference: predictions of the trained model.
            candidate: predictions of the same rows.
            times: as if every row had been seen so many times.

        Returns:
            An interval in the metric's unit; above 0 is worse, also for errors.
        """
        compared = Comparison(self._metric, self.y, reference, candidate, self.confidence, times)
        draws = self._draws(compared) if is_drawn(compared) else None
        return drop_of(compared, draws)

    def rows_needed(
        self, reference: NDArray[Any], candidate: NDArray[Any], allowed: float
    ) -> int | None:
        """Return about how many rows would show that the loss is at most ``allowed``.

        It is found by bisection, to 1 %, as if every row had been seen several times.

        Args:
            reference: predictions of the trained model.
            candidate: predictions of the same rows.
            allowed: in the metric's unit.

        Returns:
            None where no number of rows would, if the loss stays what it is.
        """
        if self.drop(reference, candidate).mean >= allowed:
            return None

        def is_shown(times: float) -> bool:
            return self.drop(reference, candidate, times=times).high <= allowed

        too_few, enough = 1.0, 2.0
        while not is_shown(enough):
            too_few, enough = enough, 2 * enough
            if enough > _MOST_TIMES:
                return None
        while enough - too_few > 0.01 * enough:
            middle = (too_few + enough) / 2
            if is_shown(middle):
                enough = middle
            else:
                too_few = middle
        return math.ceil(enough * len(self.y))

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher score is better."""
        return self._metric.higher_is_better

    @property
    def _metric(self) -> type[BaseMetric]:
        return metric_of(self.metric)

    def _draws(self, compared: Comparison) -> Draws:
        """Return the draws of the last pair that was asked for: they do not depend on ``times``,
        and ``rows_needed`` asks for many.
        """
        kept = self._kept.get("last")
        if kept is None or not kept.are_of(compared):
            kept = draw(compared)
            self._kept["last"] = kept
        return kept
