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
    """One version in an ablation, trained on every seed. ``part`` is what it lacks; None in the
    reference.

    ``changed`` is the difference to the reference, read off the two recipes: setting -> (with the
    part, without it).
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
    """The parts that the recipe asks to leave out, each once, and a note for each of them that is
    off already.

    Raises:
        RecipeError: when there is nothing to leave out.
    """
    asked = list(recipe.parts()) if recipe.ablate.parts == "all" else list(recipe.ablate.parts)
    names = list(dict.fromkeys([*asked, *(MODULE + module for module in recipe.ablate.modules)]))
    on = [name for name in names if not _is_off(recipe, name)]
    if not on:
        raise RecipeError(
            "nothing to ablate: the recipe has no part that is on and names no modules of the "
            "model (ablate.modules)"
        )
    # a search may well have settled on "off" for a part that the recipe asks about
    return on, [
        f"{name} is not in the table, because it is off in this recipe"
        for name in names
        if name not in on
    ]


def make_arms(
    recipe: Recipe, names: Sequence[str], prepared: PreparedData
) -> tuple[Arm, list[Arm], list[str]]:
    """The reference, an arm for each part, and a note for each part that the model cannot do
    without.

    Raises:
        ModelError: when the model cannot be built with all its parts.
        RecipeError: for modules that the model does not have.
    """
    modules = [
        name.removeprefix(MODULE)
        for name in names
        if name.startswith(MODULE) and not name.startswith(ARGUMENT)
    ]
    _check_modules(_try_model(recipe, prepared), modules)
    arms: list[Arm] = []
    notes: list[str] = []
    for name in names:
        part, without = _part(recipe, name), recipe.without(name)
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
    """The arms with their outcomes, every arm on the same seeds."""
    variants = [
        [arm.recipe.variant(seed, metric=metric, context=context) for seed in seeds] for arm in arms
    ]
    outcomes = yield [v for group in variants for v in group]
    groups = [outcomes[i : i + len(seeds)] for i in range(0, len(outcomes), len(seeds))]
    return [
        replace(arm, variants=tuple(vs), outcomes=tuple(group))
        for arm, vs, group in zip(arms, variants, groups, strict=True)
    ]


def same_predictions(a: Arm, b: Arm) -> bool:
    """Whether two arms failed on the same seeds and gave the same predictions and scores on all
    others, of which there must be
    some: trainings that failed say nothing about predictions.
    """
    return any(x.finished for x in a.outcomes) and all(
        x.status == y.status
        and (
            not x.finished
            or (
                x.predictions_digest is not None
                and x.predictions_digest == y.predictions_digest
                and x.score == y.score
            )
        )
        for x, y in zip(a.outcomes, b.outcomes, strict=True)
    )


def differences(a: Recipe, b: Recipe) -> dict[str, tuple[Any, Any]]:
    """Settings of data, model and training that differ between two recipes: dotted path -> (in
    ``a``, in ``b``).
    """
    left, right = _settings(a), _settings(b)
    paths = dict.fromkeys([*left, *right])
    return {p: (left.get(p), right.get(p)) for p in paths if left.get(p) != right.get(p)}


def _part(recipe: Recipe, name: str) -> Part:
    """The part of this name. ``recipe.without`` knows more of them than ``recipe.parts``: any
    module, a model's own dropout.
    """
    path = "model.without" if name.startswith(MODULE) else f"train.{name}"
    return recipe.parts().get(name) or Part(
        name, path, now=None, off=None, what=f"{name.removeprefix(MODULE)} of the model"
    )


def _is_off(recipe: Recipe, name: str) -> bool:
    try:
        recipe.without(name)
    # A recipe refuses unknown names in `ablate.parts` itself, so this one is known
    except RecipeError:
        return True
    return False


def _settings(recipe: Recipe) -> dict[str, Any]:
    dump = recipe.model_dump(include={"data", "model", "train"})
    return dict(leaf for section, value in dump.items() for leaf in _leaves(section, value))


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(f"{path}.{key}", inner)]
    return [(path, value)]


def _assert_only(part: Part, changed: Mapping[str, Any]) -> None:
    """An arm that differed from the reference in anything else would charge that to the part."""
    allowed = [part.path]
    if part.name == "momentum":
        # Nesterov's momentum is none without momentum
        allowed.append(part.path.removesuffix("momentum") + "nesterov")
    strays = [
        path for path in changed if not any(path == a or path.startswith(f"{a}.") for a in allowed)
    ]
    assert changed, f"switching off {part.name!r} changed nothing"
    assert not strays, f"switching off {part.name!r} also changed {strays}"


def _check_modules(module: nn.Module, names: Sequence[str]) -> None:
    known = models.module_names(module)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RecipeError(
            [
                Problem(
                    "ablate.modules", f"the model has no module {name!r}{did_you_mean(name, known)}"
                )
                for name in unknown
            ]
        )


def _try_model(recipe: Recipe, prepared: PreparedData) -> nn.Module:
    """Build the model and send two rows through it, before anything is trained."""
    in_shape, out_features = prepared.in_shape, prepared.out_features
    module = models.build(recipe.model, in_shape=in_shape, out_features=out_features, seed=0)
    models.check_output(module, in_shape=in_shape, out_features=out_features, task=prepared.task)
    return module
