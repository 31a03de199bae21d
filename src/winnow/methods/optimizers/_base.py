"""The contract of optimizers. Axes: V members; a parameter has its own shape behind V."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from winnow.methods._method import BaseMethod
from winnow.spec import Open, Positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BaseOptimizer", "State"]

State = dict[str, "Tensor"]


class BaseOptimizer(BaseMethod):
    """An optimizer: from gradients to new parameters.

    A subclass writes ``update_`` for one parameter. One that must see all parameters together
    writes ``step_`` instead. Both receive every parameter as (variants, *its shape), whether a
    model trains alone (V is 1) or in a fleet, so a layer-wise norm is a norm over all axes but the
    first.

    State is a dict of tensors with a leading V for each parameter, so that a fleet can drop, copy
    and save members without knowing which method it runs.

    Class attributes:
        elementwise: every element of a parameter is updated by itself. Only then are parameters
            laid flat and updated by one operation, as (variants, elements).
        slots: names of the state tensors of a parameter; all begin at zero.
        perturbs: gradients are taken twice, the second time where ``perturb_`` has moved the
            parameters to; ``step_`` or ``update_`` must move them back.
        compiles: its step is made of operations on tensors, and never looks at their values.

    Example:
        >>> class SignDescent(BaseOptimizer):
        ...     lr: float = 0.01
        ...     elementwise = True
        ...
        ...     @staticmethod
        ...     def update_(param, grad, state, *, lr, number):
        ...         param.sub_(lr * grad.sign())
    """

    elementwise: ClassVar[bool] = False
    slots: ClassVar[tuple[str, ...]] = ()
    perturbs: ClassVar[bool] = False
    compiles: ClassVar[bool] = True

    lr: Open[Positive] = 1e-3

    @classmethod
    def init(cls, params: Mapping[str, Tensor]) -> dict[str, State]:
        """Return the state of each parameter before the first step.

        Args:
            params: the parameters by name, each (variants, *shape).

        Returns:
            For each parameter its state by slot, each tensor with a leading V.
        """
        import torch

        return {
            name: {slot: torch.zeros_like(param) for slot in cls.slots}
            for name, param in params.items()
        }

    if TYPE_CHECKING:  # a subclass names the settings that it takes
        prepare: ClassVar[Callable[..., dict[str, Any]]]
        update_: ClassVar[Callable[..., None]]
    else:

        @classmethod
        def prepare(cls, *, number: Tensor, **settings: Any) -> dict[str, Any]:
            """Return what ``update_`` receives by name: by default the settings and ``number``.

            A method overrides it to make once a step what all parameters need alike: in small
            networks those few numbers take as long as the parameters.
            """
            return {**settings, "number": number}

        @staticmethod
        def update_(
            param: Tensor, grad: Tensor, state: State, *, number: Tensor, **settings: Tensor
        ) -> None:
            """Update one parameter in place.

            Args:
                param: (variants, *shape); changed.
                grad: its gradient, of the same shape; may be used as scratch space.
                state: its state by slot; changed.
                number: number of this step, from 1, a scalar.
                settings: ``lr``, already multiplied by the schedule, and the other settings, each
                    (variants, 1, ..., 1) with as many axes as the parameter.
            """
            raise NotImplementedError("an optimizer defines update_, or step_")

    @classmethod
    def step_(
        cls,
        params: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        states: Mapping[str, State],
        settings: Mapping[str, Tensor],
        *,
        number: Tensor,
    ) -> None:
        """Update all parameters in place; by default, each by itself.

        Args:
            params: the parameters by name, each (variants, *shape); changed.
            grads: their gradients by the same names; may be used as scratch space.
            states: their states by the same names; changed.
            settings: ``lr`` and the other settings, each (variants, 1).
            number: number of this step, from 1, a scalar.
        """
        shared = cls.prepare(number=number, **settings)
        for name, param in params.items():
            own = {key: _with_axes_of(param, value) for key, value in shared.items()}
            cls.update_(param, grads[name], states[name], **own)

    @classmethod
    def perturb_(
        cls,
        params: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        states: Mapping[str, State],
        settings: Mapping[str, Tensor],
    ) -> None:
        """Move the parameters to where the second gradient is taken; only if ``perturbs``."""
        raise NotImplementedError("an optimizer that perturbs defines perturb_")


def _with_axes_of(param: Tensor, value: Any) -> Any:
    """View (variants, 1) as (variants, 1, ..., 1), with the axes of ``param``; leave the rest."""
    is_setting = getattr(value, "ndim", 0) == 2
    return value.view(-1, *[1] * (param.dim() - 1)) if is_setting else value
