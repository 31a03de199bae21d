"""The contract of penalties. Axes: V members; a parameter has its own shape behind V."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from winnow.methods._method import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BasePenalty"]


class BasePenalty(BaseMethod):
    """A term of the weights alone that is added to the loss, given by its gradient.

    It applies to weights: parameters of two axes or more outside of norm layers.

    Class attributes:
        elementwise: each element's term is its own. Only then may parameters be laid flat.
        name: of the setting in ``train`` that gives its strength; empty for a user's own.

    Example:
        >>> class Hoyer(BasePenalty):
        ...     strength: float = 0.0
        ...     elementwise = True
        ...
        ...     @staticmethod
        ...     def add_gradient_(grad, param, where, *, strength):
        ...         grad.addcmul_(param / (1 + param * param), strength * where)
    """

    elementwise: ClassVar[bool] = False
    name: ClassVar[str] = ""

    if TYPE_CHECKING:  # a subclass names the settings that it takes
        add_gradient_: ClassVar[Callable[..., None]]
    else:

        @staticmethod
        def add_gradient_(
            grad: Tensor, param: Tensor, where: Tensor | float, **settings: Any
        ) -> None:
            """Add the gradient of the penalty to ``grad``, in place.

            Args:
                grad: gradient of one parameter, (variants, *shape); changed.
                param: the parameter, the same shape.
                where: 1 where the penalty applies and 0 elsewhere, broadcastable to the parameter.
                settings: of each member, (variants, 1, ..., 1).
            """
            raise NotImplementedError("a penalty defines add_gradient_")
