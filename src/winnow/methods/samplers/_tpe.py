"""The tree-structured Parzen estimator."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from winnow.methods.samplers._base import BaseSampler, TriedSettings
from winnow.spec import Choice, Integer, Log, OpenSetting, Range

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

__all__ = ["TPE"]


class TPE(BaseSampler):
    """Settings are drawn where good trials are dense and bad ones are not.

    The first ten are random.
    """

    title: ClassVar[str] = "TPE"

    kind: Literal["tpe"] = "tpe"

    def propose(
        self,
        n: int,
        *,
        space: Mapping[str, OpenSetting],
        tried: Sequence[TriedSettings],
        seed: int,
        start: int,
    ) -> list[dict[str, Any]]:
        """Return the next ``n`` proposals of Optuna's sampler; see ``BaseSampler.propose``.

        Source: Bergstra et al. 2011, in the variant of ``optuna.samplers.TPESampler``; settings
        under a choice are drawn together, in groups.
        """
        import optuna

        conditional = any(setting.condition for setting in space.values())
        # Other proposals need another seed, and the same ones the same.
        sampler = _sampler((seed + start) % 2**32, conditional=conditional)
        with _quiet():
            study = optuna.create_study(study_name="winnow", sampler=sampler, direction="maximize")
        study.add_trials([_trial(space, one) for one in tried])
        return [_suggest(study.ask(), space) for _ in range(n)]


def _sampler(seed: int, *, conditional: bool) -> optuna.samplers.TPESampler:
    import optuna

    with warnings.catch_warnings():
        # Without `group`, settings that stand under a choice would be sampled one by one, blind to
        # each other.
        warnings.filterwarnings(
            "ignore", message="Argument ``group``", category=optuna.exceptions.ExperimentalWarning
        )
        return optuna.samplers.TPESampler(seed=seed, group=conditional)


def _suggest(trial: optuna.Trial, space: Mapping[str, OpenSetting]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path, setting in space.items():
        if not setting.applies(values):
            continue
        over = setting.range
        if isinstance(over, Choice):
            position = trial.suggest_categorical(path, tuple(range(len(over.options))))
            values[path] = over.labels[position]
        elif isinstance(over, Integer):
            values[path] = trial.suggest_int(path, over.low, over.high)
        else:
            is_log = isinstance(over, Log)
            values[path] = trial.suggest_float(path, over.low, over.high, log=is_log)
    return values


def _trial(space: Mapping[str, OpenSetting], one: TriedSettings) -> optuna.trial.FrozenTrial:
    """Return what was tried, as a trial of Optuna's."""
    import optuna

    ranges = {path: space[path].range for path in one.values}
    # Positions, not labels: Optuna takes 1, 1.0 and True for the same category, and has no tuples.
    params = {
        path: over.position(one.values[path]) if isinstance(over, Choice) else one.values[path]
        for path, over in ranges.items()
    }
    distributions = {path: _distribution(over) for path, over in ranges.items()}
    if math.isfinite(one.score):
        return optuna.create_trial(params=params, distributions=distributions, value=one.score)
    # TPE forgets a FAIL and would go there again; it counts what was pruned at once among the bad.
    pruned = optuna.trial.TrialState.PRUNED
    return optuna.create_trial(params=params, distributions=distributions, state=pruned)


def _distribution(over: Range) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(over, Choice):
        return CategoricalDistribution(tuple(range(len(over.options))))
    if isinstance(over, Integer):
        return IntDistribution(over.low, over.high)
    return FloatDistribution(over.low, over.high, log=isinstance(over, Log))


@contextmanager
def _quiet() -> Iterator[None]:
    """No message about a new study; the verbosity is the user's again afterwards."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
