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

__all__ = ["Changes", "read_early"]

YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Changes:
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
        """The changed recipe.

        Raises:
            RecipeError: for settings that do not exist and values that do not fit, with every
                mistake.
        """
        from winnow.recipe import change, parse, quick

        given = {"search.trials": self.trials, "metric": self.metric, "minutes": self.minutes}
        given |= dict.fromkeys(("search.seeds", "ablate.seeds", "final.seeds"), self.seeds)
        settings: dict[str, Any] = quick(recipe) if self.quick else {}
        settings |= {path: value for path, value in given.items() if value is not None}
        return change(recipe, settings | parse(self.assignments))


def read_early(source: str, changes: Changes) -> Recipe | None:
    """Read the recipe that ``source`` names, if it names one, without importing what training
    needs: that takes seconds, and whoever mistyped a setting need not wait for it. None where it
    names data, or a run directory whose copy of the recipe has
    lost its end: that is first written again from the ledger.

    Raises:
        RecipeError: with every mistake in the file or in the changes.
    """
    from winnow.recipe import Recipe, parse

    place = Path(source)
    file = place / "recipe.yaml" if place.is_dir() else place
    if file.suffix.lower() in YAML and (file == place or _is_whole(file)):
        return changes.apply(Recipe.load(file))
    parse(changes.assignments)
    return None


def _is_whole(copy: Path) -> bool:
    """Whether the recipe in a directory can be read as it is."""
    return copy.is_file() and not (
        (copy.parent / "ledger.db").is_file() and is_torn(copy.read_bytes())
    )
