"""Search: which settings are best? The answer is measured again on seeds that did not choose it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from winnow.errors import ModelError, Problem, RecipeError
from winnow.execution import Event, Runner, Workspace
from winnow.methods import SAMPLERS, BaseSampler
from winnow.recipe import (
    Outcome,
    Recipe,
    Sampler,
    Search,
    Variant,
    derive_seed,
    made,
    metric_of,
)
from winnow.records import keep
from winnow.stats import Interval
from winnow.study import _asking, _scores
from winnow.study._allowance import LEADERS, Allowance, Option, steps, trials_after
from winnow.study._protocol import Plan, Study, conduct
from winnow.study._records import BestRecord, LeaderRecord, SearchRecord, TrialRecord
from winnow.study._sampling import Proposal, Proposer

__all__ = ["Leader", "SearchResult", "Trial", "plan_search", "search"]


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, by dotted path, and what training them once gave."""

    number: int
    values: dict[str, Any]
    variant: Variant
    outcome: Outcome

    @property
    def score(self) -> float:
        """The validation score, each half of the rows at the epoch that the other chose; NaN
        when the training failed.
        """
        return self.outcome.score if self.outcome.finished else math.nan


@dataclass(frozen=True)
class Leader:
    """One of the best trials, trained again. ``score`` is the mean of the fresh scores only,
    without the trial's own.
    """

    trial: Trial
    variants: tuple[Variant, ...]
    outcomes: tuple[Outcome, ...]
    score: Interval

    @property
    def scores(self) -> list[float]:
        """One score per fresh seed; NaN where the training failed."""
        return _scores.scores(self.outcomes)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        recipe: as it was asked, with its ranges.
        metric: the score, never ``auto``.
        trials: in the order they were asked for.
        leaders: the best trials with their fresh scores, the winner first.
        best: the recipe with the winner's settings; nothing in it is open.
        score: the winner's validation score on fresh seeds. No row scores an epoch that it chose,
            and the trial scores play no part in it. But the settings were chosen on the same
            validation rows, by trials and then among a few means, which lifts it a little still;
            the final training is on seeds that chose nothing, and only the test rows chose nothing.
        notes: what the reader should know.
    """

    recipe: Recipe
    metric: str
    trials: tuple[Trial, ...]
    leaders: tuple[Leader, ...]
    best: Recipe
    score: Interval
    notes: tuple[str, ...] = ()

    def table(self) -> pl.DataFrame:
        """One row per trial: what came of it, and a column for each open setting, null where it
        did not apply.
        """
        paths = list(self.recipe.ranges())
        rows = [
            {name: value for name, value in vars(_row(trial)).items() if name != "values"}
            | {path: _cell(trial.values.get(path)) for path in paths}
            for trial in self.trials
        ]
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)

    @property
    def record(self) -> SearchRecord:
        """The ``search`` document."""
        winner = self.leaders[0]
        return SearchRecord(
            sampler=_name(self.recipe.search.sampler),
            metric=self.metric,
            higher_is_better=metric_of(self.metric).higher_is_better,
            ranges={
                path: s.range.model_dump(mode="json") for path, s in self.recipe.ranges().items()
            },
            trials=tuple(_row(trial) for trial in self.trials),
            leaders=tuple(
                LeaderRecord(a.trial.number, a.trial.values, tuple(a.scores), a.score)
                for a in self.leaders
            ),
            best=BestRecord(
                winner.trial.number, winner.trial.values, self.best.to_yaml(), self.score
            ),
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """``record`` as plain data."""
        return self.record.to_dict()


def search(
    recipe: Recipe,
    *,
    trials: int | None = None,
    sampler: str | BaseSampler | Sampler | None = None,
    batch: int | None = None,
    leaders: int | None = None,
    seeds: int | None = None,
    workspace: Workspace | str | Path | None = None,
    progress: Callable[[Event], None] | None = None,
    runner: Runner | None = None,
    allowance: Allowance | None = None,
) -> SearchResult:
    """Find the best settings of a recipe's ranges, and say how good they are on fresh seeds.

    Args:
        recipe: with at least one open setting.
        trials, sampler, batch, leaders, seeds: in place of the recipe's own ``search`` settings.
        workspace: where outcomes are kept, so that the same search goes on where it was; None: a
            temporary place.
        progress: is called with what is going on.
        runner: trains, in place of a new one over ``workspace``.
        allowance: decides how much of it is asked for, where time is short; None: all, and the
            recipe's ``minutes`` do not count.

    Raises:
        RecipeError: when nothing is open, or a setting is not acceptable.
        ModelError: when every training fails.
    """
    recipe = _asking.with_overrides(
        recipe, "search", trials=trials, sampler=sampler, batch=batch, leaders=leaders, seeds=seeds
    )
    if not recipe.ranges():
        raise RecipeError(
            "nothing to search: the recipe has no open settings; put a range where a value "
            "stands, e.g. {log: [1e-4, 1e-1]}"
        )
    _asking.warn_of_minutes(recipe, allowance)
    runner = runner or Runner(Workspace.open(workspace), progress=progress)
    metric, context = runner.context(recipe)
    ask = recipe.search
    rows = len(runner.prepared(recipe.data).validation)
    plan = plan_search(recipe, metric=metric, context=context, rows=rows, allowance=allowance)
    found = conduct(Study("search", plan, trainings=ask.trials + ask.leaders * ask.seeds), runner)
    keep(runner.workspace.ledger, found.record)
    return found


def plan_search(
    recipe: Recipe,
    *,
    metric: str,
    context: str,
    rows: int | None = None,
    allowance: Allowance | None = None,
) -> Plan[SearchResult]:
    """The search as a plan: batches of trials, then the leaders on fresh seeds. It may end after
    any batch of trials.

    Args:
        rows: of the validation part, if known.
        allowance: see ``search``.
    """
    ask, ranges = recipe.search, recipe.ranges()
    sampler = made(ask.sampler, SAMPLERS, BaseSampler, "search.sampler")
    proposer = Proposer(
        ranges,
        sampler=sampler,
        seed=derive_seed(recipe.seed, "search", "sampler"),
        higher_is_better=metric_of(metric).higher_is_better,
    )
    # One seed for all trials: with the same initial weights and data order, trials differ by their
    # settings and by less luck. That a setting suits this one seed is what the fresh seeds of the
    # leaders are for.
    seed = derive_seed(recipe.seed, "search", "training")
    trials: list[Trial] = []
    notes: list[str] = []
    while len(trials) < ask.trials:
        wanted = min(ask.batch, ask.trials - len(trials))
        number = _allowed(allowance, ask, len(trials), wanted)
        if number == 0:
            break
        proposals = proposer.propose(number)
        if not proposals:
            notes.append(_ended(len(trials), ask, sampler, by_ranges=proposer.is_used_up))
            break
        variants = [
            _resolved(recipe, p, sampler).variant(seed, metric=metric, context=context)
            for p in proposals
        ]
        outcomes = yield variants
        batch = [
            Trial(p.number, p.values, v, o)
            for p, v, o in zip(proposals, variants, outcomes, strict=True)
        ]
        proposer.learn({trial.number: trial.score for trial in batch})
        trials.extend(batch)
        if number < wanted:
            break
    notes.extend(_failures(trials))
    leaders = yield from _measure_again(
        recipe, _best(trials, metric, ask.leaders), metric, context, rows, allowance
    )
    best = recipe.resolve(leaders[0].trial.values)
    return SearchResult(
        recipe, metric, tuple(trials), tuple(leaders), best, leaders[0].score, tuple(notes)
    )


def _resolved(recipe: Recipe, proposal: Proposal, sampler: BaseSampler) -> Recipe:
    """The recipe with the settings of a proposal, which may come from a sampler of the user's."""
    try:
        return recipe.resolve(proposal.values)
    except RecipeError as error:
        what = "; ".join(f"{p.setting}: {p.message}" for p in error.problems)
        message = f"{type(sampler).__name__} proposed what the recipe refuses: {what}"
        raise RecipeError(Problem("search.sampler", message)) from None


def _ended(number: int, ask: Search, sampler: BaseSampler, *, by_ranges: bool) -> str:
    """Why a search ended before its trials were made."""
    if by_ranges:
        return (
            f"the ranges allow {number} different settings; all were tried, instead of "
            f"{ask.trials} trials"
        )
    name = type(sampler).__name__
    return (
        f"{name} proposed {number} different settings and no more, instead of {ask.trials} trials"
    )


def _best(trials: Sequence[Trial], metric: str, n: int) -> list[Trial]:
    """The ``n`` trials with the best scores, the earlier first among equals."""
    finished = [trial for trial in trials if math.isfinite(trial.score)]
    if not finished:
        raise ModelError(
            f"all {len(trials)} trials failed: {_scores.reasons(t.outcome for t in trials)}"
        )
    return sorted(finished, key=lambda trial: _rank(trial.score, metric))[:n]


def _allowed(allowance: Allowance | None, ask: Search, done: int, wanted: int) -> int:
    """How many trials of the next batch may be made, with time left for the leaders."""
    if allowance is None:
        return wanted
    numbers = steps(wanted, min(2, wanted)) if done == 0 else [*steps(wanted, 1), 0]
    for_leaders = max(2, ask.leaders * ask.seeds // 2)
    options = [Option(f"{done + n} trials", more=n + for_leaders if n else 0) for n in numbers]
    return numbers[allowance.choose(trials_after(done), options, of=f"{ask.trials} trials")]


def _measure_again(
    recipe: Recipe,
    trials: Sequence[Trial],
    metric: str,
    context: str,
    rows: int | None,
    allowance: Allowance | None,
) -> Plan[list[Leader]]:
    def versions(trials: Sequence[Trial], seeds: Sequence[int]) -> list[list[Variant]]:
        return [
            [
                recipe.resolve(trial.values).variant(seed, metric=metric, context=context)
                for seed in seeds
            ]
            for trial in trials
        ]

    seeds = _asking.fresh_seeds(recipe, "confirm", recipe.search.seeds)
    if allowance is not None:
        sizes = [(n, m) for n in steps(len(trials), 1) for m in steps(len(seeds), 2)]
        sizes.sort(key=lambda size: (size[0] * size[1], size[0]), reverse=True)
        everything = versions(trials, seeds)
        options = [
            Option(
                f"{n} leader{'s' * (n > 1)} on {m} fresh seeds",
                [v for group in everything[:n] for v in group[:m]],
            )
            for n, m in sizes
        ]
        n, m = sizes[allowance.choose(LEADERS, options)]
        trials, seeds = trials[:n], seeds[:m]
    variants = versions(trials, seeds)
    outcomes = yield [v for group in variants for v in group]
    groups = [tuple(outcomes[i : i + len(seeds)]) for i in range(0, len(outcomes), len(seeds))]
    leaders = [
        Leader(trial, tuple(vs), group, _scores.score_interval(group, metric, rows))
        for trial, vs, group in zip(trials, variants, groups, strict=True)
    ]
    if all(leader.score.n == 0 for leader in leaders):
        raise ModelError(f"every leader failed on every fresh seed: {_scores.reasons(outcomes)}")
    # settings that sometimes fail come after settings that never do: their mean is over the runs
    # that went well
    return sorted(leaders, key=lambda leader: (leader.score.lost, _rank(leader.score.mean, metric)))


def _rank(score: float, metric: str) -> float:
    if math.isnan(score):
        return math.inf
    return -score if metric_of(metric).higher_is_better else score


def _failures(trials: Sequence[Trial]) -> list[str]:
    failed = [trial.outcome for trial in trials if not trial.outcome.finished]
    return (
        [f"{len(failed)} of {len(trials)} trials failed: {_scores.reasons(failed)}"]
        if failed
        else []
    )


def _name(sampler: str | BaseSampler | Sampler) -> str:
    """What a document calls a sampler: its kind, or the import path of its class."""
    if isinstance(sampler, Sampler):
        return sampler.use
    return sampler if isinstance(sampler, str) else sampler.kind


def _row(trial: Trial) -> TrialRecord:
    o = trial.outcome
    return TrialRecord(
        trial.number,
        o.status,
        trial.score if o.finished else None,
        o.reason,
        o.seconds,
        o.epochs,
        trial.values,
    )


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
