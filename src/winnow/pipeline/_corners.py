"""The ends of a recipe's ranges, at which it is tried out before anything trains."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from winnow.recipe import Choice, OpenSetting, Range, Recipe, Train

__all__ = ["Corner", "corners", "training_corners"]

MOST_MODELS = 32  # built to see whether they fit; a search may hold thousands


@dataclass(frozen=True)
class Corner:
    """A recipe with every range at its first value, but for one.

    Attributes:
        recipe: with nothing open.
        changed: the setting that is elsewhere, by its dotted path; empty for the first corner.
    """

    recipe: Recipe
    changed: Mapping[str, object]


def corners(recipe: Recipe) -> Iterator[Corner]:
    """Yield the recipe at the first value of every range, then at the other ends of the model's.

    Only the arguments of the model are moved, one at a time: they decide whether it can be built.
    """
    ranges = recipe.ranges()
    first: dict[str, object] = {}
    for path, setting in ranges.items():
        if _exists(setting, first):
            first[path] = _ends(setting.range)[0]
    yield Corner(recipe.resolve(first), {})
    for path, value in itertools.islice(_other_ends(ranges, first), MOST_MODELS - 1):
        yield Corner(recipe.resolve({**first, path: value}), {path: value})


def training_corners(recipe: Recipe) -> Iterator[Train]:
    """Yield training sections in which every option and both ends of every range come up."""
    ranges = recipe.ranges()
    choices: dict[str, tuple[object, ...]] = {}
    for path, setting in ranges.items():
        if setting.labels and setting.condition is None:
            choices[path] = setting.labels
    largest = max((len(labels) for labels in choices.values()), default=1)
    for turn, end in itertools.product(range(largest), (0, -1)):
        # Shorter choices begin again, so that one pass over the longest meets every option.
        taken = {path: labels[turn % len(labels)] for path, labels in choices.items()}
        for path, setting in ranges.items():
            if path not in taken and _exists(setting, taken):
                taken[path] = _ends(setting.range)[end]
        yield recipe.resolve(taken).train


def _other_ends(
    ranges: Mapping[str, OpenSetting], first: Mapping[str, object]
) -> Iterator[tuple[str, object]]:
    """Yield (path, value) of the model's arguments, without the first value of each."""
    for path in first:
        if path.startswith("model."):
            for value in _ends(ranges[path].range)[1:]:
                yield path, value


def _exists(setting: OpenSetting, taken: Mapping[str, object]) -> bool:
    """Tell whether a setting is there when the choices before it are ``taken``."""
    if setting.condition is None:
        return True
    path, option = setting.condition
    return taken.get(path) == option


def _ends(found: Range) -> list[object]:
    """Return the options of a choice, or the two ends of another range."""
    if isinstance(found, Choice):
        return list(found.labels)
    return [found.low, found.high]
