"""Some validation rows of a fleet, as metrics see them; what metrics share is computed once.

Axes: V members, B rows of a piece, H parts of the rows, G groups of parts, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["ClassRows", "NumberRows", "Rows", "Targets"]


@dataclass(frozen=True)
class Targets:
    """What metrics need to know of the targets of groups of rows.

    Attributes:
        rows: how many rows.
        counts: of each class; no columns for a regression.
        spread: sums of the squared distances of the standardized targets from their mean; zeros
            for a classification.
        scale: units of the target in one standardized unit.
    """

    rows: NDArray[np.float64]
    counts: NDArray[np.float64]
    spread: NDArray[np.float64]
    scale: float = 1.0


@dataclass(frozen=True)
class Rows:
    """Outputs and targets of some rows.

    Attributes:
        outputs: of the members.
        targets: as prepared.
        of_part: 1 where a row is of a part, else 0, in double precision.
    """

    outputs: Tensor
    targets: Tensor
    of_part: Tensor

    def by_part(self, values_VB: Tensor) -> Tensor:
        """Return sums over the rows of each part, (variants, parts).

        Not by a matrix product, whose order of adding may depend on V.
        """
        import torch

        sums = [(values_VB * of_part_B).sum(dim=1) for of_part_B in self.of_part.unbind(dim=1)]
        return torch.stack(sums, dim=1)


@dataclass(frozen=True)
class ClassRows(Rows):
    """Logits and labels."""

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.outputs.shape[-1]

    @cached_property
    def labels(self) -> Tensor:
        """The right class of each row, (variants, rows)."""
        return self.targets.expand(self.outputs.shape[:2])

    @cached_property
    def log_probability(self) -> Tensor:
        """The logarithm of the probability of each class, in double precision."""
        import torch

        return torch.log_softmax(self.outputs.double(), dim=-1)

    @cached_property
    def predicted(self) -> Tensor:
        """The most probable class, the first among equals."""
        return self.outputs.argmax(dim=-1)

    @cached_property
    def right(self) -> Tensor:
        """1 where the most probable class is right, else 0."""
        return (self.predicted == self.labels).double()

    @cached_property
    def is_class(self) -> Tensor:
        """Whether a row is of a class, (rows, classes)."""
        import torch

        return self.targets.unsqueeze(1) == torch.arange(self.classes, device=self.targets.device)

    @cached_property
    def loss(self) -> Tensor:
        """The log loss of the rows of each part, in nats, added up."""
        log_probability = self.log_probability
        loss_VB = -log_probability.gather(-1, self.labels.unsqueeze(-1)).squeeze(-1)
        return self.by_part(loss_VB)

    @cached_property
    def key(self) -> Tensor:
        """1 where a row is of a part and of a class, else 0."""
        return self.of_part.unsqueeze(2) * self.is_class.unsqueeze(1)

    def by_class(self, counts_VB: Tensor) -> Tensor:
        """Return sums of whole numbers over the rows of each part and class, (variants, parts,
        classes): exact, in whatever order they are added.
        """
        parts = self.of_part.shape[1]
        # A matrix product may add in any order, which whole numbers do not mind
        sums = counts_VB @ self.key.flatten(1)
        return sums.view(len(counts_VB), parts, self.classes)


@dataclass(frozen=True)
class NumberRows(Rows):
    """Standardized predictions and targets.

    Attributes:
        scale, center: a target in its own units is ``scale * standardized + center``.
    """

    scale: float = 1.0
    center: float = 0.0

    @cached_property
    def y(self) -> Tensor:
        """The standardized targets in double precision, (rows,)."""
        return self.targets.double()

    @cached_property
    def error(self) -> Tensor:
        """Prediction less target, standardized, (variants, rows)."""
        return self.outputs.squeeze(-1).double() - self.y

    @cached_property
    def loss(self) -> Tensor:
        """The squared errors of the rows of each part, added up."""
        return self.by_part(self.error.square())
