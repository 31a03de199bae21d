"""Mixup: rows and targets are mixed in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._batch import Batch
from winnow.methods.augment._base import BaseAugment, Uniform
from winnow.spec import NonNegative, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Mixup"]

_TINY = 1e-12  # of the weights of two rows that both have none


class Mixup(BaseAugment):
    """Mixes rows of a batch in pairs, and their targets, in a share from Beta(alpha, alpha)."""

    mixes_targets: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, float]] = {"alpha": 0.0}

    kind: Literal["mixup"] = "mixup"
    alpha: Open[NonNegative] = 0.2

    @classmethod
    def of_batch(cls, batch: Batch, uniform: Uniform, *, alpha: Tensor) -> Batch:
        """Return the mixed batch.

        The weight of a mixed row is mixed too, and each of its two targets counts by its own row's
        weight.
        """
        if batch.weights is None:
            return super().of_batch(batch, uniform, alpha=alpha)
        cls.expect_single(batch)
        share_V, weights_VB = _share(alpha, uniform), batch.weights

        def weighted(values: Tensor) -> Tensor:
            own = weights_VB.view(*weights_VB.shape, *[1] * (values.dim() - 2))
            return _mixed(own * values, share_V) / _mixed(own, share_V).clamp(min=_TINY)

        inputs = _mixed(batch.inputs, share_V)
        mixed_VB = _mixed(weights_VB, share_V)
        return replace(batch, inputs=inputs, targets=weighted(batch.targets), weights=mixed_VB)

    @staticmethod
    def apply(
        x_VBF: Tensor, targets: Tensor, uniform: Uniform, *, alpha: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the mixed rows and targets.

        Args:
            x_VBF: rows, (variants, batch, ...), in random order.
            targets: probabilities, (variants, batch, classes), or numbers, (variants, batch).
            uniform: gives the random numbers.
            alpha: of each member, >= 0, (variants, 1); at 0 rows stay as they are.

        Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", equation 1, with one
        share for a batch, as in the authors' code. The partner of a row is that at the same place
        from the batch's other end: batches are drawn in random order.
        """
        share_V = _share(alpha, uniform).to(x_VBF)
        return _mixed(x_VBF, share_V), _mixed(targets, share_V)


def _share(alpha: Tensor, uniform: Uniform) -> Tensor:
    """Return the share of the row itself in each member's batch, (variants,)."""
    import scipy.special
    import torch

    # The quantile of the beta distribution exists in SciPy only; it is one number a member.
    a = alpha.flatten().double().cpu().numpy()
    u = uniform().double().cpu().numpy()
    share = scipy.special.betaincinv(a.clip(min=1e-6), a.clip(min=1e-6), u)
    share[a == 0] = 1.0
    return torch.from_numpy(share).to(alpha)


def _mixed(values: Tensor, share_V: Tensor) -> Tensor:
    own = share_V.view(-1, *[1] * (values.dim() - 1))
    return own * values + (1 - own) * values.flip(1)
