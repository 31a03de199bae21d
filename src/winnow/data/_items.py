"""Items of datasets, each checked as it is read.

Axes: B rows of a batch, F features (any number of axes).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from winnow.data._inputs import PAD, input_dtype, label
from winnow.errors import DataError, kind_and_line
from winnow.recipe import Task
from winnow.trees import Input, Tree, by_name, leaves, like

__all__ = ["Reader", "Wrong", "input_of", "pairs", "target_of"]


class Wrong(NamedTuple):
    """What is wrong with a batch, in a sentence.

    An exception would come out of a process wrapped in its traceback.
    """

    message: str


@dataclass(frozen=True)
class Reader:
    """Reads batches out of datasets; what a loader's processes work with.

    Attributes:
        datasets: by part; one object may stand under all three.
        names: what messages call them, by part.
        inputs: of the model, a tree of ``Input``.
        task: what is predicted.
        classes: labels are below it; None: not known yet.
        target: the name of the main target, where items have several.
        others: what the other targets are, by name.
    """

    datasets: Mapping[str, Any]
    names: Mapping[str, str]
    inputs: Tree
    task: Task
    classes: int | None = None
    target: str | None = None
    others: Mapping[str, Input] = field(default_factory=dict)

    def __getitem__(self, key: tuple[str, np.ndarray]) -> tuple[Tree, Tree] | Wrong:
        """Return what ``read`` gives, or what is wrong, for a loader."""
        try:
            return self.read(*key)
        except DataError as error:
            return Wrong(str(error))

    @property
    def values(self) -> int:
        """The number of values that the inputs of a row have."""
        return sum(one.size for one in leaves(self.inputs))

    def read(self, part: str, positions: np.ndarray) -> tuple[Tree, Tree]:
        """Return the inputs and the targets of some items.

        Args:
            part: whose dataset is read.
            positions: of the items in it, (B,).

        Returns:
            The inputs, each (B, *F): floats and pixels as the dataset has them, all else of its
            ``Input``'s type. And the targets, (B,) int64 or float64; where there are several, a
            mapping of these and the others.

        Raises:
            DataError: for an item that cannot be read or does not fit, by its number.
        """
        numbers = positions.tolist()
        xs, ys, others = [], [], []
        for x, y, what in pairs(self.datasets[part], self.names[part], numbers):
            xs.append(_fitting(x, self.inputs, what))
            main_target, more = target_of(y, self.target, what)
            ys.append(self._target(main_target, what))
            others.append(_fitting(more, self.others, what, "y"))
        named = [f"data.source: item {i} of {self.names[part]}" for i in numbers]
        dtype = torch.int64 if self.task == "classification" else torch.float64
        y_B = torch.tensor(ys, dtype=dtype)
        inputs = _batch(xs, self.inputs, named)
        if self.target is None:
            return inputs, y_B
        return inputs, {self.target: y_B, **_batch(others, self.others, named, "y")}

    def _target(self, value: Any, what: str) -> int | float:
        """Return the main target of an item as a number.

        Raises:
            DataError: it is no finite number, or no index of a class.
        """
        if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) == 1:
            value = value.reshape(()).item()
        elif isinstance(value, np.generic):
            value = value.item()
        if self.task == "regression":
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise DataError(f"{what}: expected y as a finite number, got {_what(value)}")
            return value
        if isinstance(value, int) and 0 <= value < (self.classes or math.inf):
            return int(value)
        known = "0, 1, 2, ..." if self.classes is None else f"0 to {self.classes - 1}"
        is_quantity = isinstance(value, float) and math.isfinite(value)
        hint = "; for a quantity, task: regression" if is_quantity else ""
        raise DataError(f"{what}: expected y as a class index ({known}), got {_what(value)}{hint}")


def target_of(y: Any, name: str | None, what: str) -> tuple[Any, dict[str, Any]]:
    """Return the main target of an item, and the others as numbers by name.

    Args:
        y: of the item.
        name: of the main one; None: there is one target.
        what: messages call the item.

    Raises:
        DataError: it is not there, or there are others where there should be none.
    """
    if name is None:
        return y, {}
    if not isinstance(y, Mapping) or name not in y:
        found = ", ".join(map(str, y)) if isinstance(y, Mapping) else _what(y)
        raise DataError(f"{what}: expected y as a mapping with {name!r}, got {found}")
    others = {key: _numbers(y[key], what, f"y[{key!r}]") for key in y if key != name}
    return y[name], others


def input_of(value: Tensor | np.ndarray) -> Input:
    """Return what an input or a target is, by the value of an item."""
    return Input(tuple(value.shape), input_dtype(value.dtype))


def _fitting(x: Tree, expected: Tree, what: str, called: str = "x") -> list[Tensor | np.ndarray]:
    """Return the values of an item in the order of what is expected.

    Args:
        x: a tree of values.
        expected: a tree of ``Input``.
        what: messages call the item.
        called: what they call the tree.

    Raises:
        DataError: there are others, or one has another shape or type.
    """
    if not _alike(x, expected):
        raise DataError(
            f"{what}: {called} is {_listed(x)}, that of the first item is {_listed(expected)}: all "
            f"must have the same"
        )
    found = []
    there = by_name(x)
    for name, one in by_name(expected).items():
        value, place = there[name], label(expected, name, called)
        if tuple(value.shape) != one.shape:
            raise DataError(
                f"{what}: {place} has the shape {tuple(value.shape)}, that of the first item is "
                f"{one.shape}: all must have one shape; {PAD}"
            )
        dtype = input_of(value).dtype
        # Of whole numbers a smaller type does: they become what the first item has
        is_lost = dtype == "float32" or one.dtype == "bool"
        if not one.is_float and dtype != one.dtype and is_lost:
            raise DataError(
                f"{what}: {place} holds {value.dtype}, that of the first item {one.dtype}: all "
                f"must have one type"
            )
        found.append(value)
    return found


def _alike(x: Tree, expected: Tree) -> bool:
    """Say whether two trees have the same names, or as many places."""
    if isinstance(expected, Mapping):
        return isinstance(x, Mapping) and x.keys() == expected.keys()
    if isinstance(expected, tuple):
        return isinstance(x, tuple) and len(x) == len(expected)
    return not isinstance(x, Mapping | tuple)


def _listed(tree: Tree) -> str:
    """Return what a tree is, in words."""
    if isinstance(tree, Mapping):
        return f"a mapping of {', '.join(map(str, tree)) or 'nothing'}"
    return f"a tuple of {len(tree)}" if isinstance(tree, tuple) else "one tensor or array"


def _batch(
    items: Sequence[list[Tensor | np.ndarray]],
    expected: Tree,
    named: Sequence[str],
    called: str = "x",
) -> Tree:
    """Return the values of items as tensors (B, ...).

    Args:
        items: of each, its values in the order of ``expected``.
        expected: a tree of ``Input``, whose structure the batch has.
        named: what messages call the items.
        called: what they call the tree.

    Raises:
        DataError: a value that is not finite.
    """
    batch = []
    for i, (name, one) in enumerate(by_name(expected).items()):
        values = _stacked([item[i] for item in items])
        if values.is_floating_point() and not bool(torch.isfinite(values).all()):
            lost = ~torch.isfinite(values.reshape(len(values), -1))
            place = label(expected, name, called)
            at = named[int(lost.any(dim=1).int().argmax())]
            raise DataError(f"{at}: {place} holds NaN or infinite values")
        batch.append(values if one.is_float else values.to(getattr(torch, one.dtype)))
    return like(expected, iter(batch))


def pairs(dataset: Any, name: str, numbers: list[int]) -> Iterator[tuple[Tree, Any, str]]:
    """Yield x as numbers, y as it is, and what messages call the item.

    A mapping, or a tuple in which there are tensors or arrays, is several inputs.

    Args:
        dataset: that is read.
        name: what messages call it.
        numbers: of the items.

    Raises:
        DataError: for an item that cannot be read or is no pair.
    """
    for i, item in zip(numbers, _items(dataset, name, numbers), strict=True):
        what = f"data.source: item {i} of {name}"
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"{what}: expected a pair (x, y), got {_what(item)}")
        yield _inputs(item[0], what), item[1], what


def _inputs(x: Any, what: str) -> Tree:
    """Return the inputs of an item as numbers.

    Raises:
        DataError: they are none, or not named by text.
    """
    if isinstance(x, Mapping):
        odd = next((name for name in x if not isinstance(name, str)), None)
        if odd is not None or not x:
            found = "none" if odd is None else repr(odd)
            raise DataError(f"{what}: expected the names of inputs in x, got {found}")
        return {name: _numbers(value, what, f"x[{name!r}]") for name, value in x.items()}
    if isinstance(x, tuple) and any(isinstance(part, Tensor | np.ndarray) for part in x):
        return tuple(_numbers(part, what, f"x[{i}]") for i, part in enumerate(x))
    return _numbers(x, what)


def _items(dataset: Any, name: str, numbers: list[int]) -> Iterator[Any]:
    """Yield the items of a dataset, which it gives at once where it can.

    Raises:
        DataError: it raises, or gives another number of items.
    """
    if hasattr(dataset, "__getitems__"):
        yield from _items_at_once(dataset, name, numbers)
        return
    for i in numbers:
        try:
            item = dataset[i]
        except Exception as error:  # a dataset of the user's may raise anything
            raise DataError(
                f"data.source: reading item {i} of {name} raised {kind_and_line(error)}"
            ) from error
        yield item


def _items_at_once(dataset: Any, name: str, numbers: list[int]) -> list[Any]:
    try:
        found = list(dataset.__getitems__(numbers))
    except Exception as error:  # a dataset of the user's may raise anything
        raise DataError(
            f"data.source: reading items {numbers[0]}, ... of {name} raised {kind_and_line(error)}"
        ) from error
    if len(found) != len(numbers):
        raise DataError(
            f"data.source: {name} gave {len(found)} items when it was asked for {len(numbers)}"
        )
    return found


def _numbers(x: Any, what: str, place: str = "x") -> Tensor | np.ndarray:
    """Return a value of an item as a tensor on the CPU or an array.

    Args:
        x: the value. A number alone is one where it is one of several.
        what: messages call the item.
        place: what they call the value.

    Raises:
        DataError: it is neither, is ragged, or holds something else than numbers.
    """
    found: Tensor | np.ndarray
    is_number = place != "x" and isinstance(x, int | float | np.generic)
    if isinstance(x, Tensor):
        found = x.detach().cpu()
        is_of_numbers = not (found.is_complex() or found.is_quantized)
    elif isinstance(x, np.ndarray | list | tuple) or is_number:
        try:
            found = np.asarray(x)
        except ValueError:
            raise DataError(f"{what}: {place} is ragged: expected one shape; {PAD}") from None
        is_of_numbers = found.dtype.kind in "iufb"
    else:
        raise DataError(
            f"{what}: expected {place} as a tensor or an array, got {type(x).__name__}: turn it "
            f"into one in the dataset"
        )
    if not is_of_numbers:
        raise DataError(f"{what}: expected {place} of numbers, got {found.dtype}")
    return found


def _stacked(xs: Sequence[Tensor | np.ndarray]) -> Tensor:
    """Return one new tensor (B, *F): a view of a read-only file must not be handed on."""
    if all(isinstance(x, Tensor) for x in xs):
        return torch.stack(xs)  # type: ignore[arg-type]
    return torch.from_numpy(np.stack([np.asarray(x) for x in xs]))


def _what(value: Any) -> str:
    """Return what a value is, for messages."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Tensor | np.ndarray):
        return f"shape {tuple(value.shape)}"
    return repr(value) if isinstance(value, int | float | str) else type(value).__name__
