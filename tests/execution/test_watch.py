"""The time left of a batch of trainings."""

from __future__ import annotations

import math

import pytest

from winnow.execution import Event, _runner
from winnow.execution._runner import _Watch
from winnow.recipe import Data, Model, Outcome, Recipe
from winnow.training import EpochReport


def test_early_stopping_of_those_that_finished_shortens_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe(data=Data(source="sklearn:iris"), model=Model("mlp"))
    variants = [recipe.variant(seed, metric="accuracy", context="") for seed in range(10)]
    events: list[Event] = []
    now = 100.0
    monkeypatch.setattr(_runner.time, "perf_counter", lambda: now)
    watch = _Watch("search", events.append, variants, {}, {v.id: 1000 for v in variants})

    now = 110.0  # the first has taken 100 steps in ten seconds
    watch.epoch(EpochReport(variants[0].id, 1, 100, 100, 10.0, math.nan))
    # Nobody has stopped early yet
    assert events[-1].seconds_left == pytest.approx((10_000 - 100) / 10)
    watch.finished([Outcome(variants[0].id, "finished", score=0.5, steps=100)])

    # The others should stop as early: not 900 s but 90
    assert events[-1].seconds_left == pytest.approx(9 * 100 / 10)
