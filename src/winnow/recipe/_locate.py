"""Looking at a recipe's file again: the lines of problems that were found after it was read,
and what of it is sound.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from winnow.errors import Problem, RecipeError
from winnow.recipe._sections import Sections
from winnow.recipe._yaml import Document
from winnow.spec import Settings

__all__ = ["locate", "sections"]

KINDS: dict[str, type[Settings]] = {
    name: field.annotation
    for name, field in Sections.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
}


def locate(problems: Iterable[Problem], path: str | Path) -> list[Problem]:
    """Return ``problems`` with the file and, where the setting or something around it stands in it,
    the line; in the order of the file.

    Args:
        problems: with dotted paths of settings.
        path: the YAML file that the recipe was read from.
    """
    document = Document()
    try:
        document.read(Path(path).read_text(encoding="utf-8-sig"))
    # The file has changed since; then the problems stand without lines
    except (OSError, UnicodeDecodeError, RecipeError):
        return list(problems)
    located = [
        replace(p, file=str(path), line=p.line or document.line_of(p.setting)) for p in problems
    ]
    return sorted(located, key=lambda p: p.line or 0)


def sections(path: str | Path) -> dict[str, Settings]:
    """Return the sections of a recipe's YAML file that are sound by themselves, by name: what can
    be looked at when others are not.

    Empty for a file that cannot be read as a mapping.
    """
    try:
        data = Document().read(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, RecipeError):
        return {}
    found: dict[str, Settings] = {}
    for name, given in data.items() if isinstance(data, Mapping) else ():
        kind = KINDS.get(name)
        if kind is not None:
            with contextlib.suppress(RecipeError, ValidationError):
                found[name] = kind.model_validate(given)
    return found
