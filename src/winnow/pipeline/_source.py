"""What a run is asked for: a recipe, a recipe's file, a run directory, or only data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from winnow.bundle import is_bundle
from winnow.data import default_recipe, default_recipe_notes, file_digest, load_table
from winnow.errors import RecipeError, WorkspaceError
from winnow.files import write_aside
from winnow.pipeline._check import load_recipe
from winnow.pipeline._directory import (
    RECIPE_FILE,
    YAML,
    default_out,
    is_run,
    mend_recipe,
    recorded_digest,
)
from winnow.recipe import Data, Recipe, is_file

__all__ = ["RunRequest", "check_same", "open_source", "settings_of"]

# Outcomes depend on these sections; the questions asked about them may change from run to run.
MADE_OF = ("data", "model", "train", "metric", "seed")
# Mistakes in these sections are found only after the recipe was read.
CHECKED_LATER = ("data", "model", "train", "ablate", "metric")
MOST_DIFFERENCES = 8  # lines of settings that differ; more than that nobody reads

ChangeRecipe = Callable[[Recipe], Recipe]


@dataclass(frozen=True)
class RunRequest:
    """What to run, and where.

    Attributes:
        recipe: the recipe.
        out: the run directory.
        notes: what was decided on the way, to tell the user.
        file: where the recipe was read from, so that mistakes found later can be told with their
            lines; None where it was not read, or was changed since.
    """

    recipe: Recipe
    out: Path
    notes: tuple[str, ...] = ()
    file: Path | None = None


def _unchanged(recipe: Recipe) -> Recipe:
    return recipe


def open_source(
    source: Recipe | str | Path,
    *,
    target: str | None = None,
    out: str | Path | None = None,
    keep: bool = True,
    change: ChangeRecipe = _unchanged,
) -> RunRequest:
    """Find the recipe that ``source`` stands for, and the run directory.

    Data without a recipe get one, with sensible ranges; it is written to ``recipe.yaml`` in the run
    directory. When that file is there already, it is used as it is, so that the user's changes to
    it count.

    Args:
        source: a recipe, a YAML file, a run directory, or data: a .csv, .tsv or .parquet file,
            ``sklearn:<name>``, ``package.module:function``.
        target: the column to predict, for files and frames without a recipe.
        out: the run directory; None: ``runs/<name of the recipe>``, or ``source`` itself when that
            is a run directory.
        keep: whether the recipe that data without one get is written.
        change: makes another recipe of the one that was found, as options of the command line do.

    Returns:
        The recipe, the run directory and what was decided on the way.

    Raises:
        RecipeError: the recipe or the source cannot be used, or there is a target beside a recipe.
        DataError: data without a recipe cannot be used.

    Example:
        >>> from winnow.pipeline import open_source
        >>> asked = open_source("sklearn:iris", keep=False)
        >>> str(asked.out)
        'runs/iris'
    """
    place: Path | None = None
    file: Path | None = None
    notes: tuple[str, ...] = ()
    if isinstance(source, Recipe):
        recipe = source
    elif Path(source).suffix.lower() in YAML:
        file = Path(source)
        recipe = load_recipe(file)
    elif Path(source).is_dir():
        place = Path(source)
        file = place / RECIPE_FILE
        recipe, notes = _with_moved_rows(_recipe_in(place), place)
    else:
        return _request_for_data(str(source), target, out, keep, change)
    if target is not None:
        raise RecipeError(
            f"a target is for data without a recipe; this recipe says data.target = "
            f"{recipe.data.target!r}: change it there"
        )
    changed = change(recipe)
    if out is not None:
        place = Path(out)
    elif place is None:
        place = default_out(changed.name)
    return RunRequest(changed, place, notes, _file_of(file, recipe, changed))


def settings_of(recipe: Recipe) -> dict[str, object]:
    """Return every setting of a recipe by its dotted path, a range as one setting."""
    return dict(_leaves("", recipe.model_dump(mode="json")))


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
    if not changed:
        return
    shown = "\n  ".join(changed[:MOST_DIFFERENCES])
    hidden = len(changed) - MOST_DIFFERENCES
    more = f"\n  and {hidden} more" if hidden > 0 else ""
    raise WorkspaceError(
        f"{out} holds the run of another recipe. These settings differ:\n  {shown}{more}\n"
        f"Give another directory (--out DIR, or `out=`), another `name` in the recipe, or remove "
        f"{out}."
    )


# -- a recipe's file, a run directory --------------------------------------------------------------


def _file_of(file: Path | None, read: Recipe, changed: Recipe) -> Path | None:
    """Return the file in which mistakes that are found later stand.

    There is none where what they may be about was changed after the file was read: its lines would
    show other values than those that are wrong.
    """
    for section in CHECKED_LATER:
        if getattr(read, section) != getattr(changed, section):
            return None
    return file


def _recipe_in(directory: Path) -> Recipe:
    """Return the recipe of a run directory."""
    mend_recipe(directory)
    file = directory / RECIPE_FILE
    if not file.is_file():
        raise RecipeError(
            f"{directory} is a directory without {RECIPE_FILE}: expected a recipe, a run "
            f"directory, or data"
        )
    # A bundle holds the recipe that made it, but a run would leave its own files among those that
    # the manifest signs.
    if is_bundle(directory):
        raise RecipeError(
            f"{directory} is a bundle, not a run directory: to run its recipe, give "
            f"{file} and --out DIR"
        )
    return load_recipe(file)


def _with_moved_rows(recipe: Recipe, directory: Path) -> tuple[Recipe, tuple[str, ...]]:
    """Point the recipe to where its file of rows lies now, where both were moved together.

    Returns:
        The recipe, and a note that says where the rows are read from.
    """
    old = Path(recipe.data.source)
    if not is_file(recipe.data.source) or old.exists() or not is_run(directory):
        return recipe, ()
    found = _find_moved(old, directory, recorded_digest(directory))
    if found is None:
        return recipe, ()
    data = recipe.data.model_copy(update={"source": str(found)})
    moved = recipe.model_copy(update={"data": data})
    return moved, (f"{old} is not there: the same rows are read from {found}",)


def _find_moved(old: Path, directory: Path, digest: str | None) -> Path | None:
    """Look for the end of an old path beside a run directory and above it.

    A file is taken only if its bytes are those that the run was made from.
    """
    parts = old.parts[1:] if old.is_absolute() else old.parts
    for above in directory.resolve().parents:
        # The longest end first: it is the surest to be the file that was meant.
        for start in range(len(parts)):
            candidate = above / Path(*parts[start:])
            if candidate.is_file() and file_digest(str(candidate)) == digest:
                return candidate
    return None


# -- only data -------------------------------------------------------------------------------------


def _request_for_data(
    source: str,
    target: str | None,
    out: str | Path | None,
    keep: bool,
    change: ChangeRecipe,
) -> RunRequest:
    place = Path(out) if out is not None else default_out(_stem(source))
    mend_recipe(place)
    file = place / RECIPE_FILE
    if file.is_file():
        return _go_on_with(file, source, target, change)
    recipe = _default_for(source, target, change)
    notes = tuple(default_recipe_notes(recipe))
    if not keep:
        return RunRequest(recipe, place, notes)
    _write_recipe(file, recipe, notes)
    written = (
        f"a recipe with ranges was written to {file}: change it there and run again to ask for "
        f"something else"
    )
    return RunRequest(recipe, place, (*notes, written))


def _go_on_with(file: Path, source: str, target: str | None, change: ChangeRecipe) -> RunRequest:
    """Return the request for data that got a recipe in an earlier run."""
    recipe = load_recipe(file)
    is_other_target = target is not None and recipe.data.target != target
    if is_other_target or not _same_source(recipe.data.source, source):
        if target is not None:
            # A mistyped target is told before anything else.
            load_table(Data(source=source, target=target))
        raise WorkspaceError(
            f"{file} is for {recipe.data.source} with target {recipe.data.target!r}, not "
            f"for {source} with target "
            f"{target!r}: give another directory (--out DIR, or `out=`)"
        )
    changed = change(recipe)
    notes = (f"going on with the recipe in {file}",)
    return RunRequest(changed, file.parent, notes, _file_of(file, recipe, changed))


def _default_for(source: str, target: str | None, change: ChangeRecipe) -> Recipe:
    """Return a recipe for data that have none."""
    default = default_recipe(source, target)
    recipe = change(default)
    if recipe.metric == default.metric:
        return recipe
    # The smallest effect of interest and the budget are in the units of the metric.
    return change(default_recipe(source, target, metric=recipe.metric))


def _write_recipe(file: Path, recipe: Recipe, notes: tuple[str, ...]) -> None:
    comments = "".join(f"# {note}\n" for note in notes)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_aside(file, comments + recipe.to_yaml())
    except OSError as error:
        raise WorkspaceError(
            f"cannot work in {file.parent}: {error.strerror} - choose another directory"
        ) from error


def _same_source(a: str, b: str) -> bool:
    """Tell whether two names of sources mean the same.

    A file may be named from the current directory or from the root.
    """
    if a == b:
        return True
    if not (is_file(a) and is_file(b)):
        return False
    return Path(a).resolve() == Path(b).resolve()


def _stem(source: str) -> str:
    """Return the name of a source: a file's without its ending, or what follows the last colon."""
    path = Path(source)
    return path.stem if path.suffix else source.rpartition(":")[2]


# -- two recipes -----------------------------------------------------------------------------------


def _differences(a: Recipe, b: Recipe) -> Iterator[tuple[str, object, object]]:
    """Yield (path, value in ``a``, value in ``b``) of settings that outcomes depend on."""
    left, right = _decisive_settings(a), _decisive_settings(b)
    # Files go by their names alone: their rows are compared when they are read.
    if is_file(a.data.source) and Path(a.data.source).name == Path(b.data.source).name:
        right["data.source"] = left["data.source"]
    for path in dict.fromkeys([*left, *right]):
        if left.get(path) != right.get(path):
            yield path, left.get(path), right.get(path)


def _decisive_settings(recipe: Recipe) -> dict[str, object]:
    """Return the settings that outcomes depend on, by their dotted paths."""
    without_effect = {"data": {"workers"}}  # the number of workers changes no number
    sections = recipe.model_dump(mode="json", include=set(MADE_OF), exclude=without_effect)
    return dict(_leaves("", sections))


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield (dotted path, value) of everything in nested mappings that is no mapping."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(f"{path}.{key}" if path else key, inner)


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)
