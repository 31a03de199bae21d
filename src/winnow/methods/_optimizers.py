"""Optimizer steps on stacked, flat parameters. Axes: V members, P parameters of one member.

Every number that may differ between members is a tensor of shape (V, 1). A step changes parameters
and state in place and may use the gradient as scratch space. State is a dict of tensors with a
leading V, so that a fleet can drop, copy and save members without knowing which method it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["OPTIMIZERS", "OptimizerMethod", "adamw_", "sgd_"]


def sgd_(
    params_VP: Tensor,
    grad_VP: Tensor,
    state: Mapping[str, Tensor],
    *,
    lr: Tensor,
    momentum: Tensor,
    nesterov: Tensor | None = None,
    weight_decay: Tensor | None = None,
    step: Tensor,
) -> None:
    """Stochastic gradient descent with momentum.

    ``g = grad + weight_decay * p``; ``m = momentum * m + g``; the update is ``m``, or ``g +
    momentum * m`` with Nesterov.

    Args:
        params_VP: parameters, (variants, parameters); changed.
        grad_VP: gradients, the same shape; overwritten.
        state: ``momentum``, the same shape; changed.
        lr: learning rate, (variants, 1).
        momentum: in [0, 1), (variants, 1).
        nesterov: 1 or 0, (variants, 1); None: 0 for all.
        weight_decay: L2 strength added to the gradient, (variants, 1); None: 0 for all.
        step: number of this step, from 1; unused.

    Source: Sutskever et al. 2013 in the variant of ``torch.optim.SGD`` (no dampening; the rate
    multiplies the whole momentum).
    """
    buffer_VP = state["momentum"]
    if weight_decay is not None:
        grad_VP.addcmul_(params_VP, weight_decay)
    buffer_VP.mul_(momentum).add_(grad_VP)
    if nesterov is None:
        params_VP.addcmul_(buffer_VP, -lr)
        return
    # update = nesterov ? grad + momentum * buffer : buffer, without a branch
    params_VP.addcmul_(buffer_VP, -lr * (1 + nesterov * (momentum - 1)))
    params_VP.addcmul_(grad_VP, -lr * nesterov)


def adamw_(
    params_VP: Tensor,
    grad_VP: Tensor,
    state: Mapping[str, Tensor],
    *,
    lr: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    weight_decay: Tensor,
    step: Tensor,
) -> None:
    """Adam with decoupled weight decay and bias correction.

    Args:
        params_VP: parameters, (variants, parameters); changed.
        grad_VP: gradients, the same shape; overwritten.
        state: ``first`` and ``second`` moments, the same shape; changed.
        lr, beta1, beta2, eps, weight_decay: (variants, 1).
        step: number of this step, from 1, (variants, 1).

    Source: Loshchilov & Hutter 2019, Algorithm 2, in the variant of ``torch.optim.AdamW``: the
    decay is multiplied by the learning rate.
    """
    shared = adamw_factors(
        lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, step=step
    )
    adamw_with_(params_VP, grad_VP, state, **shared)


def adamw_factors(
    *, lr: Tensor, beta1: Tensor, beta2: Tensor, eps: Tensor, weight_decay: Tensor, step: Tensor
) -> dict[str, Tensor]:
    """What a step of ``adamw_`` needs alike for all tensors of a member, each (variants, 1): in
    small networks these few numbers take as long as the parameters, so they are made once a step.

    Args:
        lr, beta1, beta2, eps, weight_decay, step: see ``adamw_``.
    """
    return {
        "shrink": 1 - lr * weight_decay,
        "beta2": beta2,
        "share1": 1 - beta1,
        "share2": 1 - beta2,
        "root2": (1 - beta2**step).sqrt(),
        "eps": eps,
        "rate": lr / (1 - beta1**step),
    }


def adamw_with_(
    params_VP: Tensor,
    grad_VP: Tensor,
    state: Mapping[str, Tensor],
    *,
    shrink: Tensor,
    beta2: Tensor,
    share1: Tensor,
    share2: Tensor,
    root2: Tensor,
    eps: Tensor,
    rate: Tensor,
) -> None:
    """``adamw_`` from the factors that ``adamw_factors`` made."""
    first_VP, second_VP = state["first"], state["second"]
    params_VP.mul_(shrink)
    first_VP.lerp_(grad_VP, share1.expand_as(grad_VP))
    second_VP.mul_(beta2).addcmul_(grad_VP * share2, grad_VP)
    denominator_VP = (second_VP.sqrt() / root2).add_(eps)
    params_VP.sub_(first_VP.div(denominator_VP).mul_(rate))


@dataclass(frozen=True)
class OptimizerMethod:
    """How the driver runs an optimizer: the step, the names of its settings and of its state.

    ``factors`` takes learning rate, settings and number of a step by name, and gives what ``step_``
    takes besides parameters, gradient and state.
    """

    step_: Callable[..., None]
    settings: tuple[str, ...]
    optional: tuple[str, ...]  # settings that may be left out where they are 0 for every member
    state: tuple[str, ...]
    factors: Callable[..., dict[str, Tensor]] = dict  # as they are

    def init(self, params_VP: Tensor) -> dict[str, Tensor]:
        """Fresh state, all zeros, each (variants, parameters)."""
        return {name: torch.zeros_like(params_VP) for name in self.state}


OPTIMIZERS = {
    "sgd": OptimizerMethod(
        sgd_, ("momentum", "nesterov", "weight_decay"), ("nesterov", "weight_decay"), ("momentum",)
    ),
    "adamw": OptimizerMethod(
        adamw_with_,
        ("beta1", "beta2", "eps", "weight_decay"),
        (),
        ("first", "second"),
        adamw_factors,
    ),
}
