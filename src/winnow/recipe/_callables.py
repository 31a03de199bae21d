"""What of the things that a recipe names may be called: decided by looking at them, before anything
is called.

A recipe is code all the same: importing the module that it names runs that module. The rule keeps a
slip, or a recipe that was not read, from calling what was never meant to build a model; it does not
make a stranger's recipe safe.
"""

from __future__ import annotations

import functools
import inspect
import site
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

__all__ = ["TRUST", "installed_package", "is_standard", "uncallable", "written_in_python"]

TRUST = "it was not called; a recipe is code, so run only those that you trust"


def is_standard(module: str | None) -> bool:
    """Return whether a module, by its dotted name, belongs to Python's own library."""
    return module is not None and module.partition(".")[0] in sys.stdlib_module_names


def written_in_python(value: Any) -> types.FunctionType | None:
    """Return the Python function behind ``value``: itself, or what a partial, a bound method or a
    cache calls; None for none.
    """
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
    """Return why ``value`` is not called for a recipe, in words that follow a name; None when it
    may be called.

    Classes and functions that are written in Python may be, those of Python's own library may not.
    """
    if isinstance(value, functools.partial) and inspect.isclass(value.func):
        value = value.func
    found = value if inspect.isclass(value) else written_in_python(value)
    if found is None:
        kind = (
            "a function that is built in"
            if inspect.isbuiltin(value)
            else f"an object of type {type(value).__name__}"
        )
        return f"is {kind}, not a class or a function written in Python"
    if is_standard(found.__module__):
        return f"is {found.__module__}.{found.__qualname__} of Python's own library"
    return None


def installed_package(function: types.FunctionType) -> str | None:
    """Return the name of the installed package that a function was written in; None for one of the
    user's own code.

    What stands in the places that packages are installed to is a package's; anything else - a file
    beside the recipe, a notebook, a project that is installed to be edited - is the user's own. A
    function goes by where it was written, and not by the module that imports it.
    """
    written = inspect.unwrap(function)
    code = getattr(written, "__code__", None)
    file = "<none>" if code is None else code.co_filename
    if file.startswith("<"):  # made of text: it goes by its module
        file = getattr(sys.modules.get(written.__module__), "__file__", None) or ""
    place = Path(file).resolve()
    for root in _installed():
        if place.is_relative_to(root):
            return place.relative_to(root).parts[0].removesuffix(".py")
    return None


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Return the directories that packages are installed to."""
    places = [
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        site.getusersitepackages(),
        *site.getsitepackages(),
    ]
    return tuple(dict.fromkeys(Path(place).resolve() for place in places))
