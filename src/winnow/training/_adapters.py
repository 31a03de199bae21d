"""PyTorch's own kinds of method under winnow's contracts: any ``torch.optim.Optimizer``, any loss
that is a module.

Axes: V members, B batch, C outputs.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import vmap

from winnow.methods import BaseLoss, BaseOptimizer

__all__ = ["adapted_loss", "adapted_optimizer"]

_NUMBER = "number "  # before the name of a state that is one number for a whole parameter


@functools.cache
def adapted_optimizer(
    optimizer: type[torch.optim.Optimizer], arguments: str
) -> type[BaseOptimizer]:
    """Return ``torch.optim``'s kind of optimizer under winnow's contract.

    It steps on the stacked parameters of all members at once, which is right for methods that treat
    every element by itself; the try-out of two members finds the others, which then train alone.

    Args:
        optimizer: the class; one that calls a closure several times, as LBFGS, is refused.
        arguments: of its constructor but ``params`` and ``lr``, as JSON.

    Raises:
        TypeError, ValueError: it does not take the arguments, or cannot be run so.
    """
    options = json.loads(arguments)
    if inspect.signature(optimizer.step).parameters["closure"].default is inspect.Parameter.empty:
        raise TypeError(f"{optimizer.__name__} calls the loss itself, which a fleet's step cannot")
    tried = torch.zeros(1, 1, requires_grad=True)
    tried.grad = torch.zeros_like(tried)
    _fresh(optimizer, [tried], options).step()  # one that cannot step says so before any training

    class Adapted(BaseOptimizer):
        compiles: ClassVar[bool] = False  # it is Python code that looks at numbers

        @classmethod
        def init(cls, params: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
            # What state it keeps is known only after a step, so one is taken on copies. The values
            # do not count: the first step lets the optimizer begin by itself.
            copies = {n: _bare(p).detach().clone().requires_grad_() for n, p in params.items()}
            for copy in copies.values():
                copy.grad = torch.zeros_like(copy)
            stepper = _fresh(optimizer, list(copies.values()), options)
            stepper.step()
            members = next(iter(params.values())).shape[0]
            return {n: _stored(stepper.state[c], members) for n, c in copies.items()}

        @classmethod
        def step_(
            cls,
            params: Mapping[str, Tensor],
            grads: Mapping[str, Tensor],
            states: Mapping[str, dict[str, Tensor]],
            settings: Mapping[str, Tensor],
            *,
            number: Tensor,
        ) -> None:
            leaves = {n: _bare(p).detach().requires_grad_() for n, p in params.items()}
            stepper = _fresh(optimizer, list(leaves.values()), options)
            for group in stepper.param_groups:
                group["lr"] = float(settings["lr"].flatten()[0])
            for name, leaf in leaves.items():
                leaf.grad = _bare(grads[name])
                if int(number) > 1:
                    stepper.state[leaf] = _given_back(states[name])
            stepper.step()
            members = next(iter(params.values())).shape[0]
            for name, leaf in leaves.items():
                for key, value in _stored(stepper.state[leaf], members).items():
                    states[name][key].copy_(value)

    Adapted.__name__ = Adapted.__qualname__ = optimizer.__name__
    return Adapted


def _fresh(
    optimizer: type[torch.optim.Optimizer], params: list[Tensor], options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    return optimizer(params, lr=1.0, **options)  # type: ignore[call-arg]


def _bare(tensor: Tensor) -> Tensor:
    """Return the one member's own tensor, as the optimizer would see it in a loop; or the whole
    stack.
    """
    return tensor[0] if tensor.shape[0] == 1 else tensor


def _stored(state: Mapping[str, Any], members: int) -> dict[str, Tensor]:
    """Return the state as tensors with a leading V; one number for a whole parameter is
    repeated.
    """
    stored = {}
    for name, value in state.items():
        if isinstance(value, Tensor) and value.dim() > 0:
            stored[name] = value.unsqueeze(0) if members == 1 else value
            if stored[name].shape[0] != members:
                shape = tuple(value.shape)
                raise ValueError(f"its state {name!r} of shape {shape} is not one for each member")
        elif value is not None:
            number = torch.as_tensor(value, dtype=torch.float64)
            stored[_NUMBER + name] = number.repeat(members, 1)
    return stored


def _given_back(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state as the optimizer knows it."""
    state = {}
    for name, value in stored.items():
        is_number = name.startswith(_NUMBER)
        state[name.removeprefix(_NUMBER)] = value[0, 0].float() if is_number else _bare(value)
    return state


@functools.cache
def adapted_loss(module: type[nn.Module], arguments: str) -> type[BaseLoss]:
    """Return a loss module under winnow's contract, with its own reduction over the batch.

    Args:
        module: the class, called with (outputs, targets) of one member: (batch, classes) and class
            indices, or (batch,) and (batch,) for regression.
        arguments: of its constructor, as JSON.

    Raises:
        TypeError, ValueError: it does not take the arguments.
    """
    loss = module(**json.loads(arguments))

    class Adapted(BaseLoss):
        @staticmethod
        def per_row(outputs_VBC: Tensor, targets_VB: Tensor, **_: Tensor) -> Tensor:
            is_regression = targets_VB.is_floating_point() and targets_VB.dim() == 2
            outputs = outputs_VBC.squeeze(-1) if is_regression else outputs_VBC
            if len(outputs) == 1:  # as in a loop, for losses that vmap has no rules for
                found_V = loss(outputs[0], targets_VB[0]).unsqueeze(0)
            else:
                found_V = vmap(loss)(outputs, targets_VB)
            # One number for the whole batch: its mean over the rows is itself.
            return found_V.unsqueeze(1) if found_V.dim() == 1 else found_V.flatten(1)

    Adapted.__name__ = Adapted.__qualname__ = module.__name__
    return Adapted
