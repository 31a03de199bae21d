"""The lines of problems that were found after a recipe was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from winnow.errors import Problem, RecipeError
from winnow.recipe._yaml import Document

__all__ = ["locate"]


def locate(problems: Iterable[Problem], path: str | Path) -> list[Problem]:
    """``problems`` with the file and, where the setting or something around it stands in it, the line; in the order of the file.

    Args:
        problems: with dotted paths of settings.
        path: the YAML file that the recipe was read from.
    """
    document = Document()
    try:
        document.read(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, RecipeError):  # the file has changed since; then the problems stand without lines
        return list(problems)
    located = [replace(p, file=str(path), line=p.line or document.line_of(p.setting)) for p in problems]
    return sorted(located, key=lambda p: p.line or 0)
