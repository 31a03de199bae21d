"""Train: the last training of a recipe, on seeds that chose nothing, with the weights kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from winnow import models
from winnow.data import PreparedData
from winnow.errors import ModelError
from winnow.execution import Event, Runner, Workspace
from winnow.recipe import Outcome, Recipe, Variant, better
from winnow.records import keep
from winnow.stats import Interval
from winnow.study import _asking, _scores
from winnow.study._allowance import Allowance, Option, steps
from winnow.study._protocol import Plan, Study, conduct
from winnow.study._records import FinalRecord, MemberRecord

__all__ = ["TrainingResult", "plan_training", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """A recipe trained on several seeds.

    Attributes:
        recipe: what was trained.
        variants, outcomes: one for each seed, in the same order.
        best: position of the member that ships: the finished one with the best validation score.
        prepared: the rows it was trained on.
        workspace: where the weights are.
    """

    recipe: Recipe
    variants: tuple[Variant, ...]
    outcomes: tuple[Outcome, ...]
    best: int
    prepared: PreparedData
    workspace: Workspace

    @property
    def metric(self) -> str:
        """The score, never ``auto``."""
        return self.variants[0].metric

    @property
    def score(self) -> Interval:
        """The interval of the validation score over the seeds: what training the recipe once more
        is likely to give on average, on the validation rows, which chose the recipe.
        """
        return _scores.score_interval(self.outcomes, self.metric, len(self.prepared.validation))

    @property
    def finished(self) -> list[int]:
        """Positions of the members whose training finished."""
        return [i for i, outcome in enumerate(self.outcomes) if outcome.finished]

    def module(self, i: int | None = None) -> nn.Module:
        """Return a member with its trained weights, in evaluation mode, on the CPU.

        Args:
            i: its position; None: the one that ships.

        Raises:
            ModelError: for a position that does not exist, a member whose training failed, or
                weights that do not fit the model.
            WorkspaceError: when the weights are not there.
        """
        i = self.best if i is None else i
        if not 0 <= i < len(self.variants):
            raise ModelError(f"no member {i}: expected 0 to {len(self.variants) - 1}")
        outcome = self.outcomes[i]
        if not outcome.finished:
            raise ModelError(
                f"member {i} has no weights, because its training failed: {outcome.reason}"
            )
        variant = self.variants[i]
        return load_member(variant, self.prepared, self.workspace.load_weights(variant.id))

    @property
    def record(self) -> FinalRecord:
        """The ``final`` document."""
        members = [
            MemberRecord(seed=variant.seed, **outcome.to_dict())
            for variant, outcome in zip(self.variants, self.outcomes, strict=True)
        ]
        return FinalRecord(
            recipe_yaml=self.recipe.to_yaml(),
            metric=self.metric,
            seeds=tuple(variant.seed for variant in self.variants),
            outcomes=tuple(members),
            shipped=self.best,
            score=self.score,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()


def train(
    recipe: Recipe,
    *,
    seeds: int | None = None,
    workspace: Workspace | str | Path | None = None,
    progress: Callable[[Event], None] | None = None,
    runner: Runner | None = None,
    allowance: Allowance | None = None,
) -> TrainingResult:
    """Train a recipe with nothing open on fresh seeds and keep the weights.

    Args:
        recipe: with nothing open.
        seeds: how many, in place of the recipe's own ``final.seeds``.
        workspace: where outcomes and weights are kept; None: a temporary place, gone when the
            process ends.
        progress: is called with what is going on.
        runner: trains, in place of a new one over ``workspace``.
        allowance: decides how much of it is asked for, where time is short; None: all, and the
            recipe's ``minutes`` do not count.

    Raises:
        RecipeError: for open settings.
        ModelError: when every training fails.
    """
    recipe = _asking.with_overrides(recipe, "final", seeds=seeds)
    _asking.require_closed(recipe, "the final training")
    _asking.warn_of_minutes(recipe, allowance)
    runner = runner or Runner(Workspace.open(workspace), progress=progress)
    metric, context = runner.context(recipe)
    if allowance is not None:
        recipe = _within(allowance, recipe, metric, context)
    plan = plan_training(recipe, metric=metric, context=context)
    variants, outcomes = conduct(Study("train", plan), runner, keep_weights=True)
    trained = TrainingResult(
        recipe=recipe,
        variants=variants,
        outcomes=outcomes,
        best=shipped(outcomes, metric),
        prepared=runner.prepared(recipe.data),
        workspace=runner.workspace,
    )
    keep(runner.workspace.ledger, trained.record)
    return trained


def plan_training(
    recipe: Recipe, *, metric: str, context: str
) -> Plan[tuple[tuple[Variant, ...], tuple[Outcome, ...]]]:
    """Return the final training as a plan: one variant per fresh seed.

    Args:
        recipe: with nothing open.
        metric: the score, never ``auto``.
        context: digest of the data and of the model's source.
    """
    variants = _variants(recipe, metric, context)
    outcomes = yield variants
    return variants, tuple(outcomes)


def _within(allowance: Allowance, recipe: Recipe, metric: str, context: str) -> Recipe:
    """Return the recipe with as many final seeds as there is time for, two at least."""
    everything = _variants(recipe, metric, context)
    numbers = steps(len(everything), 2)
    options = [Option(f"{n} final seeds", everything[:n]) for n in numbers]
    chosen = allowance.choose("train: seeds", options)
    return _asking.with_overrides(recipe, "final", seeds=numbers[chosen])


def _variants(recipe: Recipe, metric: str, context: str) -> tuple[Variant, ...]:
    seeds = _asking.fresh_seeds(recipe, "final", recipe.final.seeds)
    return tuple(recipe.variant(seed, metric=metric, context=context) for seed in seeds)


def shipped(outcomes: Sequence[Outcome], metric: str) -> int:
    """Return the position of the finished outcome with the best score, the first among equals.

    Args:
        outcomes: of the final training.
        metric: the score, never ``auto``.

    Raises:
        ModelError: when none finished, with the reasons.
    """
    best: int | None = None
    for i, score in enumerate(_scores.scores(outcomes)):
        if math.isnan(score):
            continue
        if best is None or better(metric, score, outcomes[best].score):
            best = i
    if best is None:
        raise ModelError(f"all {len(outcomes)} final trainings failed: {_scores.reasons(outcomes)}")
    return best


def load_member(
    variant: Variant, prepared: PreparedData, weights: Mapping[str, Tensor]
) -> nn.Module:
    """Return the module of a variant with trained weights, in evaluation mode.

    Args:
        variant: says how the module is built.
        prepared: says what goes in and comes out.
        weights: by the names of the user's module.

    Raises:
        ModelError: when the weights are not those of the model.
    """
    module = models.build(
        variant.model,
        in_shape=prepared.inputs,
        out_features=prepared.out_features,
        seed=variant.seed,
    )
    # Before loading, which would round float64 weights to float32
    module = module.to(getattr(torch, variant.train.weights_precision))
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"the weights of variant {variant.id} do not fit its model: {error}"
        ) from error
    return module.eval()
