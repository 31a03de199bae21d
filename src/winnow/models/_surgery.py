"""Switching modules of a network off, by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from winnow.errors import ModelError, did_you_mean
from winnow.models._example import example_rows
from winnow.trees import Tree, call, described

__all__ = ["Zero", "module_names", "switch_off"]

Shape = tuple[int | None, ...]


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(n is None or isinstance(n, int) for n in value)


class Zero(nn.Module):
    """Stands for a module whose output has another shape than its input: returns zeros of the shape
    that the module gave.

    Args:
        shapes: of each output tensor, in the structure of the output; None stands for the batch
            axis.
        batch_axis: of the first input.
    """

    def __init__(self, shapes: Any, batch_axis: int) -> None:
        super().__init__()
        self.shapes = shapes
        self.batch_axis = batch_axis

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Any:
        def zeros(shape: Shape) -> Tensor:
            return x.new_zeros([x.shape[self.batch_axis] if n is None else n for n in shape])

        return pytree.tree_map(zeros, self.shapes, is_leaf=_is_shape)


class PassFirst(nn.Module):
    """Stands for a module whose output has the shape of its first input: returns that input."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return x


def module_names(module: nn.Module) -> list[str]:
    """Return dotted names of everything inside ``module`` that could be switched off."""
    return [name for name, _ in module.named_modules() if name]


def switch_off(module: nn.Module, names: tuple[str, ...], *, in_shape: Tree) -> None:
    """Replace the named modules, in place: by the identity where output and input have one shape,
    else by zeros.

    Shapes are seen by passing a few rows of zeros through the network.

    Args:
        module: the whole network; changed.
        names: dotted names as in ``named_modules``.
        in_shape: of one row, or a tree of ``trees.Input``.

    Raises:
        ModelError: for a name that does not exist, a module that the forward pass never calls, or
            one whose output is not tensors with a batch axis.
    """
    known = module_names(module)
    for name in names:
        if name not in known:
            raise ModelError(f"the model has no module {name!r}{did_you_mean(name, known)}")
    few, many = (_shapes(module, names, in_shape, rows) for rows in (2, 3))
    for name in names:
        if name not in few:
            raise ModelError(
                f"module {name!r} cannot be switched off: the model's forward pass never calls it"
            )
        into, out = pytree.tree_map(_shape_of_any_batch, few[name], many[name], is_leaf=_is_shape)
        if None not in into or any(
            shape.count(None) != 1 for shape in pytree.tree_leaves(out, is_leaf=_is_shape)
        ):
            raise ModelError(
                f"module {name!r} cannot be switched off: it does not map a batch to tensors "
                f"with one batch axis"
            )
        parent, _, child = name.rpartition(".")
        setattr(
            module.get_submodule(parent),
            child,
            PassFirst() if into == out else Zero(out, into.index(None)),
        )


def _shape_of_any_batch(few: tuple[int, ...], many: tuple[int, ...]) -> Shape:
    """Return the shape with None where it follows the number of rows."""
    return tuple(a if a == b else None for a, b in zip(few, many, strict=True))


def _shapes(
    module: nn.Module, names: tuple[str, ...], in_shape: Tree, rows: int
) -> dict[str, tuple[Any, Any]]:
    """Return shapes into and out of each named module when ``rows`` rows pass through the
    network.
    """
    seen: dict[str, tuple[Any, Any]] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            first = next((a for a in [*args, *kwargs.values()] if isinstance(a, Tensor)), None)
            if first is None or not all(isinstance(t, Tensor) for t in pytree.tree_leaves(output)):
                raise ModelError(
                    f"module {name!r} cannot be switched off: it does not map a batch to tensors"
                )
            seen[name] = (tuple(first.shape), pytree.tree_map(lambda t: tuple(t.shape), output))

        return hook

    handles = [
        module.get_submodule(n).register_forward_hook(watch(n), with_kwargs=True) for n in names
    ]
    was_training = module.training
    x = example_rows(in_shape, rows, module)
    try:
        with torch.no_grad():
            call(module.eval(), x)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model fails on a batch of shape {described(x)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        module.train(was_training)
        for handle in handles:
            handle.remove()
    return seen
