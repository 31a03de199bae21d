"""The contract of gradient rules. Axes: V members, P elements of one parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from winnow.methods._method import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BaseGradientRule"]


class BaseGradientRule(BaseMethod):
    """What happens to the whole gradient between the backward pass and the optimizer.

    Class attributes:
        name: of the setting in ``train`` that gives its one setting; empty for a user's own.
    """

    name: ClassVar[str] = ""

    if TYPE_CHECKING:  # a subclass names the settings that it takes
        apply_: ClassVar[Callable[..., None]]
    else:

        @staticmethod
        def apply_(grads: Sequence[Tensor], **settings: Tensor) -> None:
            """Change the gradient in place.

            Args:
                grads: the gradient in one or more pieces, each (variants, elements of the piece).
                settings: of each member, (variants, 1).
            """
            raise NotImplementedError("a gradient rule defines apply_")
