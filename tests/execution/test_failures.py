"""Failures of one variant, and of the environment: what they leave on record, and what they leave
alone.

The oracle is the training of those without a fault, by themselves.
"""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from winnow.errors import DataError, ModelError, WorkspaceError
from winnow.execution import Event, Runner, Workspace, _runner, _threads
from winnow.execution._failures import cause_of
from winnow.methods import SGD
from winnow.recipe import Data, Model, Recipe, Search, Train, Uniform, Variant
from winnow.study import search
from winnow.training import MemberResult, train_fleet

from .failing import asked

DATA = Data.arrays(
    np.random.default_rng(0).normal(size=(75, 4)), np.arange(75) % 3, task="classification"
)
ROWS = 45  # of the training part: batches of 22 leave one row
BROKEN, SOUND = {"batch_size": 22, "drop_last": False}, {"batch_size": 15}


class Normed(nn.Module):
    """Batch norm refuses a batch of one row in training."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.norm(self.a(x)).relu())


class Unstackable(Normed):
    """Control flow on values: trains by itself."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if y.sum() > 0 else y * 1.0


class Factored(nn.Module):
    """Factors a matrix of its weights, which a high learning rate makes indefinite: fails on
    the values of one member.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.shift = nn.Linear(4, 3), nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        matrix = torch.eye(2) * (1.0 + self.shift)
        return self.a(x) * torch.linalg.cholesky(matrix)[0, 0]


class RefusalError(nn.Module):
    """Fails where the environment does.

    Args:
        place: a file; while it is there, the disk is full.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place, self.a = place, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 15 and Path(self.place).exists():
            with Path(self.place).open("a") as file:
                file.write("tried\n")
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.a(x)


def variant(seed: int, model: type[nn.Module] | Model = Normed, **train: Any) -> Variant:
    built = model if isinstance(model, Model) else Model(model)
    return Variant(
        data=DATA, model=built, train=Train(**{"epochs": 2, **train}), metric="log_loss", seed=seed
    )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(Workspace.open(tmp_path / "run"))


def bits(outcomes: list[Any]) -> list[Any]:
    return [(o.status, o.score, o.curves) for o in outcomes]


@pytest.mark.parametrize(
    ("model", "how", "count"),
    [(Normed, "stacked", 3), (Normed, "alone", 1), (Unstackable, "process", 2)],
    ids=["stacked", "alone", "process"],
)
def test_an_exception_is_the_failed_outcome_of_its_variant(
    model: type[nn.Module], how: str, count: int, runner: Runner
) -> None:
    broken = [variant(i, model, **BROKEN) for i in range(count)]
    sound = [variant(i, model, **SOUND) for i in range(count)]
    outcomes = runner.train([*broken, *sound])
    assert [f.how for f in runner.fleets] == [how] * 2
    assert [o.status for o in outcomes] == ["failed"] * count + ["finished"] * count
    reason = outcomes[0].reason or ""
    assert "ValueError: Expected more than 1 value per channel when training" in reason
    assert "(test_failures.py, line" in reason
    assert "set train.drop_last to true" in reason
    assert {o.cause for o in outcomes[:count]} == {"variant"}
    assert bits(outcomes[count:]) == bits(runner.train(sound))
    # a fact: it is not trained again
    before = len(runner.fleets)
    assert [o.reason for o in Runner(runner.workspace).train(broken)] == [
        o.reason for o in outcomes[:count]
    ]
    assert len(runner.fleets) == before


def test_a_compiled_fleet_that_raises_is_taken_apart(runner: Runner) -> None:
    rows = runner.prepared(DATA)
    members = [variant(i, **BROKEN) for i in range(3)]
    fleet = _threads.Fleet(members, rows, compiled=True)
    found = [one for part in fleet.train(stacked=True, on_epoch=lambda _: None) for one in part]
    assert [one.variant for one in found] == members
    assert all("Expected more than 1 value" in (one.outcome.reason or "") for one in found)


def test_the_member_at_fault_is_found_and_the_others_keep_their_bits(runner: Runner) -> None:
    rates = [0.01, 0.02, 1e4, 0.03, 0.01]
    members = [
        variant(i, Factored, optimizer=SGD(lr=lr, momentum=0.0), **SOUND)
        for i, lr in enumerate(rates)
    ]
    rows = runner.prepared(DATA)
    expected = train_fleet([v for i, v in enumerate(members) if i != 2], rows)
    outcomes = runner.train(members)
    assert [f.how for f in runner.fleets] == ["stacked"]
    assert [o.status for o in outcomes] == [
        "finished",
        "finished",
        "failed",
        "finished",
        "finished",
    ]
    assert "LinAlgError: linalg.cholesky" in (outcomes[2].reason or "")
    assert bits([o for i, o in enumerate(outcomes) if i != 2]) == bits(
        [one.outcome for one in expected]
    )


def test_a_fault_of_the_stacked_program_is_nobodys(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(variants: Any, *args: Any, stacked: bool, **settings: Any) -> list[MemberResult]:
        if stacked:
            raise RuntimeError("the stack fell over")
        return train_fleet(variants, *args, stacked=stacked, **settings)

    monkeypatch.setattr(_threads, "train_fleet", train)
    outcomes = runner.train([variant(i, **SOUND) for i in range(3)])
    assert [(o.status, o.fleet) for o in outcomes] == [("finished", "alone")] * 3


def test_a_search_whose_trials_all_fail_says_so_once(runner: Runner) -> None:
    recipe = Recipe(
        data=DATA,
        model=Model(Normed),
        train=Train(epochs=1, optimizer=SGD(lr=Uniform(0.01, 0.1)), **BROKEN),
        search=Search(trials=4, batch=4),
    )
    with pytest.raises(
        ModelError,
        match=r"all 4 trials failed: training it raised ValueError: Expected more than 1 value",
    ):
        search(recipe, runner=runner)


@pytest.mark.parametrize(
    "error", [WorkspaceError("no room"), DataError("no rows"), KeyboardInterrupt()]
)
def test_what_concerns_all_ends_the_run(
    error: BaseException, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any, **__: Any) -> list[MemberResult]:
        raise error

    monkeypatch.setattr(_threads, "train_fleet", train)
    for asked_for in ([variant(0, **SOUND), variant(1, **SOUND)], [variant(2, **SOUND)]):
        with pytest.raises(type(error)):
            runner.train(asked_for)


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_the_callback_is_no_variants(count: int, tmp_path: Path) -> None:
    def progress(event: Event) -> None:
        if event.member_steps_per_second is not None:
            raise ValueError("of the caller")

    workspace = Workspace.open(tmp_path / "run")
    members = [variant(i, **SOUND) for i in range(count)]
    with pytest.raises(ValueError, match="of the caller"):
        Runner(workspace, progress=progress).train(members)
    assert workspace.ledger.outcomes([v.id for v in members]) == {}


@pytest.mark.parametrize("count", [1, 2])
def test_failures_of_the_environment_are_tried_again_in_the_next_run(
    count: int, tmp_path: Path
) -> None:
    place = tmp_path / "full"
    place.touch()
    model = Model(RefusalError, place=str(place))
    workspace = Workspace.open(tmp_path / "run")
    members = [variant(i, model, **SOUND) for i in range(count)]
    first = Runner(workspace)
    outcomes = first.train(members)
    assert {(o.status, o.cause) for o in outcomes} == {("failed", "environment")}
    assert "OSError: [Errno 28] No space left on device" in (outcomes[0].reason or "")
    tries = place.read_text()
    # Not over and over in one run
    assert [o.reason for o in first.train(members)] == [o.reason for o in outcomes]
    assert place.read_text() == tries
    place.unlink()
    again = Runner(workspace).train(members)
    assert {(o.status, o.cause, o.reason) for o in again} == {("finished", None, None)}
    on_record = workspace.ledger.outcomes([v.id for v in members])
    assert [o.finished for o in on_record.values()] == [True] * count


EDITED = """
import torch
from edited_helper import WIDTH

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(4, WIDTH), torch.nn.Linear(WIDTH, 3)

    def forward(self, x):
        y = self.b(self.a(x))
        return y if y.sum() > 0 else y * 1.0
"""


def test_a_worker_that_loads_other_code_refuses(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "edited_model.py").write_text(EDITED)
    (tmp_path / "edited_helper.py").write_text("WIDTH = 5\n")
    members = [variant(i, Model("edited_model:Net"), **SOUND) for i in range(2)]
    assert [o.fleet for o in runner.train(members)] == ["process"] * 2

    (tmp_path / "edited_helper.py").write_text("WIDTH = 6 + 1\n")
    outcomes = runner.train([variant(i, Model("edited_model:Net"), **SOUND) for i in (2, 3)])
    assert {(o.status, o.cause) for o in outcomes} == {("failed", "environment")}
    assert "loaded other code of 'edited_model:Net' than this run began with" in (
        outcomes[0].reason or ""
    )

    (tmp_path / "edited_model.py").unlink()
    (outcome, _) = runner.train([variant(i, Model("edited_model:Net"), **SOUND) for i in (4, 5)])
    assert (outcome.status, outcome.cause) == ("failed", "environment")
    assert "its worker process cannot load the model: model.use: cannot import 'edited_model'" in (
        outcome.reason or ""
    )


def test_whose_failure_an_exception_is() -> None:
    environment = [
        MemoryError(),
        OSError(28, "full"),
        ImportError("no module"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ]
    assert [cause_of(e) for e in environment] == ["environment"] * 4
    assert (
        cause_of(RuntimeError("CUDA error: an illegal memory access was encountered"))
        == "environment"
    )
    assert [
        cause_of(e) for e in (ValueError("one row"), RuntimeError("shapes"), ModelError("no"))
    ] == ["variant"] * 3


@pytest.mark.parametrize("how", ["threads", "processes"])
def test_what_ends_first_is_on_record_first(how: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.execution.failing", str(tmp_path / "run"), how]
    done = subprocess.run(command, check=False, capture_output=True, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    variants = asked(how)
    with Workspace.open(tmp_path / "run") as workspace:
        found = workspace.ledger.outcomes([v.id for v in variants])
    assert list(found) == [v.id for v in variants if v.train.epochs == 1]


def test_an_outcome_says_where_and_with_what_it_was_trained(runner: Runner) -> None:
    (outcome,) = runner.train([variant(0, **SOUND)])
    known = runner.workspace.ledger.outcome(outcome.variant_id)
    assert known is not None
    assert (known.device, known.versions) == (outcome.device, outcome.versions)
    assert known.versions["torch"] == torch.__version__
    assert set(known.versions) == {"winnow", "python", "torch", "numpy"}
    assert known.device == _runner.device()
