"""The contract of metrics. Axes: V members, N rows, G groups of rows, C classes, K sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import Targets

__all__ = ["BaseMetric", "Task"]

Task = Literal["classification", "regression"]


class BaseMetric:
    """What a model is scored by. Its functions are static, and no metric has settings.

    A metric of your own needs ``task``, ``higher_is_better`` and ``value``. All else has a default
    that asks ``value``: a fleet keeps the outputs of all validation rows, and intervals come from
    resampled rows. What is told besides makes it quicker, and its intervals sharper.

    A metric's file is read before PyTorch and NumPy are, because a recipe is checked without them;
    so it imports them inside the functions that use them.

    Class attributes:
        name: as recipes spell it. One from elsewhere goes by its import path.
        label: for people; the default is the name of the class.
        aliases: what else people call it, for messages.
        task: what it is for.
        higher_is_better: which way it goes.
        bounds: the values that it can take.
        in_target_units: whether it comes in units of the target. A budget is then a share of it.
        in_validation: whether every training reports it, whatever is optimized.
        in_evaluation: the same of every evaluation on test rows.
        added_up: whether a fleet makes it from ``sums``, piece by piece; else ``of_all_rows``.
        by_class: whether classes weigh alike, so that rows of a rare class count for more.
        hits: whether ``per_row`` says of each row whether it is right.
        root: the score is this root of the mean of ``per_row``.
        best_constant: the center of the training targets that is the best constant.

    Example:
        >>> class LargestError(BaseMetric):
        ...     task = "regression"
        ...     higher_is_better = False
        ...     bounds = (0.0, float("inf"))
        ...
        ...     @staticmethod
        ...     def value(y, prediction):
        ...         return float(abs(y - prediction).max())
    """

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    task: ClassVar[Task]
    higher_is_better: ClassVar[bool]
    bounds: ClassVar[tuple[float, float]] = (-float("inf"), float("inf"))
    in_target_units: ClassVar[bool] = False
    in_validation: ClassVar[bool] = False
    in_evaluation: ClassVar[bool] = False
    added_up: ClassVar[bool] = False
    by_class: ClassVar[bool] = False
    hits: ClassVar[bool] = False
    root: ClassVar[int] = 1
    best_constant: ClassVar[Literal["mean", "median"]] = "mean"

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "label" not in vars(cls):
            cls.label = cls.__name__

    # -- the number --------------------------------------------------------------------------------

    if TYPE_CHECKING:  # a subclass may name its arguments as it likes
        value: ClassVar[Callable[..., float]]
    else:

        @staticmethod
        def value(y: np.ndarray, prediction: np.ndarray) -> float:
            """Return the metric of all rows; NaN where it is not defined on them.

            Args:
                y: class indices, or targets in their own units, (rows,).
                prediction: probabilities (rows, classes), or values (rows,).
            """
            raise NotImplementedError("a metric defines value")

    # -- what rows do to it, for intervals ---------------------------------------------------------

    @staticmethod
    def per_row(y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64] | None:
        """Return what each row counts, (rows,); None: the score is no mean over rows.

        The score is the ``root`` of their mean; with ``by_class``, the mean of the classes' means.
        """
        return None

    @staticmethod
    def relative_to(y: np.ndarray) -> NDArray[np.float64] | None:
        """Return what each row would count for a constant, (rows,).

        The score is then 1 less the share that the mean of ``per_row`` is of their mean.
        """
        return None

    @staticmethod
    def pairs(y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64] | None:
        """Return what each row adds to a mean over pairs of rows, (rows,): twice the score in sum;
        None: it is no such mean.
        """
        return None

    @classmethod
    def row_parts(cls, y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64] | None:
        """Return what each row adds to the score, (rows,), with a mean of zero: the mean over other
        rows is by how much, to first order, their score differs from this one. None: not known.

        Source: influence values, for instance A. C. Davison and D. V. Hinkley 1997, "Bootstrap
        methods and their application", 2.7.
        """
        import numpy as np

        rows = cls.per_row(y, prediction)
        if rows is None or cls.relative_to(y) is not None:
            return None
        rows = np.asarray(rows, dtype=np.float64)
        if cls.by_class:
            classes, class_n, counts = np.unique(y, return_inverse=True, return_counts=True)
            means = np.bincount(class_n, rows) / counts
            centered_n = rows - means[class_n]
            by_class: NDArray[np.float64] = len(y) * centered_n / counts[class_n] / len(classes)
            return by_class
        mean = float(rows.mean())
        centered: NDArray[np.float64] = rows - mean
        if cls.root == 1 or mean <= 0:
            return centered
        # The derivative of the root, at the mean
        slope = cls.root * mean ** ((cls.root - 1) / cls.root)
        return centered / slope

    @classmethod
    def effective_rows(cls, y: np.ndarray, prediction: np.ndarray) -> float:
        """Return how many rows a share can stand for at the most: all; or with ``by_class``, as
        many as each class having its own allows.
        """
        import numpy as np

        if not cls.by_class:
            return float(len(y))
        counts = np.unique(y, return_counts=True)[1]
        return float(len(counts) ** 2 / (1 / counts).sum())

    @staticmethod
    def of_a_constant(y: np.ndarray) -> float | None:
        """Return the score of one answer for all rows, where it is the same for every answer and
        for whatever rows of these classes; None: it is not.
        """
        return None

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float | None:
        """Return by how much another prediction for one validation row moves the score at most,
        whichever row it is; None: as far as it likes, or not known.

        Args:
            rows: to validate on.
            counts_HC: gives those of each class in each half; streamed rows are read for it.
        """
        return None

    # -- in a fleet --------------------------------------------------------------------------------

    if TYPE_CHECKING:  # a metric says of which task's rows
        sums: ClassVar[Callable[..., Tensor]]
    else:

        @staticmethod
        def sums(rows: Any) -> Tensor:
            """Return sums over some validation rows, of each part of them, (variants, parts, sums),
            in double precision.

            Args:
                rows: ``ClassRows`` or ``NumberRows``.
            """
            raise NotImplementedError("a metric that is added up defines sums")

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        """Return the metric of each group of rows, (variants, groups).

        Args:
            sums_VGK: of ``sums``, added over pieces, and over rows whose epochs may differ.
            targets: of the rows.
        """
        raise NotImplementedError("a metric that is added up defines from_sums")

    @classmethod
    def of_all_rows(cls, kept_VNK: Tensor, targets_N: Tensor) -> Tensor:
        """Return the metric of each member, (variants,).

        Args:
            kept_VNK: the last ``kept_columns`` of the probabilities, or the predictions in units of
                the target, (variants, rows, 1).
            targets_N: class indices, or targets in their own units.
        """
        import torch

        y = targets_N.cpu().numpy()
        predictions = kept_VNK.cpu().numpy()
        if cls.task == "regression":
            predictions = predictions[..., 0]
        # NumPy and the CPU: the metric may be anybody's, and knows nothing of members
        found = [float(cls.value(y, prediction)) for prediction in predictions]
        return torch.tensor(found, dtype=torch.float64, device=kept_VNK.device)

    @staticmethod
    def kept_columns(classes: int) -> int:
        """Return how many of a row's outputs ``of_all_rows`` needs, counted from the last."""
        return classes
