"""The ridge's penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._method import Switch
from winnow.methods.penalties._base import BasePenalty
from winnow.spec import NonNegative, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["L2"]


class L2(BasePenalty):
    """Adds ``strength / 2 * sum(w ** 2)`` to the loss, over weights."""

    elementwise: ClassVar[bool] = True
    name: ClassVar[str] = "l2"
    neutral: ClassVar[Mapping[str, float]] = {"strength": 0.0}
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("strength", 0.0, lambda now: f"L2 penalty {now}"),
    )

    kind: Literal["l2"] = "l2"
    strength: Open[NonNegative] = 0.0

    @staticmethod
    def add_gradient_(
        grad: Tensor, param: Tensor, where: Tensor | float, *, strength: Tensor
    ) -> None:
        """Add ``strength * w``.

        Source: elastic net, Zou & Hastie 2005, in its naive form.
        """
        grad.addcmul_(param, strength * where)
