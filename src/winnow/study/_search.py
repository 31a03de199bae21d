"""Search: which settings are best? The answer is measured again on seeds that did not choose it."""

from __future__ import annotations

import itertools
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
    """Settings that were tried, and what training them once gave.

    Attributes:
        number: from 0, in the order in which they were asked for.
        values: by dotted path.
        variant: that was trained.
        outcome: what came of it.
    """

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
    """One of the best trials, trained again.

    Attributes:
        trial: the trial.
        variants, outcomes: on fresh seeds, in the same order.
        score: interval of the mean of the fresh scores only, without the trial's own.
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
        """Return a table with one row per trial: what came of it, and a column for each open
        setting, null where it did not apply.
        """
        paths = list(self.recipe.ranges())
        rows = []
        for trial in self.trials:
            row = vars(_trial_record(trial)).copy()
            del row["values"]
            for path in paths:
                row[path] = _cell(trial.values.get(path))
            rows.append(row)
        # All rows say what a column holds: a setting may apply to none of the first trials
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)

    @property
    def record(self) -> SearchRecord:
        """The ``search`` document."""
        winner = self.leaders[0].trial
        ranges = self.recipe.ranges()
        return SearchRecord(
            sampler=_sampler_name(self.recipe.search.sampler),
            metric=self.metric,
            higher_is_better=metric_of(self.metric).higher_is_better,
            ranges={path: open_.range.model_dump(mode="json") for path, open_ in ranges.items()},
            trials=tuple(_trial_record(trial) for trial in self.trials),
            leaders=tuple(_leader_record(leader) for leader in self.leaders),
            best=BestRecord(winner.number, winner.values, self.best.to_yaml(), self.score),
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
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
    trainings = ask.trials + ask.leaders * ask.seeds
    found = conduct(Study("search", plan, trainings=trainings), runner)
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
    """Return the search as a plan: batches of trials, then the leaders on fresh seeds.

    Args:
        recipe: with at least one open setting.
        metric: the score, never ``auto``.
        context: digest of the data and of the model's source.
        rows: of the validation part, if known.
        allowance: see ``search``.
    """
    trials, notes = yield from _tried(recipe, metric, context, allowance)
    notes.extend(_failures(trials))
    best_trials = _best(trials, metric, recipe.search.leaders)
    leaders = yield from _measured_again(recipe, best_trials, metric, context, rows, allowance)
    winner = leaders[0]
    return SearchResult(
        recipe=recipe,
        metric=metric,
        trials=tuple(trials),
        leaders=tuple(leaders),
        best=recipe.resolve(winner.trial.values),
        score=winner.score,
        notes=tuple(notes),
    )


def _tried(
    recipe: Recipe, metric: str, context: str, allowance: Allowance | None
) -> Plan[tuple[list[Trial], list[str]]]:
    """Train the trials batch by batch; return them, and a note where they are fewer than asked for
    because the sampler has no more. They may end after any batch.
    """
    ask = recipe.search
    sampler = made(ask.sampler, SAMPLERS, BaseSampler, "search.sampler")
    proposer = Proposer(
        recipe.ranges(),
        sampler=sampler,
        seed=derive_seed(recipe.seed, "search", "sampler"),
        higher_is_better=metric_of(metric).higher_is_better,
    )
    # One seed for all trials: with the same initial weights and data order, trials differ by their
    # settings and by less luck. That a setting suits this one seed is what the fresh seeds of the
    # leaders are for.
    seed = derive_seed(recipe.seed, "search", "training")
    trials: list[Trial] = []
    while len(trials) < ask.trials:
        wanted = min(ask.batch, ask.trials - len(trials))
        allowed = _allowed(allowance, ask, len(trials), wanted)
        if allowed == 0:
            break
        proposals = proposer.propose(allowed)
        if not proposals:
            note = _ended_early(len(trials), ask, sampler, by_ranges=proposer.is_used_up)
            return trials, [note]
        resolved = [_resolved(recipe, proposal, sampler) for proposal in proposals]
        variants = [each.variant(seed, metric=metric, context=context) for each in resolved]
        outcomes = yield variants
        for proposal, variant, outcome in zip(proposals, variants, outcomes, strict=True):
            trials.append(Trial(proposal.number, proposal.values, variant, outcome))
        # The sampler learns of a whole batch at once: which of it ended first says nothing
        batch = trials[-len(proposals) :]
        proposer.learn({trial.number: trial.score for trial in batch})
        if allowed < wanted:
            break
    return trials, []


def _resolved(recipe: Recipe, proposal: Proposal, sampler: BaseSampler) -> Recipe:
    """Return the recipe with the settings of a proposal, whose sampler may be the user's own."""
    try:
        return recipe.resolve(proposal.values)
    except RecipeError as error:
        what = "; ".join(f"{p.setting}: {p.message}" for p in error.problems)
        message = f"{type(sampler).__name__} proposed what the recipe refuses: {what}"
        raise RecipeError(Problem("search.sampler", message)) from None


def _ended_early(number: int, ask: Search, sampler: BaseSampler, *, by_ranges: bool) -> str:
    """Return why a search ended before its trials were made."""
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
    """Return the ``n`` trials with the best scores, the earlier first among equals."""
    finished = [trial for trial in trials if math.isfinite(trial.score)]
    if not finished:
        reasons = _scores.reasons(trial.outcome for trial in trials)
        raise ModelError(f"all {len(trials)} trials failed: {reasons}")
    return sorted(finished, key=lambda trial: _rank(trial.score, metric))[:n]


def _allowed(allowance: Allowance | None, ask: Search, done: int, wanted: int) -> int:
    """Return how many trials of the next batch may be made, with time left for the leaders."""
    if allowance is None:
        return wanted
    # A search of one trial chooses nothing; later on, no further trial is an option too
    numbers = steps(wanted, min(2, wanted)) if done == 0 else [*steps(wanted, 1), 0]
    for_leaders = max(2, ask.leaders * ask.seeds // 2)
    options = []
    for n in numbers:
        more = n + for_leaders if n else 0
        options.append(Option(f"{done + n} trials", more=more))
    chosen = allowance.choose(trials_after(done), options, of=f"{ask.trials} trials")
    return numbers[chosen]


def _measured_again(
    recipe: Recipe,
    trials: Sequence[Trial],
    metric: str,
    context: str,
    rows: int | None,
    allowance: Allowance | None,
) -> Plan[list[Leader]]:
    """Train the best trials again on fresh seeds; return them as leaders, the best first."""
    seeds = _asking.fresh_seeds(recipe, "confirm", recipe.search.seeds)
    variants = [
        [
            recipe.resolve(trial.values).variant(seed, metric=metric, context=context)
            for seed in seeds
        ]
        for trial in trials
    ]
    if allowance is not None:
        variants = _within(allowance, variants)
    outcomes = yield [variant for of_trial in variants for variant in of_trial]
    leaders = []
    remaining = iter(outcomes)
    # Fewer lists of variants than trials where time is short: the last trials are left out
    for trial, of_trial in zip(trials, variants, strict=False):
        own = tuple(itertools.islice(remaining, len(of_trial)))
        score = _scores.score_interval(own, metric, rows)
        leaders.append(Leader(trial, tuple(of_trial), own, score))
    if all(leader.score.n == 0 for leader in leaders):
        raise ModelError(f"every leader failed on every fresh seed: {_scores.reasons(outcomes)}")
    # Settings that sometimes fail come after settings that never do: their mean is over the runs
    # that went well
    return sorted(leaders, key=lambda leader: (leader.score.lost, _rank(leader.score.mean, metric)))


def _within(allowance: Allowance, variants: list[list[Variant]]) -> list[list[Variant]]:
    """Return the variants of as many leaders, on as many seeds, as there is time for.

    Args:
        allowance: chooses.
        variants: of each trial, on each seed, the best trial first.
    """
    num_seeds = len(variants[0])
    sizes = [(n, m) for n in steps(len(variants), 1) for m in steps(num_seeds, 2)]
    # The most trainings first; of as many, rather more leaders than more seeds
    sizes.sort(key=lambda size: (size[0] * size[1], size[0]), reverse=True)
    options = []
    for n, m in sizes:
        leaders = "leader" if n == 1 else "leaders"
        asked = [variant for of_trial in variants[:n] for variant in of_trial[:m]]
        options.append(Option(f"{n} {leaders} on {m} fresh seeds", asked))
    n, m = sizes[allowance.choose(LEADERS, options)]
    return [of_trial[:m] for of_trial in variants[:n]]


def _rank(score: float, metric: str) -> float:
    """Return a key by which the best score sorts first, and NaN last."""
    if math.isnan(score):
        return math.inf
    return -score if metric_of(metric).higher_is_better else score


def _failures(trials: Sequence[Trial]) -> list[str]:
    """Return a note where trials failed, with the reasons."""
    failed = [trial.outcome for trial in trials if not trial.outcome.finished]
    if not failed:
        return []
    return [f"{len(failed)} of {len(trials)} trials failed: {_scores.reasons(failed)}"]


def _sampler_name(sampler: str | BaseSampler | Sampler) -> str:
    """Return what a document calls a sampler: its kind, or the import path of its class."""
    if isinstance(sampler, str):
        return sampler
    return sampler.use if isinstance(sampler, Sampler) else sampler.kind


def _trial_record(trial: Trial) -> TrialRecord:
    outcome = trial.outcome
    return TrialRecord(
        number=trial.number,
        status=outcome.status,
        score=trial.score if outcome.finished else None,
        reason=outcome.reason,
        seconds=outcome.seconds,
        epochs=outcome.epochs,
        values=trial.values,
    )


def _leader_record(leader: Leader) -> LeaderRecord:
    trial = leader.trial
    return LeaderRecord(trial.number, trial.values, tuple(leader.scores), leader.score)


def _cell(value: Any) -> bool | int | float | str | None:
    """Return a setting as a table can hold it: what is no plain value as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
