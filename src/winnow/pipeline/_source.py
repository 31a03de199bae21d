"""What a run is asked for: a recipe, a recipe's file, a run directory, or only data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.bundle import is_bundle
from winnow.data import DataRecord, file_digest, load_table, sketch_notes, sketch_recipe
from winnow.errors import RecipeError, WorkspaceError
from winnow.execution import RunRecord
from winnow.files import is_torn, write_aside
from winnow.ledger import Ledger
from winnow.pipeline._check import load_recipe
from winnow.recipe import Data, Recipe, is_file
from winnow.records import recall

__all__ = [
    "RECIPE_FILE",
    "RunRequest",
    "check_same",
    "default_out",
    "file_name",
    "is_run",
    "open_source",
    "settings_of",
]

RECIPE_FILE = "recipe.yaml"
LEDGER_FILE = "ledger.db"
YAML = (".yaml", ".yml")
# What outcomes depend on; the questions may change from run to run
MADE_OF = ("data", "model", "train", "metric", "seed")


@dataclass(frozen=True)
class RunRequest:
    """What to run, and where.

    Attributes:
        recipe: the recipe.
        out: the run directory.
        notes: what was decided on the way, to tell the user.
        file: where the recipe was read from, so that mistakes found later can be told with their
            lines.
    """

    recipe: Recipe
    out: Path
    notes: tuple[str, ...] = ()
    file: Path | None = None


def open_source(
    source: Recipe | str | Path,
    *,
    target: str | None = None,
    out: str | Path | None = None,
    keep: bool = True,
    change: Callable[[Recipe], Recipe] = lambda recipe: recipe,
) -> RunRequest:
    """The recipe that ``source`` stands for, and the run directory.

    Data without a recipe get one, with sensible ranges; it is written to ``recipe.yaml`` in the run
    directory. When that file is there already, it is used as it is, so that the user's changes to
    it count.

    Args:
        source: a recipe, a YAML file, a run directory, or data: a .csv, .tsv or .parquet file,
            ``sklearn:<name>``, ``package.module:function``.
        target: the column to predict, for files and frames without a recipe.
        out: the run directory; None: ``runs/<name of the recipe>``, or ``source`` itself when that
            is a run directory.
        keep: write the recipe that data without one get.
        change: makes another recipe of the one that was found, as options of the command line do.

    Raises:
        RecipeError: the recipe or the source cannot be used, or a target beside a recipe.
        DataError: data without a recipe that cannot be used.
    """
    place: Path | None = None
    notes: tuple[str, ...] = ()
    if isinstance(source, Recipe):
        recipe, file = source, None
    elif Path(source).suffix.lower() in YAML:
        recipe, file = load_recipe(Path(source)), Path(source)
    elif Path(source).is_dir():
        place, file = Path(source), Path(source) / RECIPE_FILE
        recipe, notes = _with_moved_rows(_of_directory(place), place)
    else:
        return _sketched(str(source), target, out, keep, change)
    if target is not None:
        raise RecipeError(
            f"a target is for data without a recipe; this recipe says data.target = "
            f"{recipe.data.target!r}: change it there"
        )
    changed = change(recipe)
    directory = Path(out) if out is not None else place or default_out(changed.name)
    return RunRequest(changed, directory, notes, _file_of(file, recipe, changed))


def _file_of(file: Path | None, read: Recipe, changed: Recipe) -> Path | None:
    """The file in which mistakes that are found later stand: none when what they may be about
    was changed after it was read.
    """
    same = all(
        getattr(read, section) == getattr(changed, section)
        for section in ("data", "model", "train", "ablate", "metric")
    )
    return file if same else None


def default_out(name: str) -> Path:
    """``runs/<name>`` under the current directory."""
    return Path("runs") / file_name(name)


def is_run(path: Path) -> bool:
    """Whether a folder is a run directory."""
    return (path / "ledger.db").is_file()


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Every setting of a recipe by its dotted path, ranges as one setting each."""
    return dict(_leaves("", recipe.model_dump(mode="json")))


def file_name(name: str) -> str:
    """``name`` with letters, digits, ``-``, ``_`` and ``.`` only, not hidden."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "recipe"


def check_same(recipe: Recipe, before: str | None, out: Path) -> None:
    """Refuse to go on with another recipe than the one a directory belongs to.

    Outcomes of both could live side by side, but the report of the first would be lost. Other
    questions about the same data, model and training (more trials, more seeds, a smaller budget) go
    on where it was.

    Args:
        recipe: as asked now.
        before: YAML of the recipe that was run in ``out``; None when there was none.
        out: the run directory.

    Raises:
        WorkspaceError: naming the settings that differ, and what to do.
    """
    if before is None:
        return
    try:
        known = Recipe.from_yaml(before)
    except RecipeError as error:
        raise WorkspaceError(
            f"{out} holds a run whose recipe this version of winnow cannot read: give another "
            f"directory with --out ({error})"
        ) from None
    changed = [
        f"{path}: {_shown(old)} there, {_shown(new)} now"
        for path, old, new in _differences(known, recipe)
    ]
    if changed:
        more = f"\n  and {len(changed) - 8} more" if len(changed) > 8 else ""
        raise WorkspaceError(
            f"{out} holds the run of another recipe. These settings differ:\n  "
            + "\n  ".join(changed[:8])
            + f"{more}\nGive another directory (--out DIR, or `out=`), another `name` in the "
            f"recipe, or remove {out}."
        )


def _of_directory(path: Path) -> Recipe:
    _mend_recipe(path)
    if not (path / RECIPE_FILE).is_file():
        raise RecipeError(
            f"{path} is a directory without {RECIPE_FILE}: expected a recipe, a run directory, "
            f"or data"
        )
    # It holds the recipe that made it, and a run would leave its files among those that are signed
    if is_bundle(path):
        raise RecipeError(
            f"{path} is a bundle, not a run directory: to run its recipe, give "
            f"{path / RECIPE_FILE} and --out DIR"
        )
    return load_recipe(path / RECIPE_FILE)


def _with_moved_rows(recipe: Recipe, directory: Path) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with the place where its file of rows lies now, where both were moved together,
    and a note that says so.

    The end of the old path is looked for beside the run directory and above it. A file is taken
    only if its bytes are those that the run was made from.
    """
    old = Path(recipe.data.source)
    if not is_file(recipe.data.source) or old.exists() or not is_run(directory):
        return recipe, ()
    with Ledger.open(directory / LEDGER_FILE) as ledger:
        digest = (recall(ledger, DataRecord) or DataRecord()).digest
    parts = old.parts[1:] if old.is_absolute() else old.parts
    ends = [Path(*parts[i:]) for i in range(len(parts))]
    for above in directory.resolve().parents:
        for end in ends:
            if (above / end).is_file() and file_digest(str(above / end)) == digest:
                found = str(above / end)
                moved = recipe.model_copy(
                    update={"data": recipe.data.model_copy(update={"source": found})}
                )
                return moved, (f"{old} is not there: the same rows are read from {found}",)
    return recipe, ()


def _mend_recipe(path: Path) -> None:
    """Write the copy of the recipe in a run directory again from the ledger, where it is missing or
    its end is: one that a user has changed, a mistake included, is the user's to mend.
    """
    place, ledger = path / RECIPE_FILE, path / LEDGER_FILE
    if not ledger.is_file():
        return
    try:
        text = place.read_bytes() if place.is_file() else b""
    except OSError:
        return
    if not is_torn(text):  # whole lines: an edit
        return
    text = text.rstrip(b"\0")
    with Ledger.open(ledger) as opened:
        known = ((recall(opened, RunRecord) or RunRecord()).recipe_yaml or "").encode()
    if known and known != text and known.startswith(text):
        write_aside(place, known)


def _sketched(
    source: str,
    target: str | None,
    out: str | Path | None,
    keep: bool,
    change: Callable[[Recipe], Recipe],
) -> RunRequest:
    place = Path(out) if out is not None else default_out(_stem(source))
    written = place / RECIPE_FILE
    _mend_recipe(place)
    if written.is_file():
        recipe = load_recipe(written)
        if not _same_source(recipe.data.source, source) or (
            target is not None and recipe.data.target != target
        ):
            if target is not None:
                # A mistyped target is told before anything else
                load_table(Data(source=source, target=target))
            raise WorkspaceError(
                f"{written} is for {recipe.data.source} with target {recipe.data.target!r}, not "
                f"for {source} with target "
                f"{target!r}: give another directory (--out DIR, or `out=`)"
            )
        changed = change(recipe)
        return RunRequest(
            changed,
            place,
            (f"going on with the recipe in {written}",),
            _file_of(written, recipe, changed),
        )
    sketch = sketch_recipe(source, target)
    recipe = change(sketch)
    if recipe.metric != sketch.metric:  # what matters is in the units of the metric
        recipe = change(sketch_recipe(source, target, metric=recipe.metric))
    notes = sketch_notes(recipe)
    if not keep:
        return RunRequest(recipe, place, notes)
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_aside(written, "".join(f"# {note}\n" for note in notes) + recipe.to_yaml())
    except OSError as error:
        raise WorkspaceError(
            f"cannot work in {place}: {error.strerror} - choose another directory"
        ) from error
    return RunRequest(
        recipe,
        place,
        (
            *notes,
            f"a recipe with ranges was written to {written}: change it there and run again to "
            f"ask for something else",
        ),
    )


def _same_source(a: str, b: str) -> bool:
    """Whether two names of sources mean the same: a file may be named from here or from the
    root.
    """
    return a == b or (is_file(a) and is_file(b) and Path(a).resolve() == Path(b).resolve())


def _stem(source: str) -> str:
    path = Path(source)
    return path.stem if path.suffix else source.rpartition(":")[2]


def _differences(a: Recipe, b: Recipe) -> Iterator[tuple[str, Any, Any]]:
    """Settings that outcomes depend on. Files go by their names alone: their rows are compared
    when they are read.
    """
    free = {"data": {"workers"}}  # changes no number
    left, right = (
        dict(_leaves("", r.model_dump(mode="json", include=set(MADE_OF), exclude=free)))
        for r in (a, b)
    )
    if is_file(a.data.source) and Path(a.data.source).name == Path(b.data.source).name:
        right["data.source"] = left["data.source"]
    for path in dict.fromkeys([*left, *right]):
        if left.get(path) != right.get(path):
            yield path, left.get(path), right.get(path)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, inner)
    else:
        yield path, value


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)
