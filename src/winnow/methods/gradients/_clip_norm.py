"""Clipping by the norm of the whole gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._method import Switch
from winnow.methods.gradients._base import BaseGradientRule
from winnow.spec import Open, Positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ClipNorm"]


class ClipNorm(BaseGradientRule):
    """Scales a member's whole gradient down to at most ``max_norm`` in Euclidean norm."""

    name: ClassVar[str] = "clip_norm"
    neutral: ClassVar[Mapping[str, float]] = {"max_norm": math.inf}
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("max_norm", None, lambda now: f"gradients clipped at norm {now}"),
    )

    kind: Literal["clip_norm"] = "clip_norm"
    max_norm: Open[Positive] | None = None

    @staticmethod
    def apply_(grads: Sequence[Tensor], *, max_norm: Tensor) -> None:
        """Scale the gradient in place.

        Args:
            grads: the gradient in one or more pieces, each (variants, elements of the piece).
            max_norm: largest norm of each member, > 0; infinity leaves it alone, (variants, 1).

        Source: Pascanu et al. 2013, Algorithm 1, with the ``1e-6`` of
        ``torch.nn.utils.clip_grad_norm_``.
        """
        import torch

        norms_KV = torch.stack([torch.linalg.vector_norm(grad, dim=1) for grad in grads])
        norm_V1 = torch.linalg.vector_norm(norms_KV, dim=0).unsqueeze(1)
        factor_V1 = (max_norm / (norm_V1 + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor_V1)
