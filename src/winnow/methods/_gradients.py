"""What happens to gradients between backward and the optimiser. Axes: V members, P parameters of one member, laid flat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["add_penalty_", "clip_by_norm_"]


def add_penalty_(grad_VP: Tensor, params_VP: Tensor, l1_VP: Tensor | None, l2_VP: Tensor | None) -> None:
    """Add the gradient of ``l1 * sum(|w|) + l2 / 2 * sum(w ** 2)``, in place; at 0 the subgradient of ``|w|`` is 0.

    Args:
        grad_VP: gradients, (variants, parameters); changed.
        params_VP: parameters, the same shape.
        l1_VP: strength for each parameter, zero where it is not penalised, broadcastable to (variants, parameters); None: no
            penalty.
        l2_VP: the same for the square.

    Source: elastic net, Zou & Hastie 2005, in its naive form.
    """
    if l1_VP is not None:
        grad_VP.addcmul_(params_VP.sign(), l1_VP)
    if l2_VP is not None:
        grad_VP.addcmul_(params_VP, l2_VP)


def clip_by_norm_(grads: Sequence[Tensor], largest_V: Tensor) -> Tensor:
    """Scale each member's whole gradient down to at most ``largest`` in Euclidean norm, in place.

    Args:
        grads: the gradient in one or more pieces, each (variants, parameters of the piece); changed.
        largest_V: largest norm of each member, > 0; infinity leaves the member alone, (variants,).

    Returns:
        The norms before clipping, (variants,).

    Source: Pascanu et al. 2013, Algorithm 1, with the ``1e-6`` of ``torch.nn.utils.clip_grad_norm_``.
    """
    norms_KV = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads])
    norm_V = torch.linalg.vector_norm(norms_KV, dim=0)
    factor_V1 = (largest_V / (norm_V + 1e-6)).clamp(max=1.0).unsqueeze(1)
    for g in grads:
        g.mul_(factor_V1)
    return norm_V
