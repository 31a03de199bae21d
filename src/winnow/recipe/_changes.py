"""Settings that are given beside a recipe, as on the command line: ``train.epochs=3``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from winnow.errors import Problem, RecipeError, did_you_mean
from winnow.recipe import _yaml
from winnow.recipe._sections import Sections
from winnow.spec import describe, join, option_labels, range_key

__all__ = ["QUICK", "change", "parse", "quick"]

R = TypeVar("R", bound=Sections)

# At most so many, in a quick run
QUICK = {"search.trials": 8, "search.leaders": 2, "search.seeds": 3, "final.seeds": 3}


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """Return ``["train.epochs=3", "train.dropout={uniform: [0, 0.5]}"]`` as dotted path to value.
    Values are YAML; the last of a path counts.

    Raises:
        RecipeError: for each one that has no ``=``, or whose value is no YAML.
    """
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in assignments:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not path:
            problems.append(
                Problem("", f"expected SETTING=VALUE, as in train.epochs=3, got {text!r}")
            )
            continue
        document = _yaml.Document()
        try:
            found[path] = document.read(value)
            problems += [Problem(path, p.message) for p in document.problems]
        except RecipeError as error:
            problems += [
                Problem(path, f"{p.message}, in the value {describe(value)}")
                for p in error.problems
            ]
    if problems:
        raise RecipeError(problems)
    return found


def change(recipe: R, settings: Mapping[str, Any]) -> R:
    """Return the recipe with some settings replaced, checked as a file is.

    Args:
        recipe: any.
        settings: dotted path -> value or range, as plain data. A path may lead into the options of
            a choice by their kind, as ``Recipe.ranges`` names them: ``train.optimizer.sgd.lr``.

    Raises:
        RecipeError: with every mistake, and the nearest setting there is.
    """
    if not settings:
        return recipe
    data = _yaml.written(recipe, defaults=True)
    problems: list[Problem] = []
    for path, value in settings.items():
        try:
            _put(data, path.split("."), value, "")
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return type(recipe)(**data)


def quick(recipe: Sections) -> dict[str, int]:
    """Return the settings of a small version: few trials and leaders, three seeds; never more than
    the recipe asks for.
    """
    asked = {
        path: getattr(getattr(recipe, path.partition(".")[0]), path.partition(".")[2])
        for path in QUICK
    }
    return {path: most for path, most in QUICK.items() if asked[path] > most}


def _put(data: dict[str, Any], steps: list[str], value: Any, above: str) -> None:
    name, place = steps[0], join(above, steps[0])
    if not name:
        raise RecipeError(
            Problem(above, "expected the name of a setting after the dot, as in train.epochs")
        )
    if len(steps) == 1:
        data[name] = value
        return
    inner: Any = data.get(name)
    if range_key(inner) == "choice":
        _put_in_option(inner["choice"], steps[1:], value, place)
    elif inner is None:
        data[name] = {}
        _put(data[name], steps[1:], value, place)
    elif isinstance(inner, dict):
        _put(inner, steps[1:], value, place)
    else:
        raise RecipeError(Problem(place, f"has no settings of its own: it is {describe(inner)}"))


def _put_in_option(options: list[Any], steps: list[str], value: Any, place: str) -> None:
    """Put a value into the option of a choice that is called ``steps[0]``."""
    labels = option_labels(options)
    if steps[0] not in labels or len(steps) == 1:
        known = [label for label in labels if label is not None]
        hint = did_you_mean(steps[0], known) if known else ""
        raise RecipeError(
            Problem(place, f"is a choice, which has no option {steps[0]!r} with settings{hint}")
        )
    _put(options[labels.index(steps[0])], steps[1:], value, join(place, steps[0]))
