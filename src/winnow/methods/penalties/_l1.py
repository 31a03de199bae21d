"""The lasso's penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._method import Switch
from winnow.methods.penalties._base import BasePenalty
from winnow.spec import NonNegative, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["L1"]


class L1(BasePenalty):
    """Adds ``strength * sum(|w|)`` to the loss, over weights."""

    elementwise: ClassVar[bool] = True
    name: ClassVar[str] = "l1"
    neutral: ClassVar[Mapping[str, float]] = {"strength": 0.0}
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("strength", 0.0, lambda now: f"L1 penalty {now}"),
    )

    kind: Literal["l1"] = "l1"
    strength: Open[NonNegative] = 0.0

    @staticmethod
    def add_gradient_(
        grad: Tensor, param: Tensor, where: Tensor | float, *, strength: Tensor
    ) -> None:
        """Add ``strength * sign(w)``; at 0 the subgradient is 0.

        Source: elastic net, Zou & Hastie 2005, in its naive form.
        """
        grad.addcmul_(param.sign(), strength * where)
