"""The contract of metrics. Axes: V members, N rows, G parts of the rows, C classes, K sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.metrics import BaseMetric, ClassRows, NumberRows, Targets
from winnow.stats import paired_rows, rows_interval
from winnow.testing._contract import calling, expect

__all__ = ["check_metric"]

_MEMBERS, _ROWS = 3, 90
_PIECES = (1, 7, _ROWS)  # rows that a fleet hands over at once
_SCALE, _CENTER = 2.5, 7.0  # of the target, in its own units
_TOLERANCE = 1e-9  # relative; the same sums are taken in another order

Value = Callable[[NDArray[Any], NDArray[Any]], float]


@dataclass(frozen=True)
class _Drawn:
    """Rows with the outputs of three members.

    Attributes:
        what: in words, for messages.
        outputs: logits, or standardized predictions, (variants, rows, columns).
        targets: class indices, or standardized numbers, (rows,).
        part: the part of each row, 0 or 1.
        classes: how many; 0 for a regression.
    """

    what: str
    outputs: NDArray[np.float64]
    targets: NDArray[Any]
    part: NDArray[np.int64]
    classes: int = 0

    @property
    def truth(self) -> NDArray[Any]:
        """The targets as evaluation hands them over."""
        return self.targets if self.classes else _SCALE * self.targets + _CENTER

    @property
    def predictions(self) -> NDArray[np.float64]:
        """What members predict, as evaluation hands it over: probabilities, or values."""
        if not self.classes:
            return _SCALE * self.outputs[..., 0] + _CENTER
        exponents = np.exp(self.outputs - self.outputs.max(axis=-1, keepdims=True))
        shares: NDArray[np.float64] = exponents / exponents.sum(axis=-1, keepdims=True)
        return shares


def check_metric(
    metric: type[BaseMetric],
    reference: Value | None = None,
    *,
    classes: Sequence[int] = (2, 4),
) -> None:
    """Check that a metric keeps the contract of ``BaseMetric``.

    Its value is that of the reference, lies within its bounds, does not depend on the order of the
    rows, and is not worse of perfect predictions than of others. A fleet that gets the rows in
    pieces finds the same for each part of them, whatever the division. What rows add up to is the
    value; one row moves it by no more than ``row_worth``; a constant has what ``of_a_constant``
    says. The intervals of a score and of a gain run, and hold what they are of.

    Args:
        metric: the class.
        reference: the same of other hands, such as a library's, of ``(y, prediction)`` as ``value``
            takes them; None: ``value`` is believed.
        classes: how many classes are tried, of a metric for classification.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from sklearn.metrics import mean_absolute_error
        >>> from winnow.metrics import MAE
        >>> check_metric(MAE, mean_absolute_error)
    """
    name = _named(metric)
    for number, drawn in enumerate(_cases(metric, classes)):
        with calling(f"{name}: on {drawn.what}"):
            _check_value(name, metric, reference, drawn)
            _check_direction(name, metric, drawn)
            _check_rows(name, metric, drawn)
            _check_fleet(name, metric, drawn)
            if drawn.classes:
                _check_constant(name, metric, drawn)
                _check_worth(name, metric, drawn)
            if number == 0:  # resampling takes most of the time
                _check_intervals(name, metric, drawn)


def _named(metric: Any) -> str:
    """The name of a metric for sentences, once it is one that says enough of itself."""
    is_metric = isinstance(metric, type) and issubclass(metric, BaseMetric)
    expect(is_metric, f"expected a subclass of BaseMetric, got {metric!r}")
    name: str = metric.__name__
    for what in ("task", "higher_is_better", "value"):
        told = getattr(metric, what, None)
        expect(told is not getattr(BaseMetric, what, None), f"{name}: it does not say its {what}")
    low, high = metric.bounds
    expect(low < high, f"{name}: its bounds are {low:g} and {high:g}")
    return name


def _cases(metric: type[BaseMetric], classes: Sequence[int]) -> Iterator[_Drawn]:
    """Rows of which nothing is equal, some with many ties, and some where a class is absent."""
    rng = np.random.default_rng(0)
    part = rng.permutation(np.arange(_ROWS) % 3 // 2)  # of 60 and 30 rows
    if metric.task == "regression":
        y = rng.normal(size=_ROWS)
        outputs = (y + rng.normal(size=(_MEMBERS, _ROWS)))[..., None]
        yield _Drawn("numbers", outputs, y, part)
        yield _Drawn("numbers with ties", outputs.round(1), y.round(1), part)
        return
    for count in classes:
        labels = rng.integers(0, count, _ROWS)
        outputs = rng.normal(size=(_MEMBERS, _ROWS, count)) + np.eye(count)[labels]
        yield _Drawn(f"{count} classes", outputs, labels, part, count)
        yield _Drawn(f"{count} classes with ties", outputs.round(), labels, part, count)
        if count > 2:
            fewer = np.minimum(labels, count - 2)
            yield _Drawn(f"{count} classes of which one is absent", outputs, fewer, part, count)


# -- each thing that is checked --------------------------------------------------------------------


def _check_value(
    name: str, metric: type[BaseMetric], reference: Value | None, drawn: _Drawn
) -> None:
    order = np.random.default_rng(1).permutation(_ROWS)
    low, high = metric.bounds
    for prediction in drawn.predictions:
        y, own = drawn.truth.copy(), prediction.copy()
        found = metric.value(y, own)
        is_left = np.array_equal(y, drawn.truth) and np.array_equal(own, prediction)
        expect(is_left, f"{name}: value writes into what it is given")
        expect(isinstance(found, float), f"{name}: value gives a {type(found).__name__}, no float")
        inside = low - 1e-12 <= found <= high + 1e-12
        expect(inside, f"{name}: {found:g} lies beyond its bounds, {low:g} and {high:g}")
        again = metric.value(drawn.truth[order], prediction[order])
        expect(_same(again, found), f"{name}: another order of the rows gives another value")
        if reference is not None:
            known = float(reference(drawn.truth, prediction))
            expect(
                _same(found, known),
                f"{name}: {found:.9g} on {drawn.what}, and the reference says {known:.9g}",
            )


def _check_direction(name: str, metric: type[BaseMetric], drawn: _Drawn) -> None:
    perfect = np.eye(drawn.classes)[drawn.targets] if drawn.classes else drawn.truth
    best = metric.value(drawn.truth, perfect)
    for prediction in drawn.predictions:
        found = metric.value(drawn.truth, prediction)
        is_worse = found <= best if metric.higher_is_better else found >= best
        better = "higher" if metric.higher_is_better else "lower"
        expect(
            is_worse,
            f"{name}: {better} is better, and what is perfect has {best:g}, other predictions "
            f"{found:g}",
        )


def _check_rows(name: str, metric: type[BaseMetric], drawn: _Drawn) -> None:
    y, prediction = drawn.truth, drawn.predictions[0]
    score = metric.value(y, prediction)
    rows = metric.per_row(y, prediction)
    if rows is not None:
        _expect_shape(name, "per_row", rows)
        expect(_same(_of_rows(metric, rows, y), score), f"{name}: per_row does not make its value")
    parts = metric.row_parts(y, prediction)
    if parts is not None:
        _expect_shape(name, "row_parts", parts)
        is_centered = abs(float(parts.mean())) <= 1e-9 * max(1.0, float(abs(parts).max()))
        expect(is_centered, f"{name}: the mean of row_parts is {parts.mean():g}, and must be 0")
    pairs = metric.pairs(y, prediction)
    if pairs is not None:
        _expect_shape(name, "pairs", pairs)
        is_twice = _same(float(pairs.sum()), 2 * score)
        expect(is_twice, f"{name}: pairs add up to {pairs.sum():g}, and twice its value is wanted")
    most = metric.effective_rows(y, prediction)
    expect(most > 0, f"{name}: effective_rows is {most:g}, and must be above 0")


def _of_rows(metric: type[BaseMetric], rows: NDArray[np.float64], y: NDArray[Any]) -> float:
    """The value that the rows make, as the contract says."""
    if metric.by_class:
        return float(np.mean([rows[y == label].mean() for label in np.unique(y)]))
    relative = metric.relative_to(y)
    if relative is not None:
        return float(1 - rows.mean() / relative.mean())
    return float(rows.mean() ** (1 / metric.root))


def _check_constant(name: str, metric: type[BaseMetric], drawn: _Drawn) -> None:
    told = metric.of_a_constant(drawn.truth)
    if told is None:
        return
    present = np.unique(drawn.targets)
    for answer in (*np.eye(drawn.classes)[present], np.full(drawn.classes, 1 / drawn.classes)):
        found = metric.value(drawn.truth, np.tile(answer, (_ROWS, 1)))
        expect(
            _same(found, told),
            f"{name}: a constant has {found:g}, and of_a_constant says {told:g}",
        )


def _check_worth(name: str, metric: type[BaseMetric], drawn: _Drawn) -> None:
    """Move one row after the other as far as it goes."""
    y, prediction = drawn.truth, drawn.predictions[0]
    counts_HC = np.bincount(y, minlength=drawn.classes)[None]
    worth = metric.row_worth(_ROWS, lambda: counts_HC)
    if worth is None:
        return
    for row in range(0, _ROWS, 5):
        moved = []
        for answer in np.eye(drawn.classes):
            changed = prediction.copy()
            changed[row] = answer
            moved.append(metric.value(y, changed))
        far = max(moved) - min(moved)
        is_within = far <= worth * (1 + _TOLERANCE)
        expect(is_within, f"{name}: one row moves it by {far:g}, and row_worth says {worth:g}")


def _check_fleet(name: str, metric: type[BaseMetric], drawn: _Drawn) -> None:
    for size in _PIECES if metric.added_up else (_ROWS,):
        found_VG = _in_pieces(name, metric, drawn, size)
        for member, found_G in zip(drawn.predictions, found_VG, strict=True):
            for part, found in enumerate(found_G):
                # The last group is of all rows
                own = drawn.part == part if part < 2 else np.full(_ROWS, True)
                expected = metric.value(drawn.truth[own], member[own])
                expect(
                    _same(float(found), expected),
                    f"{name}: a fleet that gets {drawn.what} {size} rows at a time finds "
                    f"{found:.9g}, and value is {expected:.9g}",
                )


def _in_pieces(
    name: str, metric: type[BaseMetric], drawn: _Drawn, size: int
) -> NDArray[np.float64]:
    """What a fleet finds of each part and of all rows, (variants, groups)."""
    masks = [drawn.part == 0, drawn.part == 1, np.full(_ROWS, True)]
    outputs, targets = torch.tensor(drawn.outputs), torch.tensor(drawn.targets)
    if not metric.added_up:
        predictions = torch.tensor(drawn.predictions)
        kept = predictions if drawn.classes else predictions.unsqueeze(-1)
        kept = kept[..., -metric.kept_columns(kept.shape[-1]) :]
        truth = torch.tensor(drawn.truth)
        found = [metric.of_all_rows(kept[:, mask], truth[mask]) for mask in masks]
        return torch.stack(found, dim=1).double().numpy()
    of_part = torch.tensor(np.stack(masks[:2], axis=1)).double()
    sums: Tensor | float = 0.0
    for start in range(0, _ROWS, size):
        piece = slice(start, start + size)
        own = metric.sums(_rows(drawn, outputs[:, piece], targets[piece], of_part[piece]))
        is_right = own.shape[:2] == (_MEMBERS, 2) and own.dtype == torch.float64
        expect(
            is_right and own.dim() == 3,
            f"{name}: sums gives {tuple(own.shape)} {own.dtype} for {_MEMBERS} members and 2 parts",
        )
        sums = sums + own
    sums_VHK = torch.as_tensor(sums)
    sums_VGK = torch.cat([sums_VHK, sums_VHK.sum(dim=1, keepdim=True)], dim=1).numpy()
    return np.asarray(metric.from_sums(sums_VGK, _targets(drawn, masks)))


def _rows(
    drawn: _Drawn, outputs: Tensor, targets: Tensor, of_part: Tensor
) -> ClassRows | NumberRows:
    if drawn.classes:
        return ClassRows(outputs, targets, of_part)
    return NumberRows(outputs, targets, of_part, scale=_SCALE, center=_CENTER)


def _targets(drawn: _Drawn, masks: Sequence[NDArray[np.bool_]]) -> Targets:
    groups = [drawn.targets[mask] for mask in masks]
    rows = np.array([len(group) for group in groups], dtype=np.float64)
    if drawn.classes:
        counts = [np.bincount(group, minlength=drawn.classes) for group in groups]
        return Targets(rows, np.array(counts, dtype=np.float64), np.zeros(len(groups)))
    spread = np.array([((group - group.mean()) ** 2).sum() for group in groups])
    return Targets(rows, np.zeros((len(groups), 0)), spread, scale=_SCALE)


def _check_intervals(name: str, metric: type[BaseMetric], drawn: _Drawn) -> None:
    y, predictions = drawn.truth, drawn.predictions
    scores = [metric.value(y, prediction) for prediction in predictions]
    score = rows_interval(metric, y, list(predictions), scores)
    gain = paired_rows(metric, y, predictions[0], predictions[1])
    for what, interval, mean in (
        ("score", score, float(np.mean(scores))),
        ("gain", gain, scores[1] - scores[0]),
    ):
        expect(
            _same(interval.mean, mean) or abs(interval.mean - mean) < _TOLERANCE,
            f"{name}: the interval of the {what} is of {interval.mean:g}, which is {mean:g}",
        )
        expect(
            interval.low <= interval.mean <= interval.high,
            f"{name}: the interval of the {what} is {interval.low:g} to {interval.high:g}, and the "
            f"{what} {interval.mean:g}",
        )


def _expect_shape(name: str, what: str, rows: NDArray[np.float64]) -> None:
    shape = np.shape(rows)
    expect(shape == (_ROWS,), f"{name}: {what} gives the shape {shape} for {_ROWS} rows")


def _same(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=_TOLERANCE, abs_tol=1e-12)
