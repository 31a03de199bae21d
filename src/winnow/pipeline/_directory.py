"""The run directory: the names of its files, and what they hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from winnow.data import DataRecord
from winnow.errors import RecipeError, WorkspaceError
from winnow.execution import RunRecord
from winnow.files import is_torn, write_aside
from winnow.ledger import Ledger
from winnow.recipe import Recipe
from winnow.records import recall

__all__ = [
    "LEDGER_FILE",
    "RECIPE_FILE",
    "REPORT_FILE",
    "default_out",
    "documents_of",
    "file_name",
    "is_run",
    "keep_recipe",
    "mend_recipe",
    "recorded_digest",
    "run_directory",
]

RECIPE_FILE = "recipe.yaml"
LEDGER_FILE = "ledger.db"
REPORT_FILE = "report.html"
YAML = (".yaml", ".yml")


def file_name(name: str) -> str:
    """Return ``name`` with letters, digits, ``-``, ``_`` and ``.`` only, and not hidden."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    return plain.lstrip(".") or "recipe"


def default_out(name: str) -> Path:
    """Return ``runs/<name>`` under the current directory."""
    return Path("runs") / file_name(name)


def is_run(path: Path) -> bool:
    """Tell whether a folder is a run directory."""
    return (path / LEDGER_FILE).is_file()


def run_directory(source: str | Path) -> Path:
    """Return the run directory that ``source`` stands for.

    Args:
        source: a run directory, or a recipe's file, which stands for the run of that recipe.

    Raises:
        RecipeError: the recipe cannot be read.
        WorkspaceError: there is no run directory.
    """
    place = Path(source)
    if place.suffix.lower() in YAML:
        place = default_out(Recipe.load(place).name)
    if not is_run(place):
        raise WorkspaceError(
            f"{place} is no run directory: it has no ledger.db (`winnow run` makes one, `winnow "
            f"list` shows them)"
        )
    return place


def documents_of(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Return the documents in a ledger as plain data, by name."""
    documents: dict[str, dict[str, Any]] = {}
    for name in ledger.documents():
        document = ledger.get_document(name)
        if document is not None:
            documents[name] = document
    return documents


def recorded_digest(directory: Path) -> str | None:
    """Return the digest of the rows that a run was made from; None where none is recorded."""
    with Ledger.open(directory / LEDGER_FILE) as ledger:
        known = recall(ledger, DataRecord)
    return None if known is None else known.digest


def keep_recipe(recipe: Recipe, directory: Path) -> None:
    """Write the recipe beside what came of it, so that the directory can be given in its place.

    A file that already says the same is left alone: its comments and its order are the user's.
    """
    place = directory / RECIPE_FILE
    try:
        is_there = place.is_file() and Recipe.load(place) == recipe
    except RecipeError:  # torn, or edited by hand into something that is no recipe
        is_there = False
    if not is_there:
        recipe.save(place)


def mend_recipe(directory: Path) -> None:
    """Write the recipe's file again from the ledger, where it is missing or lacks its end.

    A file that a user has changed, a mistake included, is the user's to mend.
    """
    place, ledger = directory / RECIPE_FILE, directory / LEDGER_FILE
    if not ledger.is_file():
        return
    try:
        text = place.read_bytes() if place.is_file() else b""
    except OSError:
        return
    # Whole lines are an edit: only a write that was cut off ends within one.
    if not is_torn(text):
        return
    beginning = text.rstrip(b"\0")
    recorded = _recorded_recipe(ledger)
    if recorded and recorded != beginning and recorded.startswith(beginning):
        write_aside(place, recorded)


def _recorded_recipe(ledger: Path) -> bytes:
    """Return the recipe in a ledger as YAML; empty where there is none."""
    with Ledger.open(ledger) as opened:
        run = recall(opened, RunRecord) or RunRecord()
    return (run.recipe_yaml or "").encode()
