"""Mixup: rows and targets are mixed in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.augment._base import BaseAugment, Uniform
from winnow.spec import NonNegative, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Mixup"]


class Mixup(BaseAugment):
    """Mixes rows of a batch in pairs, and their targets, in a share from Beta(alpha, alpha)."""

    mixes_targets: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, float]] = {"alpha": 0.0}

    kind: Literal["mixup"] = "mixup"
    alpha: Open[NonNegative] = 0.2

    @staticmethod
    def apply(
        x_VBF: Tensor, targets: Tensor, uniform: Uniform, *, alpha: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the mixed batch.

        Args:
            x_VBF: rows, (variants, batch, ...), in random order.
            targets: probabilities, (variants, batch, classes), or numbers, (variants, batch).
            uniform: gives the random numbers.
            alpha: of each member, >= 0, (variants, 1); at 0 rows stay as they are.

        Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", equation 1, with one
        share for a batch, as in the authors' code. The partner of a row is that at the same place
        from the batch's other end: batches are drawn in random order.
        """
        import scipy.special
        import torch

        # The quantile of the beta distribution exists in SciPy only; it is one number a member.
        a = alpha.flatten().double().cpu().numpy()
        u = uniform().double().cpu().numpy()
        share = scipy.special.betaincinv(a.clip(min=1e-6), a.clip(min=1e-6), u)
        share[a == 0] = 1.0
        share_V = torch.from_numpy(share).to(x_VBF)

        def mixed(values: Tensor) -> Tensor:
            own = share_V.view(-1, *[1] * (values.dim() - 1))
            return own * values + (1 - own) * values.flip(1)

        return mixed(x_VBF), mixed(targets)
