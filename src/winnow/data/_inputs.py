"""Several inputs of a model: what they are called, their types, and rows of them in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow.trees import Tree, leaves, map_tree

__all__ = ["PAD", "InputArrays", "input_dtype", "label"]

PAD = "pad the rows, and give their lengths or a mask as one more input"


@dataclass(frozen=True)
class InputArrays:
    """Several inputs of the same rows. Indexed as an array is, by a slice, positions or a mask, it
    gives those rows of each.

    Attributes:
        arrays: a tuple or mapping of arrays (N, ...).
    """

    arrays: Tree

    def __len__(self) -> int:
        return len(leaves(self.arrays)[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and the values of all inputs of a row."""
        return len(self), sum(math.prod(array.shape[1:]) for array in leaves(self.arrays))

    def __getitem__(self, which: Any) -> Tree:
        def rows(array: np.ndarray) -> np.ndarray:
            return array[which]

        return map_tree(rows, self.arrays)


def input_dtype(dtype: Any) -> str:
    """Return the type in which a model gets values of a type of NumPy's or PyTorch's: signed whole
    numbers and booleans keep theirs, floats have that of the training, and so have unsigned
    numbers, which are pixels.
    """
    name = str(dtype).removeprefix("torch.")
    return name if name.startswith("int") or name == "bool" else "float32"


def label(tree: Tree, name: str, called: str = "x") -> str:
    """Return what messages call one input: ``x``, ``x[0]`` or ``x['ids']``."""
    if isinstance(tree, Mapping):
        return f"{called}[{name!r}]"
    return f"{called}[{name[1:]}]" if isinstance(tree, tuple) else called
