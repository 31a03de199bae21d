"""What a recipe may name: a data source, a model. Names are checked by their form; nothing is
imported.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from winnow.errors import nearest
from winnow.recipe import _objects
from winnow.recipe._ready import READY
from winnow.spec import describe

__all__ = ["FILES", "SKLEARN_SETS", "is_file", "is_own", "own", "source", "tensors", "use"]

SKLEARN_SETS = ("digits", "breast_cancer", "wine", "iris", "diabetes")
FILES = (".csv", ".tsv", ".parquet")
TENSOR_FILES = (".safetensors", ".pt", ".pth")


def is_file(name: str) -> bool:
    """Return whether a source is a path to a table."""
    return name.lower().endswith(FILES)


def source(value: Any) -> str:
    """Return the name of a data source; a frame, a function or ``(X, y)`` is registered and named.

    Raises:
        ValueError: for anything that cannot be a source, with the nearest that can.
    """
    if not isinstance(value, str):
        if isinstance(value, tuple) or callable(value) or hasattr(value, "columns"):
            return _objects.register(value, getattr(value, "__name__", "data"))
        hint = (
            " - a dataset: Data.dataset(...)"
            if hasattr(value, "__getitem__") and hasattr(value, "__len__")
            else ""
        )
        raise ValueError(
            f"expected the name of a data source, a frame or a function, got "
            f"{describe(value)}{hint}"
        )
    scheme, colon, name = value.rpartition(":")
    if scheme == "sklearn":
        if name in SKLEARN_SETS:
            return value
        raise ValueError(
            f"no data set sklearn:{name} here{_or_nearest(name, SKLEARN_SETS, 'sklearn:')}"
        )
    if value.startswith(_objects.PREFIX) or is_file(value):
        return value
    if name in SKLEARN_SETS and (not colon or nearest(scheme, ["sklearn"])):
        raise ValueError(f"unknown data source {value!r} - did you mean 'sklearn:{name}'?")
    if _objects.is_import_path(value):
        return value
    close = None if colon else nearest(name, SKLEARN_SETS)
    expected = "sklearn:<name>, a path ending in .csv, .tsv or .parquet, or package.module:function"
    raise ValueError(
        f"expected {expected}, got {value!r}"
        + (f" - did you mean 'sklearn:{close}'?" if close else "")
    )


def use(value: Any) -> str:
    """Return the name of a model; a class or builder is registered and named.

    Raises:
        ValueError: for anything that cannot be a model, with the nearest that can.
    """
    if not isinstance(value, str):
        if (
            inspect.isclass(value)
            or inspect.isroutine(value)
            or isinstance(value, functools.partial)
        ):
            return _objects.register(value, getattr(value, "__name__", "model"))
        if callable(value):
            name = type(value).__name__
            raise ValueError(
                f"expected a class or a function that builds the model, got a {name} that is "
                f"built: give {name} itself"
            )
        raise ValueError(
            f"expected a model's name, a class or a function that builds it, got {describe(value)}"
        )
    if value in READY or value.startswith(_objects.PREFIX) or _objects.is_import_path(value):
        return value
    close = nearest(value, READY)
    expected = f"a ready model ({', '.join(READY)}) or an import path package.module:name"
    raise ValueError(
        f"expected {expected}, got {value!r}" + (f" - did you mean {close!r}?" if close else "")
    )


def own(value: Any, what: str) -> str:
    """Return the name of a class of the user's own or of a library; a class is registered and
    named.

    Args:
        value: an import path, or the class.
        what: it is, for a message: ``an optimizer``.

    Raises:
        ValueError: for anything else.
    """
    if inspect.isclass(value) or inspect.isroutine(value):
        return _objects.register(value, getattr(value, "__name__", "class"))
    if isinstance(value, str) and is_own(value):
        return value
    raise ValueError(
        f"expected the class of {what}, or its import path package.module:name, got "
        f"{describe(value)}"
    )


def tensors(value: Any, setting: str) -> str:
    """Return the name of a file of tensors; tensors by name are registered and named.

    Args:
        value: a path, tensors by name, or something that has a ``state_dict``.
        setting: what they are, for a name: ``weights``.

    Raises:
        ValueError: for anything else.
    """
    if hasattr(value, "state_dict"):
        value = value.state_dict()
    if isinstance(value, Mapping) and value and all(hasattr(t, "detach") for t in value.values()):
        return _objects.register({str(n): t.detach() for n, t in value.items()}, setting)
    if isinstance(value, str) and (
        value.startswith(_objects.PREFIX) or value.lower().endswith(TENSOR_FILES)
    ):
        return value
    expected = f"the path of a file ({', '.join(TENSOR_FILES)}), or tensors by name"
    raise ValueError(f"expected {expected}, got {describe(value)}")


def is_own(name: str) -> bool:
    """Return whether ``name`` is that of an object of the user's own or of a library, by its
    form.
    """
    return name.startswith(_objects.PREFIX) or _objects.is_import_path(name)


def _or_nearest(name: str, names: tuple[str, ...], prefix: str) -> str:
    close = nearest(name, names)
    return f" - did you mean '{prefix}{close}'?" if close else f" - known: {', '.join(names)}"
