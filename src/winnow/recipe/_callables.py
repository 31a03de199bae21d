"""What of the things that a recipe names may be called: decided by looking at them, before anything is called.

A recipe is code all the same: importing the module that it names runs that module. The rule keeps a slip, or a recipe that was
not read, from calling what was never meant to build a model; it does not make a stranger's recipe safe.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from typing import Any

__all__ = ["TRUST", "is_standard", "uncallable", "written_in_python"]

TRUST = "it was not called; a recipe is code, so run only those that you trust"


def is_standard(module: str | None) -> bool:
    """Whether a module, by its dotted name, belongs to Python's own library."""
    return module is not None and module.partition(".")[0] in sys.stdlib_module_names


def written_in_python(value: Any) -> types.FunctionType | None:
    """The Python function behind ``value``: itself, or what a partial, a bound method or a cache calls; None for none."""
    for _ in range(100):  # decorators within decorators
        if isinstance(value, functools.partial):
            value = value.func
        elif inspect.ismethod(value):
            value = value.__func__
        elif isinstance(value, types.FunctionType):
            return value
        elif isinstance(getattr(value, "__wrapped__", None), types.FunctionType):
            value = value.__wrapped__
        else:
            return None
    return None


def uncallable(value: Any) -> str | None:
    """Why ``value`` is not called for a recipe, in words that follow a name; None when it may be called.

    Classes and functions that are written in Python may be, those of Python's own library may not.
    """
    if isinstance(value, functools.partial) and inspect.isclass(value.func):
        value = value.func
    found = value if inspect.isclass(value) else written_in_python(value)
    if found is None:
        kind = "a function that is built in" if inspect.isbuiltin(value) else f"an object of type {type(value).__name__}"
        return f"is {kind}, not a class or a function written in Python"
    if is_standard(found.__module__):
        return f"is {found.__module__}.{found.__qualname__} of Python's own library"
    return None
