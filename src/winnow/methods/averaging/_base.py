"""The contract of averages of weights.

Axes: V members; elements are those of one parameter, or of several that lie flat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from winnow.methods._method import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BaseAveraging"]


class BaseAveraging(BaseMethod):
    """An average of a member's parameters over the steps of its training.

    Training itself goes on with the parameters; what is validated, kept and shipped has the average
    in their place. Buffers, as the running means of batch normalization, are the last ones.

    It works element by element, because parameters may be laid flat, and never looks at the values
    of tensors. Of parameters that stay as they are it is these parameters.

    Example:
        >>> class Halfway(BaseAveraging):
        ...     @staticmethod
        ...     def update_(average, param, *, number, num_steps):
        ...         average.add_(param).div_(2)
    """

    @classmethod
    def init(cls, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the average before the first step; by default a copy of the parameters.

        Args:
            params: the parameters by name, each (variants, elements).

        Returns:
            The average of each, of the same shape.
        """
        return {name: param.clone() for name, param in params.items()}

    if TYPE_CHECKING:  # a subclass names the settings that it takes
        update_: ClassVar[Callable[..., None]]
    else:

        @staticmethod
        def update_(
            average: Tensor, param: Tensor, *, number: Tensor, num_steps: Tensor, **settings: Any
        ) -> None:
            """Take the parameters after a step into the average, in place.

            Args:
                average: (variants, elements); changed.
                param: the parameters after the step, the same shape.
                number: number of this step, from 1, a scalar.
                num_steps: steps of the whole training of each member, (variants, 1).
                settings: of each member, (variants, 1).
            """
            raise NotImplementedError("an averaging of weights defines update_")
