"""The contract of augmentations. Axes: V members, B batch, F features (any number of axes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from winnow.methods._batch import Batch
from winnow.methods._method import BaseMethod
from winnow.trees import described

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BaseAugment", "Uniform"]

Uniform = Callable[..., "Tensor"]


class BaseAugment(BaseMethod):
    """Changes the batch of a training step before the model sees it.

    Its randomness is a function of the member's seed, the step and the element, given as
    ``uniform``, so that a member sees the same alone and in any fleet. Validation and prediction
    see the rows as they are.

    Class attributes:
        mixes_targets: it changes targets, too. Those of a classification are then probabilities of
            classes, (variants, batch, classes).

    Example:
        >>> class Masking(BaseAugment):
        ...     rate: float = 0.1
        ...
        ...     @staticmethod
        ...     def apply(x_VBF, targets, uniform, *, rate):
        ...         keep = uniform(*x_VBF.shape[1:]) >= rate.view(-1, *[1] * (x_VBF.dim() - 1))
        ...         return x_VBF * keep, targets
    """

    mixes_targets: ClassVar[bool] = False

    @classmethod
    def expect_single(cls, batch: Batch) -> None:
        """Refuse several inputs or targets.

        Raises:
            TypeError: there are several.
        """
        for what, tree in (("input", batch.inputs), ("target", batch.targets)):
            if isinstance(tree, Mapping | tuple | list):
                found = f"expected one {what}, got {described(tree)}"
                raise TypeError(f"{cls.__name__} changes single tensors: {found}")

    if TYPE_CHECKING:  # a subclass names the settings that it takes
        of_batch: ClassVar[Callable[..., Batch]]
        apply: ClassVar[Callable[..., tuple[Tensor, Tensor]]]
    else:

        @classmethod
        def of_batch(cls, batch: Batch, uniform: Uniform, **settings: Tensor) -> Batch:
            """Return the changed batch.

            An augmentation of several inputs defines this in the place of ``apply``, which is given
            the one input and the one target.

            Args:
                batch: of all members; it stays as it is.
                uniform: as ``apply`` gets it.
                settings: of each member, (variants, 1).

            Raises:
                TypeError: there are several inputs or targets, and only ``apply`` is defined.
            """
            cls.expect_single(batch)
            x_VBF, targets = cls.apply(batch.inputs, batch.targets, uniform, **settings)
            return replace(batch, inputs=x_VBF, targets=targets)

        @staticmethod
        def apply(
            x_VBF: Tensor, targets: Tensor, uniform: Uniform, **settings: Tensor
        ) -> tuple[Tensor, Tensor]:
            """Return the changed batch; the one that is given stays as it is.

            Args:
                x_VBF: rows, (variants, batch, ...), in the order in which they were drawn.
                targets: class indices or standardized numbers, (variants, batch); probabilities,
                    (variants, batch, classes), if ``mixes_targets`` and the task is classification.
                uniform: ``uniform(*shape)`` gives numbers in (0, 1), (variants, *shape), of their
                    own at each call.
                settings: of each member, (variants, 1).
            """
            raise NotImplementedError("an augmentation defines apply")
