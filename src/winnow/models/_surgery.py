"""Switching modules of a network off, by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from winnow.errors import ModelError, did_you_mean

__all__ = ["Zero", "module_names", "switch_off"]


class Zero(nn.Module):
    """Stands for a module whose output has another shape than its input: returns zeros of the shape that the module gave."""

    def __init__(self, shapes: Any) -> None:
        super().__init__()
        self.shapes = shapes  # of each output tensor without the batch axis, in the structure of the output

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Any:
        def zeros(shape: Any) -> Tensor:
            return x.new_zeros((x.shape[0], *shape))

        return pytree.tree_map(zeros, self.shapes, is_leaf=lambda s: isinstance(s, torch.Size))


class PassFirst(nn.Module):
    """Stands for a module whose output has the shape of its first input: returns that input."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return x


def module_names(module: nn.Module) -> list[str]:
    """Dotted names of everything inside ``module`` that could be switched off."""
    return [name for name, _ in module.named_modules() if name]


def switch_off(module: nn.Module, names: tuple[str, ...], *, in_shape: tuple[int, ...]) -> None:
    """Replace the named modules, in place: by the identity where output and input have one shape, else by zeros.

    Shapes are seen by passing two rows of zeros through the network.

    Args:
        module: the whole network; changed.
        names: dotted names as in ``named_modules``.
        in_shape: of one row.

    Raises:
        ModelError: for a name that does not exist, a module that the forward pass never calls, or one whose output is not
            tensors with a batch axis.
    """
    known = module_names(module)
    for name in names:
        if name not in known:
            raise ModelError(f"the model has no module {name!r}{did_you_mean(name, known)}")
    seen = _shapes(module, names, in_shape)
    for name in names:
        if name not in seen:
            raise ModelError(f"module {name!r} cannot be switched off: the model's forward pass never calls it")
        into, out = seen[name]
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, PassFirst() if isinstance(out, torch.Size) and into == out else Zero(out))


def _shapes(module: nn.Module, names: tuple[str, ...], in_shape: tuple[int, ...]) -> dict[str, tuple[Any, Any]]:
    """Shapes into and out of each named module, without the batch axis."""
    seen: dict[str, tuple[Any, Any]] = {}

    def watch(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            first = next((a for a in [*args, *kwargs.values()] if isinstance(a, Tensor)), None)
            tensors = pytree.tree_leaves(output)
            if first is None or not all(isinstance(t, Tensor) and t.shape[:1] == (2,) for t in tensors):
                raise ModelError(f"module {name!r} cannot be switched off: it does not map a batch to tensors with a batch axis")
            seen[name] = (first.shape[1:], pytree.tree_map(lambda t: t.shape[1:], output))

        return hook

    handles = [module.get_submodule(n).register_forward_hook(watch(n), with_kwargs=True) for n in names]
    was_training = module.training
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(2, *in_shape, dtype=next((p.dtype for p in module.parameters()), torch.float32)))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the model fails on a batch of shape {(2, *in_shape)}: {type(error).__name__}: {error}") from error
    finally:
        module.train(was_training)
        for handle in handles:
            handle.remove()
    return seen
