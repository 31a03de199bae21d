"""The arms of an ablation: the recipe, and the recipe without each of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from winnow import models
from winnow.data import PreparedData
from winnow.errors import ModelError, Problem, RecipeError, did_you_mean
from winnow.recipe import Outcome, Part, Recipe, Variant
from winnow.study import _scores
from winnow.study._protocol import Plan

__all__ = ["Arm", "differences", "make_arms", "part_names", "same_predictions", "train_arms"]

MODULE = "model."
ARGUMENT = "model.args."


@dataclass(frozen=True)
class Arm:
    """One version in an ablation, trained on every seed.

    Attributes:
        name: of the part that it lacks, or ``reference``.
        recipe: that is trained.
        part: what it lacks; None in the reference.
        changed: the difference to the reference, read off the two recipes: (with the part, without
            it) by setting.
        variants, outcomes: one for each seed, in the same order; empty before it is trained.
    """

    name: str
    recipe: Recipe
    part: Part | None = None
    changed: Mapping[str, tuple[Any, Any]] | None = None
    variants: tuple[Variant, ...] = ()
    outcomes: tuple[Outcome, ...] = ()

    @property
    def scores(self) -> list[float]:
        """One score per seed; NaN where the training failed."""
        return _scores.scores(self.outcomes)


def part_names(recipe: Recipe) -> tuple[list[str], list[str]]:
    """Return the parts that the recipe asks to leave out, each once, and notes about others.

    Returns:
        The names of the parts, and a note for each that is off already.

    Raises:
        RecipeError: when there is nothing to leave out.
    """
    asked = recipe.parts() if recipe.ablate.parts == "all" else recipe.ablate.parts
    modules = [MODULE + module for module in recipe.ablate.modules]
    names = list(dict.fromkeys([*asked, *modules]))
    on = [name for name in names if not _is_off(recipe, name)]
    if not on:
        raise RecipeError(
            "nothing to ablate: the recipe has no part that is on and names no modules of the "
            "model (ablate.modules)"
        )
    # A search may well have settled on "off" for a part that the recipe asks about
    off = [name for name in names if name not in on]
    return on, [f"{name} is not in the table, because it is off in this recipe" for name in off]


def make_arms(
    recipe: Recipe, names: Sequence[str], prepared: PreparedData
) -> tuple[Arm, list[Arm], list[str]]:
    """Return the arms of an ablation, none of them trained.

    Args:
        recipe: with all its parts.
        names: of the parts, of ``part_names``.
        prepared: the rows; two of them go through each model.

    Returns:
        The reference, an arm for each part, and a note for each part that the model cannot do
        without.

    Raises:
        ModelError: when the model cannot be built with all its parts.
        RecipeError: for modules that the model does not have.
    """
    of_model = [name for name in names if name.startswith(MODULE)]
    modules = [name.removeprefix(MODULE) for name in of_model if not name.startswith(ARGUMENT)]
    _check_modules(_try_model(recipe, prepared), modules)
    arms: list[Arm] = []
    notes: list[str] = []
    for name in names:
        part = _part(recipe, name)
        without = recipe.without(name)
        changed = differences(recipe, without)
        _assert_only(part, changed)
        try:
            _try_model(without, prepared)
        except ModelError as error:
            notes.append(
                f"{name} is not in the table, because the model cannot do without it: {error}"
            )
        else:
            arms.append(Arm(name, without, part, changed))
    return Arm("reference", recipe), arms, notes


def train_arms(
    arms: Sequence[Arm], seeds: Sequence[int], metric: str, context: str
) -> Plan[list[Arm]]:
    """Return the arms with their outcomes, every arm on the same seeds.

    Args:
        arms: not yet trained.
        seeds: that each of them is trained on.
        metric: the score, never ``auto``.
        context: digest of the data and of the model's source.
    """
    variants = [
        arm.recipe.variant(seed, metric=metric, context=context) for arm in arms for seed in seeds
    ]
    # All arms are asked for at once, so that those of equal shapes can share a fleet
    outcomes = yield variants
    trained = []
    for i, arm in enumerate(arms):
        of_arm = slice(i * len(seeds), (i + 1) * len(seeds))
        own_variants = tuple(variants[of_arm])
        own_outcomes = tuple(outcomes[of_arm])
        trained.append(replace(arm, variants=own_variants, outcomes=own_outcomes))
    return trained


def same_predictions(a: Arm, b: Arm) -> bool:
    """Return whether two arms failed on the same seeds and gave the same predictions and scores on
    all others.

    There must be some others: trainings that failed say nothing about predictions.
    """
    if not any(outcome.finished for outcome in a.outcomes):
        return False
    pairs = zip(a.outcomes, b.outcomes, strict=True)
    return all(_came_out_alike(of_a, of_b) for of_a, of_b in pairs)


def _came_out_alike(a: Outcome, b: Outcome) -> bool:
    if a.status != b.status:
        return False
    if not a.finished:
        return True
    # Outcomes of older ledgers have no digest, and nothing is known about their predictions
    if a.predictions_digest is None:
        return False
    return a.predictions_digest == b.predictions_digest and a.score == b.score


def differences(a: Recipe, b: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the settings of data, model and training that differ between two recipes.

    Returns:
        By dotted path, the value in ``a`` and the value in ``b``; None where there is none.
    """
    in_a = _settings(a)
    in_b = _settings(b)
    found = {}
    for path in dict.fromkeys([*in_a, *in_b]):
        values = (in_a.get(path), in_b.get(path))
        if values[0] != values[1]:
            found[path] = values
    return found


def _part(recipe: Recipe, name: str) -> Part:
    """Return the part of this name.

    ``recipe.without`` knows more of them than ``recipe.parts``: any module, a model's own dropout.
    """
    known = recipe.parts().get(name)
    if known:
        return known
    path = "model.without" if name.startswith(MODULE) else f"train.{name}"
    what = f"{name.removeprefix(MODULE)} of the model"
    return Part(name, path, now=None, off=None, what=what)


def _is_off(recipe: Recipe, name: str) -> bool:
    try:
        recipe.without(name)
    # A recipe refuses unknown names in `ablate.parts` itself, so this one is known
    except RecipeError:
        return True
    return False


def _settings(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of data, model and training by dotted path."""
    found: dict[str, Any] = {}
    for section, value in recipe.model_dump(include={"data", "model", "train"}).items():
        found.update(_leaves(section, value))
    return found


def _leaves(path: str, value: Any) -> dict[str, Any]:
    """Return the values inside a nested one by dotted path; an empty mapping is a value."""
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    found = {}
    for key, inner in value.items():
        found.update(_leaves(f"{path}.{key}", inner))
    return found


def _assert_only(part: Part, changed: Mapping[str, object]) -> None:
    """Assert that switching off a part changed its own settings and no others.

    An arm that differed from the reference in anything else would charge that to the part.
    """
    allowed = [part.path]
    if part.name == "momentum":
        # Nesterov's momentum is none without momentum
        allowed.append(part.path.removesuffix("momentum") + "nesterov")
    strays = [path for path in changed if not any(_is_within(path, place) for place in allowed)]
    assert changed, f"switching off {part.name!r} changed nothing"
    assert not strays, f"switching off {part.name!r} also changed {strays}"


def _is_within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}.")


def _check_modules(module: nn.Module, names: Sequence[str]) -> None:
    known = models.module_names(module)
    problems = []
    for name in names:
        if name not in known:
            message = f"the model has no module {name!r}{did_you_mean(name, known)}"
            problems.append(Problem("ablate.modules", message))
    if problems:
        raise RecipeError(problems)


def _try_model(recipe: Recipe, prepared: PreparedData) -> nn.Module:
    """Return the model, after two rows went through it: before anything is trained."""
    inputs, out_features = prepared.inputs, prepared.out_features
    module = models.build(recipe.model, in_shape=inputs, out_features=out_features, seed=0)
    models.check_output(module, in_shape=inputs, out_features=out_features, task=prepared.task)
    return module
