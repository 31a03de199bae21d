"""What the command line changes in a recipe, and mistakes in a recipe told before anything
heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.files import is_torn

if TYPE_CHECKING:
    from winnow.recipe import Recipe

__all__ = ["RecipeChanges", "read_early"]

YAML = (".yaml", ".yml")
SEED_COUNTS = ("search.seeds", "ablate.seeds", "final.seeds")  # what --seeds sets


@dataclass(frozen=True)
class RecipeChanges:
    """Options that stand beside a recipe. What is set by its path counts more than the others, and
    those more than ``quick``.

    Attributes:
        assignments: ``train.epochs=3`` and so on.
        trials: of the search.
        seeds: of search, ablation and final training.
        metric: what is optimized.
        quick: a small version, see ``winnow.recipe.QUICK``.
        minutes: that the run may take.
    """

    assignments: tuple[str, ...] = ()
    trials: int | None = None
    seeds: int | None = None
    metric: str | None = None
    quick: bool = False
    minutes: float | None = None

    def apply(self, recipe: Recipe) -> Recipe:
        """Return the changed recipe.

        Raises:
            RecipeError: for settings that do not exist and values that do not fit, with every
                mistake.
        """
        from winnow.recipe import change, parse, quick

        # Later ones count more: each overwrites what stood there.
        settings: dict[str, Any] = {}
        if self.quick:
            settings.update(quick(recipe))
        settings.update(self._options())
        settings.update(parse(self.assignments))
        return change(recipe, settings)

    def _options(self) -> dict[str, object]:
        """Return the settings that options of their own stand for, by dotted path."""
        settings: dict[str, object] = {}
        if self.trials is not None:
            settings["search.trials"] = self.trials
        if self.metric is not None:
            settings["metric"] = self.metric
        if self.minutes is not None:
            settings["minutes"] = self.minutes
        if self.seeds is not None:
            settings.update(dict.fromkeys(SEED_COUNTS, self.seeds))
        return settings


def read_early(source: str, changes: RecipeChanges) -> Recipe | None:
    """Read the recipe that ``source`` names, without importing what training needs.

    That takes seconds, and whoever mistyped a setting need not wait for it.

    Args:
        source: as it was given on the command line.
        changes: to the recipe.

    Returns:
        The changed recipe. None where ``source`` names data, or a run directory whose copy of the
        recipe has lost its end: that is first written again from the ledger.

    Raises:
        RecipeError: with every mistake in the file or in the changes.
    """
    from winnow.recipe import Recipe, parse

    place = Path(source)
    file = place / "recipe.yaml" if place.is_dir() else place
    is_recipe = file.suffix.lower() in YAML
    if is_recipe and (file == place or _is_whole(file)):
        return changes.apply(Recipe.load(file))
    parse(changes.assignments)  # tells a mistyped assignment, whatever the recipe will be
    return None


def _is_whole(copy: Path) -> bool:
    """Tell whether the recipe in a directory can be read as it is."""
    if not copy.is_file():
        return False
    is_in_a_run = (copy.parent / "ledger.db").is_file()
    return not (is_in_a_run and is_torn(copy.read_bytes()))
