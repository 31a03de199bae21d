"""The short side-by-side run: what it tries, and when it has seen enough. Times are the test's
own.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from winnow.data import PreparedData, prepare
from winnow.methods import Batch
from winnow.recipe import Data, Model, Train, Variant
from winnow.training import _measure
from winnow.training._measure import FIRST, ROUNDS, StepTiming, measure, measure_compiled
from winnow.training._program import BaseProgram

DATA = Data(source="sklearn:iris")
VARIANT = Variant(
    data=DATA,
    model=Model("mlp", width=4, depth=1),
    train=Train(batch_size=32),
    metric="accuracy",
    seed=0,
)


@pytest.fixture(scope="module")
def rows() -> PreparedData:
    return prepare(DATA)


class Clock:
    """Time passes in steps only."""

    def __init__(self, cost: Callable[[int], float]) -> None:
        self.now, self.cost = 0.0, cost
        self.steps: list[int] = []
        self.shapes: set[tuple[int, ...]] = set()

    def perf_counter(self) -> float:
        return self.now

    thread_time = perf_counter

    def step(self, program: BaseProgram, batch: Batch, seeds: list[int]) -> None:
        x, y = batch.inputs, batch.targets
        assert (len(x), len(y)) == (program.num_members, len(seeds))
        assert torch.get_num_threads() == 1
        self.steps.append(program.num_members)
        self.shapes.add(tuple(x.shape[1:]))
        self.now += self.cost(program.num_members)


def run(
    rows: PreparedData,
    monkeypatch: pytest.MonkeyPatch,
    cost: Callable[[int], float],
    **how: int | float,
) -> tuple[Clock, StepTiming]:
    clock = Clock(cost)
    monkeypatch.setattr(_measure, "time", clock)
    monkeypatch.setattr(_measure, "dummy_step", clock.step)
    return clock, measure(VARIANT, rows, **how)  # type: ignore[arg-type]


def test_one_way_that_is_twice_as_slow_ends_it(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, timing = run(rows, monkeypatch, lambda n: 1e-3 if n == 1 else n * 1e-4, members=64)
    assert timing == StepTiming(pytest.approx(1e-4), pytest.approx(1e-3), FIRST)
    assert clock.steps.count(FIRST) == 2
    assert 64 not in clock.steps
    assert clock.shapes == {(32, 4)}


def test_where_it_is_close_a_fleet_of_the_real_size_tells(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, timing = run(
        rows, monkeypatch, lambda n: {1: 1e-4, FIRST: FIRST * 1e-4, 24: 24 * 0.7e-4}[n], members=24
    )
    assert timing == StepTiming(pytest.approx(0.7e-4), pytest.approx(1e-4), 24)
    assert clock.steps.count(24) == ROUNDS


def test_small_fleets_are_measured_as_they_are(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, timing = run(rows, monkeypatch, lambda n: n * 1e-4, members=3)
    assert timing.members == 3
    assert set(clock.steps) == {1, 3}


def test_big_models_take_two_steps(rows: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, timing = run(rows, monkeypatch, lambda n: float(n), members=64)
    assert clock.steps == [FIRST, *[1] * 4] * 2
    assert timing == StepTiming(1.0, 1.0, FIRST)


def test_the_quickest_step_counts(rows: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.5, *[0.1] * 4, 0.08, *[0.02] * 3, 0.01] + [0.3] * 100)
    _, timing = run(rows, monkeypatch, lambda _: next(times), members=FIRST, seconds=0.1)
    assert (timing.stacked_seconds, timing.alone_seconds) == (
        pytest.approx(0.08 / FIRST),
        pytest.approx(0.01),
    )


def test_real_steps_give_real_times(rows: PreparedData) -> None:
    before = torch.get_num_threads()
    timing = measure(VARIANT, rows, members=8)
    assert 0 < timing.stacked_seconds < 1
    assert 0 < timing.alone_seconds < 1
    assert torch.get_num_threads() == before


def test_a_compiled_step_is_made_and_timed(rows: PreparedData) -> None:
    fleet = [VARIANT.model_copy(update={"seed": i}) for i in range(4)]
    found = measure_compiled(fleet, rows, seconds=0.1)
    assert found is not None
    made, each = found
    assert 0 < each < made
    again = measure_compiled(fleet, rows, seconds=0.1)  # the program is there
    assert again is not None
    assert again[0] < made


def test_a_step_that_cannot_be_compiled_has_no_time(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch._inductor, "compile", fail)
    other = VARIANT.model_copy(update={"model": Model("mlp", width=5, depth=1)})
    with pytest.warns(RuntimeWarning, match="cannot be compiled: no compiler"):
        assert measure_compiled([other, other.model_copy(update={"seed": 1})], rows) is None
