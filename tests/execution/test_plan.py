"""How fleets are sized, how a training goes on without memory, and when compiling is chosen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from winnow.data import PreparedData, prepare
from winnow.execution import Planner, Runner, Workspace, _capacity, _fleets, _model_costs, _plan
from winnow.execution._failures import train_in_halves
from winnow.execution._machine import free_bytes
from winnow.execution._threads import _Room
from winnow.methods import SGD
from winnow.recipe import Data, EarlyStopping, Model, Outcome, Train, Variant
from winnow.study import Plan, Study, conduct
from winnow.training import (
    MemberResult,
    OutOfMemory,
    StepTiming,
    _driver,
    _memory,
    fleet_kind,
    recall,
    remember,
    train_fleet,
)
from winnow.training._program import SoloProgram
from winnow.training._stacked import StackedProgram

DATA = Data(source="sklearn:iris")
MODEL = Model("mlp", width=8, depth=1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def rows() -> PreparedData:
    return prepare(DATA)


@pytest.fixture
def planner(rows: PreparedData, monkeypatch: pytest.MonkeyPatch) -> Planner:
    for module in (_plan, _fleets, _capacity):
        monkeypatch.setattr(module, "cores", lambda: 2)
    # As where the compiler fails
    monkeypatch.setattr(_model_costs, "measure_compiled", lambda *_: None)
    return Planner(lambda _: rows)


def variants(n: int, **train: Any) -> list[Variant]:
    settings = Train(**{"epochs": 3, "batch_size": 16, **train})
    return [
        Variant(data=DATA, model=MODEL, train=settings, metric="accuracy", seed=i) for i in range(n)
    ]


def free(monkeypatch: pytest.MonkeyPatch, nbytes: float) -> None:
    for module in (_capacity, _model_costs):
        monkeypatch.setattr(module, "free_bytes", lambda: int(nbytes))


# -- memory ----------------------------------------------------------------------------------------


def test_fleets_that_train_at_once_share_the_memory(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 2**40)
    (large, _) = planner.plan(variants(32, epochs=1))
    free(monkeypatch, 2 * large.peak_bytes / _capacity.MEMORY_SHARE)
    assert [len(f.positions) for f in planner.plan(variants(32, epochs=1))] == [16, 16]
    free(monkeypatch, large.peak_bytes / _capacity.MEMORY_SHARE)
    halved = planner.plan(variants(32, epochs=1))
    assert all(2 * f.peak_bytes <= large.peak_bytes for f in halved)
    assert sorted(p for f in halved for p in f.positions) == list(range(32))
    assert "fit the free memory" in halved[0].reason


def test_fewer_fleets_train_at_once_before_they_hold_one_member(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 2**40)
    (two,) = planner.plan(variants(2, epochs=1))
    free(monkeypatch, 1.1 * two.peak_bytes / _capacity.MEMORY_SHARE)
    fleets = planner.plan(variants(8, epochs=1))
    assert {(f.how, len(f.positions), f.at_once) for f in fleets} == {("stacked", 2, 1)}


def test_what_does_not_fit_in_twos_trains_one_by_one(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1000)
    (fleet,) = planner.plan(variants(4, epochs=1))
    assert (fleet.how, fleet.at_once) == ("process", 1)
    assert fleet.reason == "two do not fit the free memory"


def test_a_step_that_cannot_fit_is_not_tried(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    step = _memory.dummy_step
    monkeypatch.setattr(_memory, "dummy_step", lambda *args: taken.append(1) or step(*args))
    asked = variants(2, batch_size=90)
    # What the first layer gives for all rows; the rest does not fit
    free(monkeypatch, 90 * 2 * 8 * 4)
    (fleet,) = planner.plan(asked)
    assert (fleet.how, fleet.peak_bytes, taken) == ("process", 0, [])
    free(monkeypatch, 2**30)
    (fleet,) = planner.plan(asked)
    assert fleet.how == "stacked"
    assert taken == [1]


def test_early_stopping_takes_room_for_a_smaller_stack(planner: Planner) -> None:
    (plain,) = planner.plan(variants(4, epochs=1))
    (stopping,) = planner.plan(variants(4, epochs=1, early_stopping=EarlyStopping(patience=1)))
    assert stopping.peak_bytes >= plain.peak_bytes


def test_a_fleet_waits_for_room_unless_it_is_the_only_one() -> None:
    room, inside, most = _Room(100), [], []

    def work(nbytes: int) -> None:
        with room.taken(nbytes):
            inside.append(nbytes)
            most.append(sum(inside))
            time.sleep(0.01)
            inside.remove(nbytes)

    threads = [threading.Thread(target=work, args=(n,)) for n in (60, 60, 40, 30, 500, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == 6
    assert max(n for n in most if n < 500) <= 100
    assert [n for n in most if n >= 500] == [500]


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = "MemTotal:       64000 kB\nMemFree:        1 kB\nMemAvailable:   50000 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/meminfo": MEMINFO}, 50000 * 1024),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "5\n",
                "sys/fs/cgroup/a/memory.max": "9000000\n",
                "sys/fs/cgroup/a/memory.current": "4000000\n",
                "sys/fs/cgroup/a/memory.stat": "anon 3\ninactive_file 1000000\n",
            },
            6000000,
        ),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "900\n",
                "sys/fs/cgroup/memory.current": "1000\n",
            },
            0,
        ),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "8:cpu:/x\n4:memory,other:/not/visible\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1500000\n",
                "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 250000\n",
            },
            750000,
        ),
        ({}, 4 * 2**30),
    ],
)
def test_limits_of_a_container_count(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert free_bytes(tree(tmp_path, files)) == expected


def test_this_machine_has_memory() -> None:
    assert 2**20 < free_bytes() < 2**50


# -- out of memory ---------------------------------------------------------------------------------

ERRORS: dict[str, Callable[[], Exception]] = {
    "device": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "python": MemoryError,
}


def too_large(
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    error: Callable[[], Exception],
    *,
    from_step: int = 0,
) -> list[int]:
    """Steps of more than ``most`` members fail; the sizes of fleets that were tried."""
    tried: list[int] = []
    step = StackedProgram.step

    def limited(self: StackedProgram, *args: Any) -> Tensor:
        tried.append(self.num_members)
        if self.num_members > most and self.steps >= from_step:
            raise error()
        return step(self, *args)

    monkeypatch.setattr(StackedProgram, "step", limited)
    return tried


def same(a: Outcome, b: Outcome) -> bool:
    return a.variant_id == b.variant_id and np.allclose(
        a.curves["train_loss"], b.curves["train_loss"], rtol=1e-10
    )


@pytest.mark.parametrize("error", ERRORS)
def test_a_fleet_that_does_not_fit_goes_on_in_halves(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = variants(7, precision="float64", dropout=0.2)
    undisturbed = Runner(Workspace.open(tmp_path / "a")).train(asked)
    tried = too_large(monkeypatch, 2, ERRORS[error], from_step=8)  # in the second epoch
    runner = Runner(Workspace.open(tmp_path / "b"), checkpoint_seconds=0.0)
    outcomes = runner.train(asked)
    assert all(map(same, undisturbed, outcomes))
    assert max(tried) == 7
    assert {o.fleet for o in outcomes} == {"stacked x 2", "stacked x 1"}
    assert not list(tmp_path.glob("b/checkpoints/*"))


def test_pytorch_s_own_error_on_a_cpu_is_understood(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(self: SoloProgram, *_: Any) -> Tensor:
        return torch.empty(2**50)

    monkeypatch.setattr(SoloProgram, "step", greedy)
    with pytest.raises(OutOfMemory, match=r"out of memory .*can't allocate memory"):
        train_fleet(variants(1), rows)


def test_other_errors_are_not_taken_for_it(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_large(monkeypatch, 0, lambda: RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        train_fleet(variants(3), rows)


def test_one_that_does_not_fit_by_itself_fails_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        *variants(4),
        Variant(
            data=DATA, model=Model("mlp", width=9), train=Train(epochs=1), metric="accuracy", seed=0
        ),
    ]
    runner = Runner(Workspace.open(tmp_path / "run"))
    plan = runner._planner.plan(asked)
    monkeypatch.setattr(runner._planner, "plan", lambda *_, **__: plan)
    for kind in (SoloProgram, StackedProgram):

        def limited(self: Any, *args: Any, step: Any = kind.step) -> Tensor:
            if sum(piece.params.numel() for piece in self.groups) > 100 * self.num_members:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return step(self, *args)

        monkeypatch.setattr(kind, "step", limited)
    outcomes = runner.train(asked)
    assert [o.status for o in outcomes] == ["finished"] * 4 + ["failed"]
    assert outcomes[4].reason == "does not fit by itself: out of memory (CUDA out of memory)"


class Hungry(nn.Module):
    """Control flow on values, so that it trains in processes; one kind takes more memory than
    there is.
    """

    def __init__(self, hungry: bool) -> None:
        super().__init__()
        self.hungry, self.a = hungry, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.hungry and len(x) == 16:
            torch.empty(2**50)
        return self.a(x) if self.a(x).sum() > 0 else -self.a(x)


def test_a_worker_that_runs_out_of_memory_fails_its_variant_only(tmp_path: Path) -> None:
    models = [
        Model("tests.execution.test_plan:Hungry", hungry=hungry)
        for hungry in (True, True, False, False)
    ]
    asked = [
        v.model_copy(update={"model": m})
        for v, m in zip(variants(4, epochs=1), models, strict=True)
    ]
    outcomes = Runner(Workspace.open(tmp_path / "run")).train(asked)
    assert [(o.status, o.fleet) for o in outcomes] == [("failed", "process")] * 2 + [
        ("finished", "process")
    ] * 2
    assert "does not fit by itself: out of memory (" in (outcomes[0].reason or "")


def test_members_that_had_left_keep_their_results(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        v.model_copy(
            update={"train": v.train.model_copy(update={"epochs": 1 if v.seed == 2 else 3})}
        )
        for v in variants(5)
    ]
    whole = train_fleet(asked, rows)
    starts: list[list[int]] = []
    begin = _driver.build_members

    def begun(members: list[Variant], prepared: PreparedData) -> Any:
        starts.append([v.seed for v in members])
        return begin(members, prepared)

    monkeypatch.setattr(_driver, "build_members", begun)
    too_large(monkeypatch, 2, ERRORS["device"], from_step=8)
    groups = list(
        train_in_halves(
            asked,
            lambda some, stacked, _: train_fleet(some, rows, stacked=stacked),
            stacked=True,
            on_epoch=lambda _: None,
        )
    )
    found: dict[int, MemberResult] = {one.variant.seed: one for group in groups for one in group}
    assert starts == [[0, 1, 2, 3, 4], [0, 1], [3, 4]]
    assert sorted(found) == [0, 1, 2, 3, 4]
    for one in whole:
        np.testing.assert_allclose(
            one.outcome.curves["train_loss"],
            found[one.variant.seed].outcome.curves["train_loss"],
            rtol=1e-5,
        )


# -- what is fastest -------------------------------------------------------------------------------


def timed(monkeypatch: pytest.MonkeyPatch, stacked: float, alone: float) -> list[int]:
    asked: list[int] = []

    def measure(*_: Any, members: int, **__: Any) -> StepTiming:
        asked.append(members)
        return StepTiming(stacked, alone, members)

    monkeypatch.setattr(_model_costs, "measure", measure)
    return asked


STEPS = 300 * 5  # of one member: 90 rows in batches of 16, the last one dropped


def test_little_training_is_not_measured(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = timed(monkeypatch, 1.0, 1.0)
    (fleet,) = planner.plan(variants(8, epochs=10))
    assert (fleet.how, asked) == ("stacked", [])
    assert "too few to measure" in fleet.reason


@pytest.mark.parametrize(("alone", "how"), [(0.90, "process"), (0.96, "stacked"), (2.0, "stacked")])
def test_a_stack_must_be_as_fast_as_processes(
    planner: Planner, monkeypatch: pytest.MonkeyPatch, alone: float, how: str
) -> None:
    asked = timed(monkeypatch, 1.0, alone)
    fleets = planner.plan(variants(16, epochs=300))
    assert {f.how for f in fleets} == {how}
    assert asked == [8]
    assert (
        f"measured 1000000 us a member-step stacked and {alone * 1e6:.0f} us alone"
        in fleets[0].reason
    )


def test_starting_processes_counts(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    # 24,000 steps on two cores: 1.2 s stacked, 0.6 s and the start otherwise
    timed(monkeypatch, 1e-4, 0.5e-4)
    assert {f.how for f in planner.plan(variants(16, epochs=300))} == {"stacked"}


def test_a_model_that_only_trains_here_is_not_put_in_a_row(
    rows: PreparedData, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One after another on one core they would take longer than stacks on two
    timed(monkeypatch, 1.0, 0.8)
    here = Model(
        type(
            "Here",
            (torch.nn.Linear,),
            {"__init__": lambda self: torch.nn.Linear.__init__(self, 4, 3)},
        )
    )
    asked = [v.model_copy(update={"model": here}) for v in variants(16, epochs=300)]
    assert {f.how for f in planner.plan(asked)} == {"stacked"}


def compiles(monkeypatch: pytest.MonkeyPatch, member_step: float, cost: float = 8.0) -> list[int]:
    tried: list[int] = []

    def measure_compiled(fleet: list[Variant], _: PreparedData) -> tuple[float, float]:
        tried.append(len(fleet))
        return cost, member_step

    monkeypatch.setattr(_model_costs, "measure_compiled", measure_compiled)
    return tried


def test_compiling_is_tried_when_it_should_win_its_time_back(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_in_a_step = (1 - _model_costs.COMPILED_FACTOR) / 2  # of a step's time; on two cores
    stacked = 0.9 * _model_costs.COMPILE_SECONDS / (16 * STEPS * saved_in_a_step)
    timed(monkeypatch, stacked, 1.0)
    tried = compiles(monkeypatch, 0.25 * stacked)
    fleets = planner.plan(variants(16, epochs=300))
    assert not any(f.compiled for f in fleets)
    assert (
        "not compiled: compiling takes about 12 s and would save 11 s, by experience"
        in fleets[0].reason
    )
    assert tried == []
    # two more trainings of the study's, and it pays; from then on the program is there
    (one, _) = planner.plan(variants(16, epochs=300), ahead=2)
    assert one.compiled
    assert f"{0.25 * stacked * 1e6:.0f} us compiled" in one.reason
    assert all(f.compiled for f in planner.plan(variants(16, epochs=300)))
    assert tried == [8]


def test_what_the_compiled_program_takes_decides(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.0, 0.8)  # compiled it may well be faster than processes
    tried = compiles(monkeypatch, 0.9)
    assert {(f.how, f.compiled) for f in planner.plan(variants(16, epochs=300))} == {
        ("process", False)
    }
    assert tried == [8]


def test_a_stack_that_is_only_fast_when_compiled_is_compiled(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.0, 0.8)
    compiles(monkeypatch, 0.4)
    assert {(f.how, f.compiled) for f in planner.plan(variants(16, epochs=300))} == {
        ("stacked", True)
    }


def test_a_plan_that_is_only_shown_compiles_nothing(
    rows: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.0, 2.0)
    tried = compiles(monkeypatch, 0.4)
    fleets = Planner(lambda _: rows, tries_compiling=False).plan(variants(16, epochs=300))
    assert all(f.compiled for f in fleets)
    assert "compiled: compiling takes about 12 s and would save" in fleets[0].reason
    assert tried == []


def test_what_earlier_runs_measured_decides(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 10 * _model_costs.COMPILE_SECONDS / (16 * STEPS * 0.2)
    timed(monkeypatch, seconds, 2 * seconds)
    tried = compiles(monkeypatch, 0.5 * seconds)
    kind = fleet_kind(planner.key(variants(1)[0]))
    remember(kind, compile_seconds=4.0, compiled_seconds=0.999 * seconds)
    assert not any(f.compiled for f in planner.plan(variants(16, epochs=300)))
    assert tried == []
    remember(kind, compiled_seconds=0.7 * seconds)
    assert all(f.compiled for f in planner.plan(variants(16, epochs=300)))
    known = recall(kind)
    assert (known.compile_seconds, known.compiled_seconds) == (
        _model_costs.COMPILED_BEFORE_SECONDS,
        0.5 * seconds,
    )


def test_what_is_measured_here_is_kept_for_later_runs(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 0.25e-3, 1e-3)
    planner.plan(variants(16, epochs=300))
    assert recall(fleet_kind(planner.key(variants(1)[0]))).plain_seconds == 0.25e-3


def wide(count: int, **train: Any) -> list[Variant]:
    return [
        v.model_copy(update={"model": Model("mlp", width=12, depth=1)})
        for v in variants(count, **train)
    ]


@pytest.mark.parametrize(
    ("alone", "compiled", "way"),
    [(2.0, 1.5, "stacked"), (0.3, 1.5, "apart"), (2.0, 0.4, "compiled")],
    ids=str,
)
def test_all_of_a_study_train_in_the_way_of_its_largest_group(
    alone: float, compiled: float, way: str, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = timed(monkeypatch, 1.0, alone)
    compiles(monkeypatch, compiled)
    plan = planner.plan([*wide(1, epochs=300), *variants(16, epochs=300)])
    assert planner.way == way
    assert {(f.how in ("alone", "process"), f.compiled) for f in plan} == {
        (way == "apart", way == "compiled")
    }
    assert len(asked) == 1  # nothing else is measured
    # and what it asks for later, in another process perhaps, where a measurement would say
    # otherwise
    later = Planner(planner._prepared)
    asked = timed(monkeypatch, 1.0, 3.0 - alone)
    plan = later.plan([*wide(2, epochs=300), *variants(16, epochs=300)], way=planner.way)
    assert {(f.how in ("alone", "process"), f.compiled) for f in plan} == {
        (way == "apart", way == "compiled")
    }
    assert (later.way, asked) == (way, [])


def test_compiling_pays_for_the_programs_of_all_groups(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_in_a_step = (1 - _model_costs.COMPILED_FACTOR) / 2
    # One program pays for all, two do not
    stacked = 1.5 * _model_costs.COMPILE_SECONDS / (32 * STEPS * saved_in_a_step)
    timed(monkeypatch, stacked, 1.0)
    tried = compiles(monkeypatch, 0.25 * stacked)
    planner.plan([*variants(16, epochs=300), *wide(16, epochs=300)])
    assert (planner.way, tried) == ("stacked", [])
    planner.plan(variants(32, epochs=300))
    assert planner.way == "compiled"


def test_a_run_that_goes_on_trains_a_study_as_it_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace.open(tmp_path / "run") as workspace:
        Runner(workspace).train(variants(2, epochs=1), study="ablate")
        facts = workspace.ledger.get_document("ways")
        assert facts is not None
        assert (facts["ablate"]["way"], facts["ablate"]["device"]) == ("stacked", "cpu")
        workspace.ledger.put_document("ways", {"ablate": {"way": "apart"}})
        runner = Runner(workspace)
        outcomes = runner.train(variants(4, epochs=1)[2:], study="ablate")
        assert {o.fleet for o in outcomes} == {"process"}
        # another study decides for itself
        assert {o.fleet for o in runner.train(variants(6, epochs=1)[4:], study="search")} == {
            "stacked x 2"
        }


def test_the_planner_hears_how_much_a_study_will_still_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(Workspace.open(tmp_path / "run"))
    told: list[int] = []
    plan = runner._planner.plan

    def listen(asked: list[Variant], *, ahead: int, way: Any) -> Any:
        told.append(ahead)
        return plan(asked, ahead=ahead, way=way)

    monkeypatch.setattr(runner._planner, "plan", listen)

    def ask() -> Plan[int]:
        yield variants(3, epochs=1)
        yield variants(5, epochs=1, optimizer=SGD(lr=0.2))
        return 0

    conduct(Study("test", ask(), trainings=9), runner)
    assert told == [6, 1]


def test_a_gpu_takes_one_large_fleet_after_the_other(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (_plan, _capacity):
        monkeypatch.setattr(module, "on_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**36, 2**37))
    (fleet,) = planner.plan(variants(96, epochs=300))
    assert (fleet.how, len(fleet.positions), fleet.compiled, fleet.at_once) == (
        "stacked",
        96,
        True,
        1,
    )
    assert "CUDA graph" in fleet.reason
    (two, *_) = planner.plan(variants(2, epochs=1))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(40 * two.peak_bytes), 2**37))
    fleets = planner.plan(variants(96, epochs=300))
    assert len(fleets) > 1
    assert all(f.peak_bytes <= _capacity.GPU_MEMORY_SHARE * 40 * two.peak_bytes for f in fleets)
