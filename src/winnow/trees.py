"""Trees of tensors or arrays: what several inputs, targets or outputs of a model are held in.

A tree is a leaf (a tensor, an array, a number), or a tuple or mapping of trees. The functions here
look at the structure alone, so that they serve PyTorch and NumPy and import neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

__all__ = [
    "Input",
    "Tree",
    "as_inputs",
    "at",
    "by_name",
    "call",
    "described",
    "leaves",
    "like",
    "main",
    "map_tree",
    "named_leaves",
    "without_none",
]

# Type checkers cannot follow a recursive type through functions of tensors.
Tree: TypeAlias = Any

# Under this name libraries of models return what classes are read off
_MAIN = "logits"


@dataclass(frozen=True)
class Input:
    """What one input of a model is; the inputs of a model are a tree of these.

    Attributes:
        shape: of one row, () where a row has one value.
        dtype: PyTorch's name of it; ``float32`` stands for the precision that is trained in.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def is_float(self) -> bool:
        return self.dtype == "float32"

    @property
    def size(self) -> int:
        """How many values a row has."""
        return prod(self.shape)


def as_inputs(found: Tree) -> Tree:
    """Return a tree of ``Input``; a shape stands for one input of floats.

    Example:
        >>> as_inputs((3, 8, 8))
        Input(shape=(3, 8, 8), dtype='float32')
    """
    is_shape = isinstance(found, tuple | list) and all(isinstance(n, int) for n in found)
    return Input(tuple(found)) if is_shape else found


def by_name(inputs: Tree) -> dict[str, Any]:
    """Return the inputs of a model by the names that rows and exported models give them: those of a
    mapping, ``x0``, ``x1`` and so on of a tuple, and ``x`` where there is one.

    Example:
        >>> by_name((1, 2)), by_name(3)
        ({'x0': 1, 'x1': 2}, {'x': 3})
    """
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if isinstance(inputs, tuple | list):
        return {f"x{i}": part for i, part in enumerate(inputs)}
    return {"x": inputs}


def map_tree(change: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Return a tree of the same structure with every leaf changed.

    Args:
        change: called with a leaf, and with those at its place in ``others``.
        tree: gives the structure; lists become tuples, and mappings dictionaries.
        others: trees of the same structure.

    Example:
        >>> map_tree(lambda a, b: a + b, {"x": 1, "y": (2, 3)}, {"x": 10, "y": (20, 30)})
        {'x': 11, 'y': (22, 33)}
    """
    if isinstance(tree, Mapping):
        return {key: map_tree(change, tree[key], *(o[key] for o in others)) for key in tree}
    if isinstance(tree, tuple | list):
        return tuple(map_tree(change, *parts) for parts in zip(tree, *others, strict=True))
    return change(tree, *others)


def named_leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a tree in order, each with its path, ``inputs.mask`` or ``inputs.0``.

    Args:
        tree: whose leaves are wanted.
        name: of the tree, before the path.

    Example:
        >>> dict(named_leaves({"ids": 1, "pair": (2, 3)}, "x"))
        {'x.ids': 1, 'x.pair.0': 2, 'x.pair.1': 3}
    """
    if isinstance(tree, Mapping):
        parts = list(tree.items())
    elif isinstance(tree, tuple | list):
        parts = list(enumerate(tree))
    else:
        yield name, tree
        return
    for key, part in parts:
        yield from named_leaves(part, f"{name}.{key}" if name else str(key))


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves of a tree in order; ``like`` is the way back.

    Example:
        >>> leaves({"ids": 1, "pair": (2, 3)})
        [1, 2, 3]
    """
    return [leaf for _, leaf in named_leaves(tree)]


def like(tree: Tree, values: Iterator[Any]) -> Tree:
    """Return a tree of the same structure whose leaves are the next of ``values``.

    Example:
        >>> like({"ids": 0, "pair": (0, 0)}, iter([1, 2, 3]))
        {'ids': 1, 'pair': (2, 3)}
    """
    return map_tree(lambda _: next(values), tree)


def at(tree: Tree, path: str) -> Any:
    """Return the part of a tree at a path.

    Args:
        tree: whose part is wanted.
        path: names of mappings and positions of tuples, with dots between them.

    Raises:
        KeyError: there is none; the message names what is there.

    Example:
        >>> at({"pair": (2, 3)}, "pair.1")
        3
    """
    for step in path.split("."):
        if isinstance(tree, Mapping):
            parts = {str(key): part for key, part in tree.items()}
        elif isinstance(tree, tuple | list):
            parts = {str(i): part for i, part in enumerate(tree)}
        else:
            parts = {}
        if step not in parts:
            there = ", ".join(parts) if parts else "a single tensor"
            missing = repr(step) if step == path else f"{step!r} (of {path!r})"
            raise KeyError(f"there is no {missing}: there is {there}")
        tree = parts[step]
    return tree


def main(tree: Tree) -> Any:
    """Return the leaf that predictions, metrics and the main loss are about.

    That is the leaf itself, the first of a tuple, and of a mapping ``logits`` or, where nothing is
    called so, the first.

    Raises:
        TypeError: the tree is empty there.

    Example:
        >>> main({"hidden": 1.5, "logits": 2.5}), main((3, 4))
        (2.5, 3)
    """
    if isinstance(tree, Mapping) and tree:
        return main(tree[_MAIN] if _MAIN in tree else next(iter(tree.values())))
    if isinstance(tree, tuple | list) and tree:
        return main(tree[0])
    if isinstance(tree, Mapping | tuple | list):
        raise TypeError(f"expected a tensor, got an empty {type(tree).__name__}")
    return tree


def call(function: Callable[..., Any], inputs: Tree) -> Any:
    """Return what a model says to some inputs.

    Args:
        function: the model, or its forward pass.
        inputs: a leaf is its one argument, a tuple its arguments in order, and a mapping its
            arguments by name.

    Example:
        >>> call(lambda ids, mask: ids * mask, {"mask": 0, "ids": 5})
        0
    """
    if isinstance(inputs, Mapping):
        return function(**inputs)
    if isinstance(inputs, tuple | list):
        return function(*inputs)
    return function(inputs)


def without_none(tree: Tree) -> Tree:
    """Return the tree without entries of tuples and mappings that are None.

    Example:
        >>> without_none({"loss": None, "logits": 2.0, "states": (None, 1.0)})
        {'logits': 2.0, 'states': (1.0,)}
    """
    if isinstance(tree, Mapping):
        return {key: without_none(part) for key, part in tree.items() if part is not None}
    if isinstance(tree, tuple | list):
        return tuple(without_none(part) for part in tree if part is not None)
    return tree


def described(tree: Tree) -> str:
    """Return the shapes of a tree of tensors or arrays, as messages show them.

    Example:
        >>> import numpy as np
        >>> described({"ids": np.zeros((4, 7)), "image": np.zeros((4, 3, 8, 8))})
        'ids (4, 7), image (4, 3, 8, 8)'
    """
    shapes = [(name, str(tuple(leaf.shape))) for name, leaf in named_leaves(tree)]
    return ", ".join(f"{name} {shape}" if name else shape for name, shape in shapes)
