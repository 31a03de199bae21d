"""What a step of training is given. Axes: V members, B batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from winnow.trees import Tree, map_tree

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """One batch of each member, as trees of tensors (see ``winnow.trees``).

    Attributes:
        inputs: of the model, each (variants, batch, ...). Integers stay integers.
        targets: each (variants, batch, ...): class indices (int64), probabilities of classes, or
            standardized numbers. Where there are several, the main one is what metrics score.
        weights: of the rows, (variants, batch), 1 on average over all training rows; None: all 1.
        teacher: outputs of a teacher for the same inputs, each (variants, batch, ...); None: there
            is none.
    """

    inputs: Tree
    targets: Tree
    weights: Tensor | None = None
    teacher: Tree | None = None

    def map(self, change: Callable[[Any], Any]) -> Batch:
        """Return the batch with every tensor changed."""
        return Batch(**{name: map_tree(change, tree) for name, tree in self.parts().items()})

    def parts(self) -> dict[str, Tree]:
        """Return the trees that are there, by name."""
        return {name: tree for name, tree in vars(self).items() if tree is not None}
