"""Everything that can be wrong with a recipe, found before anything trains, and told at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from winnow import models
from winnow.bundle import BATCH_SIZES, export_onnx
from winnow.data import PreparedData, prepare_once
from winnow.errors import DataError, ModelError, Problem, RecipeError, WinnowError, did_you_mean
from winnow.methods import SAMPLERS, BaseSampler
from winnow.recipe import READY, Choice, Data, Model, Recipe, Train, locate, made, sections
from winnow.training import check_methods

__all__ = ["CheckedRecipe", "check", "check_export", "check_recipe", "load_recipe"]

MODULE, ARGUMENT = "model.", "model.args."
MOST_MODELS = 32  # built to see whether they fit


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe that can be run.

    Attributes:
        recipe: the recipe.
        prepared: its rows.
        model: built with the first value of every range.
        warnings: what can be run, and is hardly meant.
    """

    recipe: Recipe
    prepared: PreparedData
    model: nn.Module
    warnings: tuple[str, ...] = ()


def check(recipe: Recipe, *, file: Path | None = None) -> CheckedRecipe:
    """Read the data, build the models that the recipe can ask for, look up every name; train
    nothing.

    Args:
        recipe: any.
        file: the YAML file that it was read from, for the lines of mistakes.

    Raises:
        RecipeError: with every mistake that was found.
    """
    return check_recipe(recipe, prepare_once, file=file)


def check_recipe(
    recipe: Recipe,
    prepared: Callable[[Data], PreparedData],
    *,
    file: Path | None = None,
    names: bool = True,
) -> CheckedRecipe:
    """``check`` with another source of prepared rows; without ``names`` the modules to ablate are
    not looked up.

    Raises:
        RecipeError: with every mistake that was found.
    """
    try:
        rows = prepared(recipe.data)
        built, problems = _built(recipe, rows)
        names_of_modules = _modules(recipe, built) if names else []
        problems = [
            *_task(recipe, rows),
            *problems,
            *_methods(recipe, rows.task),
            *_sampler(recipe),
            *names_of_modules,
        ]
    except DataError as error:
        problems = [_problem("data", error), *_named(recipe.model)]
    if problems:
        raise RecipeError(problems if file is None else locate(problems, file))
    return CheckedRecipe(recipe, rows, built[0], tuple(_warnings(recipe, rows, built[0])))


def _warnings(recipe: Recipe, prepared: PreparedData, model: nn.Module) -> Iterator[str]:
    if prepared.task != "classification" or recipe.model.use in READY:
        return
    if models.gives_probabilities(
        model, in_shape=prepared.in_shape, out_features=prepared.out_features
    ):
        yield (
            "the outputs of the model look like probabilities (every row adds up to 1): "
            "cross-entropy takes raw scores and "
            "applies a softmax of its own, and so does prediction; leave out the model's softmax"
        )


def check_export(checked: CheckedRecipe, *, file: Path | None = None) -> None:
    """Whether there can be a bundle of the model, asked before it is trained rather than after. A
    ready model can be exported.

    Raises:
        RecipeError: it cannot.
    """
    if checked.recipe.model.use in READY:
        return
    try:
        export_onnx(
            checked.model,
            checked.prepared.in_shape,
            example=checked.prepared.validation.X[: max(BATCH_SIZES)],
        )
    except ModelError as error:
        found = [
            Problem(
                "model.use",
                f"{error} - without a bundle: `winnow evaluate` does everything up to the test "
                f"rows",
            )
        ]
        raise RecipeError(found if file is None else locate(found, file)) from error


def load_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file. When it has mistakes, those that only show when its data and model
    are looked up are told, too.

    Raises:
        RecipeError: with every mistake that was found.
    """
    try:
        return Recipe.load(path)
    except RecipeError as error:
        sound = sections(path)
        rows, model = sound.get("data"), sound.get("model")
        problems: list[Problem] = []
        if isinstance(rows, Data):
            try:
                prepare_once(rows)
            except DataError as data_error:
                problems.append(_problem("data", data_error))
        if isinstance(model, Model):
            problems += _named(model)
        if not problems:
            raise
        known = {p.setting for p in error.problems}
        more = locate([p for p in problems if p.setting not in known], path)
        raise RecipeError(sorted([*error.problems, *more], key=lambda p: p.line or 0)) from None


# -- models ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corner:
    """The recipe with every range at its first value, but for one."""

    recipe: Recipe
    changed: Mapping[str, Any]


def corners(recipe: Recipe) -> Iterator[Corner]:
    """The first value of every range; then, one at a time, the other values or ends of the
    model's arguments.
    """
    ranges = recipe.ranges()
    first: dict[str, Any] = {}
    for path, setting in ranges.items():
        if setting.condition is None or first.get(setting.condition[0]) == setting.condition[1]:
            first[path] = _values(setting.range)[0]
    yield Corner(recipe.resolve(first), {})
    others = [
        (path, value)
        for path in first
        if path.startswith("model.")
        for value in _values(ranges[path].range)[1:]
    ]
    for path, value in others[: MOST_MODELS - 1]:
        yield Corner(recipe.resolve({**first, path: value}), {path: value})


def _built(recipe: Recipe, prepared: PreparedData) -> tuple[list[nn.Module], list[Problem]]:
    built: list[nn.Module] = []
    problems: list[Problem] = []
    for corner in corners(recipe):
        try:
            built.append(_build(corner.recipe, prepared))
        except WinnowError as error:
            problems.append(_problem("model", error, given=corner.changed))
            if not corner.changed:
                break  # the others would only say it again
    return built, problems


def _named(model: Model) -> list[Problem]:
    """What can be said about a model without rows to try it on."""
    try:
        models.check_args(model)
    except ModelError as error:
        return [_problem("model", error)]
    return []


def _methods(recipe: Recipe, task: str) -> list[Problem]:
    """Methods that cannot be found, or that refuse their arguments at either end of a range."""
    problems: dict[str, Problem] = {}
    for train in _trains(recipe):
        try:
            check_methods(train, task)
        except ModelError as error:
            problem = _problem("train", error)
            problems.setdefault(problem.setting, problem)
    return list(problems.values())


def _sampler(recipe: Recipe) -> list[Problem]:
    try:
        made(recipe.search.sampler, SAMPLERS, BaseSampler, "search.sampler")
    except RecipeError as error:
        return list(error.problems)
    return []


def _trains(recipe: Recipe) -> Iterator[Train]:
    """Training sections in which every option and both ends of every range of a method come up."""
    ranges = recipe.ranges()
    choices = {path: s.labels for path, s in ranges.items() if s.labels and s.condition is None}
    largest = max([len(labels) for labels in choices.values()], default=1)
    for k, end in itertools.product(range(largest), (0, -1)):
        taken = {path: labels[k % len(labels)] for path, labels in choices.items()}
        for path, setting in ranges.items():
            condition = setting.condition
            if path not in taken and (condition is None or taken.get(condition[0]) == condition[1]):
                taken[path] = _values(setting.range)[end]
        yield recipe.resolve(taken).train


def _values(found: Any) -> list[Any]:
    return list(found.labels) if isinstance(found, Choice) else [found.low, found.high]


def _build(recipe: Recipe, prepared: PreparedData) -> nn.Module:
    module = models.build(
        recipe.model,
        in_shape=prepared.in_shape,
        out_features=prepared.out_features,
        seed=recipe.seed,
    )
    models.check_output(
        module, in_shape=prepared.in_shape, out_features=prepared.out_features, task=prepared.task
    )
    return module


# -- names -----------------------------------------------------------------------------------------


def _task(recipe: Recipe, prepared: PreparedData) -> list[Problem]:
    try:
        recipe.check_task(prepared.task)
    except RecipeError as error:
        return list(error.problems)
    return []


def _modules(recipe: Recipe, built: list[nn.Module]) -> list[Problem]:
    """Names of modules to ablate that no model of the recipe has; nothing is said when no model
    could be built.
    """
    if not built:
        return []
    known = list(dict.fromkeys(name for module in built for name in models.module_names(module)))
    asked = [("ablate.modules", name) for name in recipe.ablate.modules]
    if recipe.ablate.parts != "all":
        asked += [
            ("ablate.parts", n.removeprefix(MODULE))
            for n in recipe.ablate.parts
            if n.startswith(MODULE) and not n.startswith(ARGUMENT)
        ]
    return [
        Problem(path, f"the model has no module {n!r}{did_you_mean(n, known)}")
        for path, n in asked
        if n not in known
    ]


def _problem(
    section: str, error: WinnowError, *, given: Mapping[str, Any] | None = None
) -> Problem:
    """An error that names its setting as ``data.source: ...`` keeps it; any other is about the
    whole section.
    """
    setting, colon, message = str(error).partition(": ")
    named = (
        bool(colon)
        and setting.startswith(f"{section}.")
        and setting.replace(".", "").replace("_", "").isalnum()
    )
    setting, message = (setting, message) if named else (section, str(error))
    where = (
        f"with {', '.join(f'{path} = {value!r}' for path, value in given.items())}: "
        if given
        else ""
    )
    return Problem(setting, where + message)
