"""The source text behind a module that was imported: its own, and that of the helpers it
imports from beside it.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

__all__ = ["helper_sources", "module_sources"]

# Found by pattern, not by parsing: a name in a comment leads nowhere, or to a file that is read for
# nothing.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<of>[.\w]+)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^#\n]*)|import[ "
    r"\t]+(?P<whole>[^#\n]*))",
    re.MULTILINE,
)
_INSTALLED = {
    str(Path(place).resolve())
    for name, place in sysconfig.get_paths().items()
    if name.endswith("lib")
}


def module_sources(module: ModuleType) -> dict[str, bytes]:
    """Return the files of a module and of what it imports, directly or not, from its own top-level
    package, by module name; for a module outside of any package, from its directory. Empty for a
    module without a source file.
    """
    file = _file_of(module)
    if file is None:
        return {}
    return _closure(module.__name__, file)


def helper_sources(script: ModuleType) -> dict[str, bytes]:
    """Return the same for a script that runs as ``__main__``, without the script itself; empty in a
    notebook, which has no file.
    """
    file = _file_of(script)
    if file is None:
        return {}
    found = _closure(file.stem, file)
    found.pop(file.stem, None)
    return found


def _file_of(module: ModuleType) -> Path | None:
    place = getattr(module, "__file__", None)
    file = Path(place).resolve() if isinstance(place, str) else None
    return file if file is not None and file.suffix == ".py" and file.is_file() else None


def _closure(name: str, file: Path) -> dict[str, bytes]:
    parts = name.split(".")
    inside = parts if file.stem != "__init__" else [*parts, "__init__"]
    base = file.parents[len(inside) - 1]
    # Loaded from a place that its name does not tell
    if list(file.with_suffix("").relative_to(base).parts) != inside:
        return {name: file.read_bytes()}
    # Then what lies beside it is of one piece with it
    is_alone = len(inside) == 1 and str(base) not in _INSTALLED
    found: dict[str, bytes] = {}
    todo = [name]
    while todo:
        current = todo.pop()
        if current in found or not (is_alone or current.partition(".")[0] == parts[0]):
            continue
        place = file if current == name else _place(base, current)
        if place is None:
            continue
        try:
            found[current] = place.read_bytes()
        except OSError:
            continue
        if "." in current:
            todo.append(current.rpartition(".")[0])  # importing a module runs the packages above it
        package = current if place.stem == "__init__" else current.rpartition(".")[0]
        todo += _imported(found[current].decode("utf-8", "replace"), package)
    return found


def _place(base: Path, name: str) -> Path | None:
    if name in sys.stdlib_module_names:
        return None
    below = base.joinpath(*name.split("."))
    return next(
        (f for f in (below.with_name(f"{below.name}.py"), below / "__init__.py") if f.is_file()),
        None,
    )


def _imported(text: str, package: str) -> Iterator[str]:
    """Yield names that may be modules which a source text imports."""
    for match in _IMPORT.finditer(text):
        if match["whole"] is not None:
            yield from filter(
                None,
                (item.split()[0] if item.split() else "" for item in match["whole"].split(",")),
            )
            continue
        of = match["of"]
        dots = len(of) - len(of.lstrip("."))
        if dots:
            above = package.split(".") if package else []
            above = above[: len(above) - dots + 1]
            of = ".".join([*above, *filter(None, [of.lstrip(".")])])
        if of:
            yield of
        for item in re.findall(r"(\w+)(?:\s+as\s+\w+)?", re.sub(r"#.*", "", match["names"])):
            yield f"{of}.{item}" if of else item
