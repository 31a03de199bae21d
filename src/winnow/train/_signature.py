"""What two modules must share to train as one program: everything but the numbers in their tensors and their dropout rates."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from winnow.train._lanes import CALLS, KeyedNoise, LaneDropout

__all__ = ["signature"]

_INTERNAL = set(vars(nn.Module())) | {"_flat_weights", "_flat_weight_refs", CALLS}
_PLAIN = (bool, int, float, complex, str, bytes, Enum, torch.dtype, torch.device, torch.memory_format, range, slice)


def signature(module: nn.Module) -> Hashable:
    """A value that is equal for two modules exactly when their members may be stacked.

    It holds the tree of classes, the plain attributes of each module, and the names, shapes and types of parameters and
    buffers. An attribute that cannot be compared makes the module equal to itself only: it then trains alone rather than
    wrongly.
    """
    seen: dict[int, str] = {}
    parts: list[Hashable] = []
    for name, part in module.named_modules(remove_duplicate=False):
        if isinstance(part, LaneDropout):
            parts.append((name, LaneDropout, part.spatial))
            continue
        attributes = tuple((k, _frozen(v, seen)) for k, v in sorted(vars(part).items()) if k not in _INTERNAL)
        # parametrize makes a class of its own for every module it touches
        kind = type(part).__bases__ if parametrize.is_parametrized(part) else type(part)
        parts.append((name, kind, attributes))
    for role, tensors in (
        ("parameter", module.named_parameters(remove_duplicate=False)),
        ("buffer", module.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in tensors:
            if isinstance(module.get_submodule(name.rpartition(".")[0]), KeyedNoise):
                continue
            tied_to = seen.setdefault(id(tensor), name)
            parts.append((role, name, tied_to, tuple(tensor.shape), tensor.dtype, tensor.requires_grad))
    return tuple(parts)


def _frozen(value: Any, seen: dict[int, str]) -> Hashable:
    if value is None or isinstance(value, _PLAIN):
        return (type(value), value)
    if isinstance(value, list | tuple):
        return (type(value), tuple(_frozen(v, seen) for v in value))
    if isinstance(value, set | frozenset):
        return (type(value), frozenset(_frozen(v, seen) for v in value))
    if isinstance(value, Mapping):
        return (type(value), tuple((str(k), _frozen(v, seen)) for k, v in value.items()))
    if isinstance(value, Tensor):
        digest = hashlib.sha256(repr(value.detach().cpu().tolist()).encode()).hexdigest()
        return ("tensor", tuple(value.shape), value.dtype, digest)
    if isinstance(value, nn.Module):
        return ("module", signature(value))
    if isinstance(value, functools.partial):
        return ("partial", _frozen(value.func, seen), _frozen(value.args, seen), _frozen(value.keywords, seen))
    if inspect.isclass(value) or inspect.isbuiltin(value):
        return value  # type: ignore[return-value]
    if inspect.isfunction(value):
        cells = tuple(_frozen(c.cell_contents, seen) for c in value.__closure__ or ())
        return ("function", value.__module__, value.__qualname__, value.__code__, cells, _frozen(value.__defaults__, seen))
    return ("object", id(value))
