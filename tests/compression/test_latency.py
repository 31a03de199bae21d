"""Latency with a clock that the test turns, so that every figure is known beforehand."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable

import numpy as np
import pytest

from winnow.compression import Latency, LatencyTiming, measure_latency, speedup

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


class Clock:
    """Seconds that pass only when a contestant runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[tuple[str, int]] = []

    def __call__(self) -> float:
        return self.now

    def contestant(
        self, name: str, seconds: Callable[[int], float]
    ) -> Callable[[np.ndarray], None]:
        """Takes ``seconds(call number)``."""
        count = 0

        def call(batch: np.ndarray) -> None:
            nonlocal count
            self.log.append((name, len(batch)))
            self.now += seconds(count)
            count += 1

        return call


def timing(clock: Clock, **more: float) -> LatencyTiming:
    return LatencyTiming(
        **{"seconds": 1.0, "min_samples": 20, "min_rounds": 4, "warm_up": 3, "clock": clock, **more}
    )  # type: ignore[arg-type]


def test_median_and_p95_are_those_of_the_calls() -> None:
    clock = Clock()
    # one call fills a turn (4 ms or more); warm-up takes calls 0 to 2, then 3, 4, 5 ...
    calls = {"a": clock.contestant("a", lambda i: 0.004 + 0.001 * (i % 5))}

    found = measure_latency(calls, ROWS, timing=timing(clock, batch_sizes=(1,), seconds=0.3))["a"][
        1
    ]

    taken = np.array([4 + (i % 5) for i in range(3, 3 + found.samples)], dtype=float)
    assert found.samples >= 20
    assert found.median_ms == pytest.approx(np.median(taken))
    assert found.p95_ms == pytest.approx(np.quantile(taken, 0.95))
    assert found.record.to_dict() == {
        "median_ms": found.median_ms,
        "p95_ms": found.p95_ms,
        "samples": found.samples,
    }


def test_contestants_take_turns_and_the_order_is_reversed_each_round() -> None:
    clock = Clock()
    calls = {name: clock.contestant(name, lambda _: 0.004) for name in "abc"}

    measure_latency(calls, ROWS, timing=timing(clock, batch_sizes=(2,)))

    assert {size for _, size in clock.log} == {2}
    rounds = "".join(name for name, _ in clock.log[9:])  # after three calls each to warm up
    assert rounds.startswith("abccbaabccba")
    assert len(rounds) % 3 == 0


def test_quick_calls_fill_a_turn_and_its_first_call_does_not_count() -> None:
    clock = Clock()
    calls = {
        "a": clock.contestant("a", lambda _: 0.0005),
        "b": clock.contestant("b", lambda _: 0.004),
    }

    found = measure_latency(calls, ROWS, timing=timing(clock, batch_sizes=(1,)))

    rounds = len(found["b"][1].turns_ms)
    assert found["a"][1].samples == 4 * rounds  # 2 ms of 0.5 ms calls
    assert sum(name == "a" for name, _ in clock.log[6:]) == 5 * rounds
    assert len(found["a"][1].turns_ms) == rounds


def test_a_slow_model_is_bounded_by_time_and_a_quick_one_by_samples() -> None:
    clock = Clock()
    slow = measure_latency(
        {"a": clock.contestant("a", lambda _: 0.5)}, ROWS, timing=timing(clock, batch_sizes=(1,))
    )
    assert slow["a"][1].samples == 4  # min_rounds, though the second has passed

    clock = Clock()
    quick = measure_latency(
        {"a": clock.contestant("a", lambda _: 0.002)},
        ROWS,
        timing=timing(clock, batch_sizes=(1,), seconds=10),
    )
    # Enough samples, and half of the time
    assert quick["a"][1].samples * 0.002 == pytest.approx(5, rel=0.05)


def test_every_batch_size_is_measured_with_rows_repeated() -> None:
    clock, seen = Clock(), []

    def call(batch: np.ndarray) -> None:
        seen.append(batch.copy())
        clock.now += 0.01

    found = measure_latency(
        {"a": call}, ROWS, timing=timing(clock, batch_sizes=(1, 7), seconds=0.1)
    )

    assert found["a"].keys() == {1, 7}
    np.testing.assert_array_equal(seen[-1], ROWS[[0, 1, 2, 0, 1, 2, 0]])
    assert seen[-1].dtype == np.float32


def test_collection_of_garbage_is_put_off_and_put_back() -> None:
    clock, collecting = Clock(), []

    def call(_: np.ndarray) -> None:
        collecting.append(gc.isenabled())
        clock.now += 0.01

    measure_latency({"a": call}, ROWS, timing=timing(clock, seconds=0.1))
    assert not any(collecting)
    assert gc.isenabled()

    with pytest.raises(ZeroDivisionError):
        measure_latency({"a": lambda _: 1 / 0}, ROWS, timing=timing(clock))
    assert gc.isenabled()


def turns(values: np.ndarray) -> Latency:
    return Latency(1, 1, len(values), turns_ms=values)


def test_speedup_is_the_median_of_paired_ratios() -> None:
    # The machine slows down and recovers: both contestants feel it
    drift = np.array([1.0, 2.0, 4.0, 1.5, 1.0, 1.0, 8.0])

    found = speedup(turns(3 * drift), turns(drift))

    assert (found.mean, found.low, found.high, found.n) == pytest.approx((3, 3, 3, 7))
    disturbed = drift * np.array([1, 1, 1, 100, 1, 1, 1])
    assert speedup(turns(3 * drift), turns(disturbed)).mean == pytest.approx(3)


def test_the_interval_of_a_speedup_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [
        speedup(turns(2 * np.exp(rng.standard_t(2, 25))), turns(np.ones(25))) for _ in range(600)
    ]

    assert 0.93 <= np.mean([f.low <= 2 <= f.high for f in found]) <= 0.99


def test_few_turns_say_nothing_about_spread() -> None:
    found = speedup(turns(np.full(5, 2.0)), turns(np.ones(5)))

    assert (found.mean, found.low, found.high) == (2, 0, math.inf)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seconds": 0}, "`seconds` must be above 0, got 0"),
        ({"min_samples": 0}, "`min_samples` must be above 0, got 0"),
        ({"threads": -1}, "`threads` must be above 0, got -1"),
        ({"min_rounds": 0}, "`min_rounds` must be above 0, got 0"),
        ({"batch_sizes": ()}, "`batch_sizes` must be at least one size from 1"),
        ({"batch_sizes": (1, 0)}, "`batch_sizes` must be at least one size from 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatencyTiming(**wrong)  # type: ignore[arg-type]
