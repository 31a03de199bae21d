"""The contract of losses. Axes: V members, B batch, C outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._batch import Batch
from winnow.methods._method import BaseMethod
from winnow.trees import Tree, main

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BaseLoss"]


class BaseLoss(BaseMethod):
    """What training makes small: a number for each row, whose mean over the batch is descended.

    Class attributes:
        task: what it is for; None: for classification and regression.
        soft_targets: targets may be probabilities of classes, (variants, batch, classes), as an
            augmentation that mixes rows makes them.
        hears_teacher: it reads ``batch.teacher``, so ``train.teacher`` must be given.

    Example:
        >>> class LogCosh(BaseLoss):
        ...     task = "regression"
        ...
        ...     @staticmethod
        ...     def per_row(outputs_VBC, targets_VB):
        ...         return (outputs_VBC.squeeze(-1) - targets_VB).cosh().log()
    """

    task: ClassVar[Literal["classification", "regression"] | None] = None
    soft_targets: ClassVar[bool] = False
    hears_teacher: ClassVar[bool] = False

    if TYPE_CHECKING:  # a subclass names the settings that it takes
        of_batch: ClassVar[Callable[..., Tensor]]
        per_row: ClassVar[Callable[..., Tensor]]
    else:

        @classmethod
        def of_batch(cls, outputs: Tree, batch: Batch, **settings: Tensor) -> Tensor:
            """Return the loss of each row of each member, (variants, batch).

            A loss that reads more than the main output and the main target, as a second output,
            the inputs or what a teacher says are, defines this in the place of ``per_row``.

            Args:
                outputs: of the model, a tensor or a tree of tensors, each (variants, batch, ...).
                batch: that they are for.
                settings: of each member, (variants, 1).
            """
            return cls.per_row(main(outputs), main(batch.targets), **settings)

        @staticmethod
        def per_row(outputs_VBC: Tensor, targets_VB: Tensor, **settings: Tensor) -> Tensor:
            """Return the loss of each row of each member.

            Args:
                outputs_VBC: of the model, (variants, batch, classes), or (variants, batch, 1) for
                    regression.
                targets_VB: class indices (int64), or standardized targets, (variants, batch).
                settings: of each member, (variants, 1).

            Returns:
                (variants, batch).
            """
            raise NotImplementedError("a loss defines per_row")
