"""The contract of gradient rules. Axes: V members; a parameter has its own shape behind V."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from winnow.methods._method import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BaseGradientRule"]


class BaseGradientRule(BaseMethod):
    """What happens to the whole gradient between the backward pass and the optimizer.

    It sees the gradient of the loss with all penalties in it, after the rules that stand before it.

    Class attributes:
        shaped: it needs the gradient of each parameter in the parameter's shape. Otherwise
            parameters may be laid flat, which is quicker.
        name: of the setting in ``train`` that gives its one setting; empty where it stands in the
            list of ``train.gradient_rules`` alone.

    Example:
        >>> class Sign(BaseGradientRule):
        ...     @staticmethod
        ...     def apply_(grads):
        ...         for grad in grads:
        ...             grad.sign_()
    """

    shaped: ClassVar[bool] = False
    name: ClassVar[str] = ""

    @classmethod
    def with_params_(
        cls, grads: Sequence[Tensor], params: Sequence[Tensor], **settings: Any
    ) -> None:
        """Change the gradient in place. A rule that looks at the parameters defines this in the
        place of ``apply_``.

        Args:
            grads: the gradient, as ``apply_`` gets it.
            params: the parameters in the same pieces; they stay as they are.
            settings: as ``apply_`` gets them.
        """
        cls.apply_(grads, **settings)

    if TYPE_CHECKING:  # a subclass names the settings that it takes
        apply_: ClassVar[Callable[..., None]]
    else:

        @staticmethod
        def apply_(grads: Sequence[Tensor], **settings: Any) -> None:
            """Change the gradient in place.

            Args:
                grads: the gradient in one or more pieces, each (variants, elements of the piece);
                    of a rule that is ``shaped`` one for each parameter, (variants, *shape).
                settings: of each member, (variants, 1).
            """
            raise NotImplementedError("a gradient rule defines apply_")
