"""Everything that can be wrong with a recipe, found before anything trains, and told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from winnow import models
from winnow.bundle import BATCH_SIZES, export_onnx
from winnow.compression import compressors_of
from winnow.data import PreparedData, prepare_once
from winnow.errors import DataError, ModelError, Problem, RecipeError, WinnowError, did_you_mean
from winnow.methods import AUGMENTS, SAMPLERS, BaseAugment, BaseSampler, in_order
from winnow.pipeline._corners import corners, training_corners
from winnow.recipe import READY, Data, Model, Recipe, Variant, locate, made, sections
from winnow.training import check_methods, try_losses
from winnow.trees import described

__all__ = ["CheckedRecipe", "check", "check_export", "check_recipe", "load_recipe"]

MODULE, ARGUMENT = "model.", "model.args."


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
    """Read the data, build the models that a recipe can ask for and look up every name.

    Nothing is trained.

    Args:
        recipe: any recipe.
        file: the YAML file that it was read from, for the lines of mistakes.

    Returns:
        The recipe with its rows and its first model.

    Raises:
        RecipeError: with every mistake that was found.

    Example:
        >>> import winnow
        >>> from winnow.pipeline import check
        >>> recipe = winnow.Recipe(
        ...     name="iris", data=winnow.Data(source="sklearn:iris"), model=winnow.Model(use="mlp")
        ... )
        >>> check(recipe).prepared.task
        'classification'
    """
    return check_recipe(recipe, prepare_once, file=file)


def check_recipe(
    recipe: Recipe,
    prepared: Callable[[Data], PreparedData],
    *,
    file: Path | None = None,
    names: bool = True,
) -> CheckedRecipe:
    """Check a recipe as ``check`` does, with another source of prepared rows.

    Args:
        recipe: any recipe.
        prepared: gives the rows of a section ``data``.
        file: the YAML file that the recipe was read from, for the lines of mistakes.
        names: whether the modules to ablate are looked up in the models.

    Returns:
        The recipe with its rows and its first model.

    Raises:
        RecipeError: with every mistake that was found.
    """
    try:
        rows = prepared(recipe.data)
        built, problems = _build_models(recipe, rows)
        unknown = _unknown_modules(recipe, built) if names else []
        augment = _augment_problems(recipe, rows)
        problems = [
            *_task_problems(recipe, rows),
            *problems,
            *_method_problems(recipe, rows, [] if augment else built),
            *augment,
            *_sampler_problems(recipe),
            *_compressor_problems(recipe),
            *unknown,
        ]
    except DataError as error:
        problems = [_problem("data", error), *_argument_problems(recipe.model)]
    if problems:
        raise RecipeError(problems if file is None else locate(problems, file))
    warnings = tuple(_warnings(recipe, rows, built[0]))
    return CheckedRecipe(recipe, rows, built[0], warnings)


def check_export(checked: CheckedRecipe, *, file: Path | None = None) -> None:
    """Check that there can be a bundle of the model, before it is trained rather than after.

    Args:
        checked: the recipe.
        file: the YAML file that it was read from, for the line of the mistake.

    Raises:
        RecipeError: the model cannot be exported.
    """
    # The ready models are known to export.
    if checked.recipe.model.use in READY:
        return
    example = checked.prepared.validation.X[: max(BATCH_SIZES)]
    try:
        export_onnx(checked.model, checked.prepared.inputs, example=example)
    except ModelError as error:
        problem = Problem(
            "model.use",
            f"{error} - without a bundle: `winnow evaluate` does everything up to the test rows",
        )
        raise RecipeError([problem] if file is None else locate([problem], file)) from error


def load_recipe(path: Path) -> Recipe:
    """Read the recipe in a YAML file.

    When it has mistakes, those that only show when its data and model are looked up are told, too.

    Args:
        path: the file.

    Returns:
        The recipe.

    Raises:
        RecipeError: with every mistake that was found.
    """
    try:
        return Recipe.load(path)
    except RecipeError as error:
        found = _problems_of_sound_sections(path)
        if not found:
            raise
        known = {problem.setting for problem in error.problems}
        new = [problem for problem in found if problem.setting not in known]
        problems = [*error.problems, *locate(new, path)]
        problems.sort(key=lambda problem: problem.line or 0)
        raise RecipeError(problems) from None


def _problems_of_sound_sections(path: Path) -> list[Problem]:
    """Return what is wrong with the data and the model of a recipe that cannot be read whole."""
    sound = sections(path)
    data, model = sound.get("data"), sound.get("model")
    problems: list[Problem] = []
    if isinstance(data, Data):
        try:
            prepare_once(data)
        except DataError as error:
            problems.append(_problem("data", error))
    if isinstance(model, Model):
        problems += _argument_problems(model)
    return problems


# -- models ----------------------------------------------------------------------------------------


def _build_models(recipe: Recipe, prepared: PreparedData) -> tuple[list[nn.Module], list[Problem]]:
    """Build the model at every corner of the recipe; return what was built, and what cannot be."""
    built: list[nn.Module] = []
    problems: list[Problem] = []
    for corner in corners(recipe):
        try:
            built.append(_build(corner.recipe, prepared))
        except WinnowError as error:
            problems.append(_problem("model", error, given=corner.changed))
            if not corner.changed:
                break  # the other corners would only say it again
    return built, problems


def _build(recipe: Recipe, prepared: PreparedData) -> nn.Module:
    """Build the model of a recipe with nothing open, and see that its output fits the task."""
    module = models.build(
        recipe.model,
        in_shape=prepared.inputs,
        out_features=prepared.out_features,
        seed=recipe.seed,
    )
    models.check_output(
        module, in_shape=prepared.inputs, out_features=prepared.out_features, task=prepared.task
    )
    return module


def _argument_problems(model: Model) -> list[Problem]:
    """Return what can be said against a model without rows to try it on."""
    try:
        models.check_args(model)
    except ModelError as error:
        return [_problem("model", error)]
    return []


def _warnings(recipe: Recipe, prepared: PreparedData, model: nn.Module) -> Iterator[str]:
    """Yield what can be run, and is hardly meant."""
    if prepared.task != "classification" or recipe.model.use in READY:
        return
    if models.gives_probabilities(
        model, in_shape=prepared.inputs, out_features=prepared.out_features
    ):
        yield (
            "the outputs of the model look like probabilities (every row adds up to 1): "
            "cross-entropy takes raw scores and "
            "applies a softmax of its own, and so does prediction; leave out the model's softmax"
        )


# -- methods and names -----------------------------------------------------------------------------


def _task_problems(recipe: Recipe, prepared: PreparedData) -> list[Problem]:
    """Return the settings that do not suit the task of the data."""
    try:
        recipe.check_task(prepared.task)
    except RecipeError as error:
        return list(error.problems)
    return []


def _method_problems(
    recipe: Recipe, prepared: PreparedData, built: Sequence[nn.Module]
) -> list[Problem]:
    """Return the methods that cannot be found or refuse their arguments at an end of a range, and
    the losses that do not fit the model's outputs.

    Args:
        recipe: with ranges.
        prepared: its rows.
        built: its models, the first of which losses are tried with; none where none can be built.
    """
    problems: dict[str, Problem] = {}
    model = next(corners(recipe)).recipe.model
    for train in training_corners(recipe):
        try:
            check_methods(train, prepared.task)
            if built:
                metric = recipe.metric_for(prepared.task)
                variant = Variant(
                    data=recipe.data, model=model, train=train, metric=metric, seed=recipe.seed
                )
                try_losses(variant, built[0], prepared)
        except ModelError as error:
            problem = _problem("train", error)
            # The same method fails at several corners: once is enough to read.
            problems.setdefault(problem.setting, problem)
    return list(problems.values())


def _augment_problems(recipe: Recipe, prepared: PreparedData) -> list[Problem]:
    """Return the augmentations that are for one input and one target where there are several."""
    x, y = prepared.head("train", 1)
    several = [tree for tree in (x, y) if isinstance(tree, Mapping | tuple)]
    if not several:
        return []
    problems: list[Problem] = []
    for i, record in enumerate(recipe.train.augment):
        where = f"train.augment[{i}]"
        try:
            method = type(made(record, AUGMENTS, BaseAugment, where))
        except RecipeError:  # told by what makes the methods
            continue
        if method.of_batch.__func__ is BaseAugment.of_batch.__func__:  # type: ignore[attr-defined]
            what = (
                f"{method.__name__} changes one input and one target, and the data has "
                f"{' and '.join(map(described, several))}: leave it out, or give one that defines "
                f"of_batch"
            )
            problems.append(Problem(where, what))
    return problems


def _compressor_problems(recipe: Recipe) -> list[Problem]:
    """Return what is wrong with the compressors, or with what their candidates are called."""
    try:
        in_order(compressors_of(recipe))
    except RecipeError as error:
        return list(error.problems)
    except ValueError as error:
        return [Problem("compress.methods", str(error))]
    return []


def _sampler_problems(recipe: Recipe) -> list[Problem]:
    """Return what is wrong with the sampler of the search."""
    try:
        made(recipe.search.sampler, SAMPLERS, BaseSampler, "search.sampler")
    except RecipeError as error:
        return list(error.problems)
    return []


def _unknown_modules(recipe: Recipe, built: Sequence[nn.Module]) -> list[Problem]:
    """Return the names of modules to ablate that no model of the recipe has.

    Nothing is said when no model could be built: that mistake is told already.
    """
    if not built:
        return []
    known: dict[str, None] = {}  # keeps the order in which they were seen
    for module in built:
        known.update(dict.fromkeys(models.module_names(module)))
    asked = [("ablate.modules", name) for name in recipe.ablate.modules]
    if recipe.ablate.parts != "all":
        for name in recipe.ablate.parts:
            if name.startswith(MODULE) and not name.startswith(ARGUMENT):
                asked.append(("ablate.parts", name.removeprefix(MODULE)))
    return [
        Problem(path, f"the model has no module {name!r}{did_you_mean(name, list(known))}")
        for path, name in asked
        if name not in known
    ]


def _problem(
    section: str, error: WinnowError, *, given: Mapping[str, object] | None = None
) -> Problem:
    """Return an error as a problem of a setting.

    An error that names its setting, as ``data.source: ...`` does, keeps it; any other is about the
    whole section.

    Args:
        section: of the recipe.
        error: the error.
        given: the settings at which it came up, by their dotted paths.
    """
    text = str(error)
    setting, colon, rest = text.partition(": ")
    is_a_path = setting.translate(str.maketrans("", "", "._[]")).isalnum()
    if colon and is_a_path and setting.startswith(f"{section}."):
        message = rest
    else:
        setting, message = section, text
    if given:
        values = ", ".join(f"{path} = {value!r}" for path, value in given.items())
        message = f"with {values}: {message}"
    return Problem(setting, message)
