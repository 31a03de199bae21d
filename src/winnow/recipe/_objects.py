"""Python objects that a recipe names: a recipe is data, so it holds a name, and the object waits
here.

An object that can be imported is named by its import path (``my.nets:MyNet``) and found again in
any process. Any other - an array, a frame, a class typed into a notebook - is named by its content
(``object:arrays-3f2a...``) and is found again only in a process where it was registered.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

from winnow.errors import WinnowError, did_you_mean
from winnow.recipe._digest import content_digest, dataset_digest, source_digest

__all__ = [
    "PREFIX",
    "ObjectNotFound",
    "content_digest",
    "dataset_digest",
    "is_import_path",
    "register",
    "resolve",
    "source_digest",
]

PREFIX = "object:"
_OBJECTS: dict[str, Any] = {}


class ObjectNotFound(WinnowError, ValueError):
    """A name in a recipe that leads to no object in this process."""


def register(value: Any, label: str, *, digest: str | None = None) -> str:
    """Return the name under which a recipe refers to ``value``: its import path if it has one, else
    one made from its content.

    ``digest`` stands for the content where that cannot be read as a whole.
    """
    path = _import_path(value)
    if path is not None:
        return path
    name = (
        f"{PREFIX}{re.sub(r'[^A-Za-z0-9_.]+', '_', label)}-{(digest or content_digest(value))[:16]}"
    )
    _OBJECTS[name] = value
    return name


def resolve(name: str) -> Any:
    """Return the object that ``name`` stands for.

    Raises:
        ObjectNotFound: no such module, one that fails when it is imported, no such attribute in it,
            or an object that lives in another process.
    """
    if name.startswith(PREFIX):
        if name not in _OBJECTS:
            raise ObjectNotFound(
                f"{name!r} was given from Python and lives only in the process that made it: "
                f"build the recipe there again, "
                "or use an import path or a file"
            )
        return _OBJECTS[name]
    if not is_import_path(name):
        raise ObjectNotFound(f"expected an import path `package.module:name`, got {name!r}")
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ObjectNotFound(
            f"cannot import {error.name!r} (looked up for {name!r}): no module of that name"
        ) from None
    except Exception as error:  # a module of the user's may raise anything
        raise ObjectNotFound(
            f"importing {module_name!r} failed (for {name!r}): {type(error).__name__}: {error}"
        ) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [n for n in vars(found) if not n.startswith("_")]
            raise ObjectNotFound(f"{module_name!r} has no {attribute!r}{did_you_mean(part, known)}")
        found = getattr(found, part)
    return found


def is_import_path(name: str) -> bool:
    """Return whether ``name`` has the form ``package.module:name``."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(
        p.isidentifier() for p in [*module.split("."), *attribute.split(".")]
    )


def _import_path(value: Any) -> str | None:
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if (
        not isinstance(module, str)
        or not isinstance(name, str)
        or module == "__main__"
        or "<" in name
    ):
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is value else None
