"""What two modules must share to train as one program: everything but the numbers in their
tensors and their dropout rates.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Hashable, Iterable
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from winnow.models import MASKS
from winnow.training._dropout import CALLS, KeyedNoise, MemberDropout

__all__ = ["difference", "signature"]

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_INTERNAL = set(vars(nn.Module())) - set(_HOOKS) | {
    "_flat_weights",
    "_flat_weight_refs",
    CALLS,
    MASKS,
}
_PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    Enum,
    torch.dtype,
    torch.device,
    torch.memory_format,
    range,
    slice,
    np.generic,
)
_CONTAINERS = (dict, OrderedDict, defaultdict, Counter, list, tuple, deque, types.SimpleNamespace)
_IMMUTABLE = 1 << 8  # a flag that most classes of extension modules have
_POINTER = object.__basicsize__ // 2  # bytes

Entry = tuple[str, Hashable]  # a dotted place in the module, and what is there


def signature(module: nn.Module) -> tuple[Entry, ...]:
    """Return a value that is equal for two modules exactly when their members may be stacked.

    It holds the tree of classes, the attributes of each module, and the names, shapes and types of
    parameters and buffers. Objects that an attribute holds, such as a configuration, are compared
    by what is in them. An object that cannot be
    compared that way equals itself only: such members train alone rather than wrongly.
    """
    return tuple(_read(module))


def difference(a: nn.Module, b: nn.Module) -> str | None:
    """Where the signatures of two modules first differ, in words; None where they do not."""
    mine, theirs = _read(a), _read(b)
    for (place, value), (other_place, other) in zip(mine, theirs, strict=False):
        if place != other_place:
            return f"one has {place} where the other has {other_place}"
        if isinstance(value, _Itself) and isinstance(other, _Itself) and value != other:
            return f"{place} holds a {type(value.value).__name__}, which cannot be compared"
        if value != other:
            return f"{place} differs"
    longer = max(mine, theirs, key=len)
    return (
        None
        if len(mine) == len(theirs)
        else f"only one has {longer[min(len(mine), len(theirs))][0]}"
    )


class _Itself:
    """An object that equals itself only. It is held, so that no later object can be taken for
    it.
    """

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return f"_Itself({type(self.value).__qualname__})"


def _read(module: nn.Module) -> list[Entry]:
    reader = _Reader()
    try:
        reader.tree("module", module)
    except RecursionError:
        return [("the module", _Itself(module))]
    return reader.entries


class _Reader:
    """Writes down a module, entry by entry.

    Attributes:
        entries: in a fixed order.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._seen: dict[int, str] = {}  # where an object was met first
        self._alive: list[object] = []  # what was made on the way, so that no address is used twice

    def tree(self, root: str, module: nn.Module, *, with_values: bool = False) -> None:
        """Write down a module and all within it.

        Args:
            root: what it is called.
            with_values: the numbers in its tensors, too.
        """
        parts = [
            (f"{root} {name!r}" if name else root, m)
            for name, m in module.named_modules(remove_duplicate=False)
        ]
        for place, part in parts:
            self._seen.setdefault(id(part), place)
        for place, part in parts:
            self._module(place, part)
        for role, tensors in (
            ("parameter", module.named_parameters(remove_duplicate=False)),
            ("buffer", module.named_buffers(remove_duplicate=False)),
        ):
            for name, tensor in tensors:
                if isinstance(module.get_submodule(name.rpartition(".")[0]), KeyedNoise):
                    continue
                place = f"{role} {name!r}" if root == "module" else f"{root}, {role} {name!r}"
                tied_to = self._seen.setdefault(id(tensor), place)
                facts = (tied_to, tuple(tensor.shape), tensor.dtype, tensor.requires_grad)
                self._add(place, (*facts, _digest(tensor)) if with_values else facts)

    def _add(self, place: str, value: Any) -> None:
        self.entries.append((place, value))

    def _module(self, place: str, part: nn.Module) -> None:
        if isinstance(part, MemberDropout):
            self._add(place, (MemberDropout, part.spatial))
            return
        # parametrize makes a class of its own for every module it touches
        self._add(place, type(part).__bases__ if parametrize.is_parametrized(part) else type(part))
        for hooks in _HOOKS:
            for i, hook in enumerate(vars(part)[hooks].values()):
                self._value(f"{place}, {hooks[1:-1].replace('_', ' ')} {i}", hook)
        for name, value in sorted(vars(part).items()):
            if name not in _INTERNAL and name not in _HOOKS:
                prefix = "attribute" if place == "module" else f"{place}, attribute"
                self._value(f"{prefix} '{name}'", value)

    def _value(self, place: str, value: Any) -> None:
        """Write down what a place holds, and what that holds in turn."""
        if _is_plain(value):
            self._add(
                place, (type(value), repr(value) if isinstance(value, float | complex) else value)
            )
        elif isinstance(value, tuple | frozenset) and all(_is_plain(v) for v in value):
            self._add(
                place,
                (
                    type(value),
                    frozenset(value) if isinstance(value, frozenset) else repr(tuple(value)),
                ),
            )
        elif inspect.isclass(value) or inspect.isbuiltin(value) or inspect.ismodule(value):
            self._add(place, value)
        elif id(value) in self._seen:
            self._add(place, ("again", self._seen[id(value)]))
        else:
            self._seen[id(value)] = place
            self._alive.append(value)
            self._contents(place, value)

    def _contents(self, place: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._add(place, ("tensor", tuple(value.shape), value.dtype, _digest(value)))
        elif type(value) is np.ndarray and value.dtype != object:
            self._add(
                place,
                (
                    "array",
                    value.shape,
                    str(value.dtype),
                    hashlib.sha256(value.tobytes()).hexdigest(),
                ),
            )
        elif isinstance(value, nn.Module):  # outside the tree, so its tensors are not stacked
            self.tree(place, value, with_values=True)
        elif isinstance(value, functools.partial):
            self._several(place, functools.partial, [value.func, value.args, value.keywords])
        elif inspect.ismethod(value):
            self._several(place, types.MethodType, [value.__func__, value.__self__])
        elif inspect.isfunction(value):
            self._add(place, ("function", value.__module__, value.__qualname__, value.__code__))
            cells = [c.cell_contents for c in value.__closure__ or ()]
            self._several(
                place, types.FunctionType, [cells, value.__defaults__, value.__kwdefaults__]
            )
        elif isinstance(value, set) and all(_is_plain(v) for v in value):
            self._add(place, (type(value), frozenset(value)))
        elif isinstance(value, PurePath):
            self._add(place, (type(value), str(value)))
        elif _can_be_read(type(value)):
            self._object(place, value)
        else:
            self._add(place, _Itself(value))

    def _several(self, place: str, kind: Hashable, values: Iterable[object]) -> None:
        values = list(values)
        self._alive.append(values)
        self._add(place, (kind, len(values)))
        for i, value in enumerate(values):
            self._value(f"{place}[{i}]", value)

    def _object(self, place: str, value: Any) -> None:
        """Write down a container or an object of a class that is written in Python: its class and
        what is in it.
        """
        self._add(place, type(value))
        if isinstance(value, list | tuple | deque):
            self._several(place, "items", value)
        if isinstance(value, dict):
            self._several(f"{place}, key", "keys", value)
            for key, inner in value.items():
                self._value(f"{place}[{key!r}]", inner)
        for name, inner in sorted(_state(value).items()):
            self._value(f"{place}.{name}", inner)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, _PLAIN)


def _digest(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).hexdigest()


def _can_be_read(kind: type) -> bool:
    """Return whether Python sees all that an object of this class holds: each of its bases is a
    container or written in Python, and none has a way of its own to be copied, by which a logger,
    say, stays the one that it is.
    """
    own_way = any(
        "__reduce__" in vars(base) or "__reduce_ex__" in vars(base)
        for base in kind.__mro__
        if base is not object
    )
    if own_way and not issubclass(kind, _CONTAINERS):
        return False
    roots = [base for base in kind.__mro__ if base in (object, *_CONTAINERS)]
    written = [base for base in kind.__mro__ if base not in roots]
    # what a class of an extension module hides takes room that neither slots nor a dict and weak
    # references account for
    room = max(base.__basicsize__ for base in roots) + _POINTER * (
        2 + sum(len(_slots(base)) for base in written)
    )
    return kind.__basicsize__ <= room and not any(base.__flags__ & _IMMUTABLE for base in written)


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, those in slots included."""
    slots = [name for kind in type(value).__mro__ for name in _slots(kind)]
    own = {n: getattr(value, n) for n in slots if hasattr(value, n)} | dict(
        getattr(value, "__dict__", {})
    )
    return (
        own | {"default_factory": value.default_factory} if isinstance(value, defaultdict) else own
    )


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    named = [slots] if isinstance(slots, str) else list(slots)
    private = f"_{kind.__name__.lstrip('_')}"
    return [
        f"{private}{s}" if s.startswith("__") else s
        for s in named
        if s not in ("__dict__", "__weakref__")
    ]
