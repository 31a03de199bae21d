"""Workspace, plan and runner: what trains with what, what is remembered, what survives."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import architectures
from torch import Tensor, nn

from winnow.errors import WorkspaceError
from winnow.execution import Event, Planner, Runner, Workspace, _capacity, _threads
from winnow.methods import SGD, AdamW
from winnow.recipe import Choice, Data, EarlyStopping, Model, Prepare, Recipe, Train, Variant
from winnow.training import train_fleet

DATA = Data(source="sklearn:iris")


HERE = "WINNOW_TESTS_PROCESS"  # the process of the tests, for those that it starts
os.environ.setdefault(HERE, str(os.getpid()))


class Deadly(nn.Module):
    """Kills the worker process that trains it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and os.getpid() != int(os.environ[HERE]) and x.shape[0] == 16:
            os._exit(7)
        return self.a(x) if self.a(x).sum() > 0 else self.a(x) * 2


class Fickle(nn.Module):
    """Control flow on values: trains in processes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) if self.a(x).sum() > 0 else self.b(x)


def variant(
    seed: int = 0, *, model: Model | None = None, data: Data = DATA, **train: Any
) -> Variant:
    settings = {"epochs": 3, "batch_size": 16, **train}
    return Variant(
        data=data,
        model=model or Model("mlp", width=8, depth=1),
        train=Train(**settings),
        metric="accuracy",
        seed=seed,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "run")


# -- plan ------------------------------------------------------------------------------------------


def test_lane_settings_share_a_fleet_and_shape_settings_do_not(workspace: Workspace) -> None:
    lanes = [
        variant(1, optimizer=SGD(lr=0.3, momentum=0.0)),
        variant(2, dropout=0.5, label_smoothing=0.1, l1=1e-3, l2=1e-3, clip_norm=1.0),
        variant(3, epochs=5, early_stopping=EarlyStopping(patience=2)),
    ]
    shapes = [
        variant(4, model=Model("mlp", width=16, depth=1)),
        variant(5, batch_size=32),
        variant(6, optimizer=AdamW()),
        variant(7, precision="float64"),
        variant(8, data=Data(source="sklearn:iris", prepare=Prepare(standardize=False))),
        variant(9, model=Model("mlp", width=8, depth=1, activation="tanh")),
    ]
    plan = Planner(Runner(workspace).prepared).plan([*lanes, *shapes])
    assert plan[0].positions == (0, 1, 2)
    assert plan[0].how == "stacked"
    assert [fleet.positions for fleet in plan[1:]] == [(i,) for i in range(3, 9)]
    assert {fleet.how for fleet in plan[1:]} == {"stacked"}  # as the others of the study train
    assert {fleet.how for fleet in Planner(Runner(workspace).prepared).plan(shapes)} == {"alone"}


def test_dropout_of_the_users_own_is_a_lane_setting(workspace: Workspace) -> None:
    data = Data.arrays(
        np.random.default_rng(0).normal(size=(60, 12)), np.arange(60) % 3, task="classification"
    )
    variants = [
        variant(i, data=data, model=Model(architectures.Plain, dropout=i / 10)) for i in range(3)
    ]
    assert [f.positions for f in Planner(Runner(workspace).prepared).plan(variants)] == [(0, 1, 2)]


def test_large_fleets_are_cut_evenly_and_to_memory(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = [variant(i, epochs=1) for i in range(130)]
    plan = Planner(Runner(workspace).prepared).plan(variants)
    assert [len(f.positions) for f in plan] == [43, 44, 43]
    assert sorted(p for f in plan for p in f.positions) == list(range(130))
    monkeypatch.setattr(_capacity, "free_bytes", lambda: 200_000)
    small = Planner(Runner(workspace).prepared).plan(variants)
    assert max(len(f.positions) for f in small) < 20


def test_what_cannot_be_stacked_goes_to_processes_with_the_reason(workspace: Workspace) -> None:
    model = Model("tests.execution.test_run:Fickle")
    (fleet,) = Planner(Runner(workspace).prepared).plan([variant(i, model=model) for i in range(3)])
    assert fleet.how == "process"
    assert "data-dependent control flow" in fleet.reason


# -- runner ----------------------------------------------------------------------------------------


def test_outcomes_come_in_order_and_equal_the_driver_s(workspace: Workspace) -> None:
    variants = [variant(i, model=Model("mlp", width=8 + 8 * (i % 2), depth=1)) for i in range(5)]
    outcomes = Runner(workspace).train(variants)
    assert [o.variant_id for o in outcomes] == [v.id for v in variants]
    runner = Runner(workspace)
    for one, outcome in zip(variants, outcomes, strict=True):
        alone = train_fleet([one], runner.prepared(one.data))[0].outcome
        np.testing.assert_allclose(
            outcome.curves["train_loss"], alone.curves["train_loss"], rtol=1e-5
        )


def test_nothing_is_trained_twice(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    variants = [variant(i) for i in range(4)]
    first = Runner(workspace).train([*variants, variants[0]])
    assert first[0] == first[4]

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(_threads, "train_fleet", refuse)
    again = Runner(workspace).train(variants)
    assert [dataclasses.replace(o, curves={}) for o in again] == [
        dataclasses.replace(o, curves={}) for o in first[:4]
    ]
    assert again[2].curves["train_loss"] == first[2].curves["train_loss"]


def test_weights_are_kept_when_asked_for(workspace: Workspace) -> None:
    one = variant()
    (plain,) = Runner(workspace).train([one])
    assert plain.weights is None
    (kept,) = Runner(workspace).train([one], keep_weights=True)
    assert kept.weights is not None
    weights = workspace.load_weights(one.id)
    assert set(weights) == {
        "block1.linear.weight",
        "block1.linear.bias",
        "head.weight",
        "head.bias",
    }
    assert workspace.ledger.outcome(one.id).weights == kept.weights  # type: ignore[union-attr]


def test_a_failed_member_is_a_fact(workspace: Workspace) -> None:
    variants = [variant(0), variant(1, optimizer=SGD(lr=1e38)), variant(2)]
    outcomes = Runner(workspace).train(variants)
    assert [o.status for o in outcomes] == ["finished", "failed", "finished"]
    assert [o.status for o in Runner(workspace).train(variants)] == [
        "finished",
        "failed",
        "finished",
    ]


def test_processes_give_the_same_and_say_so(workspace: Workspace) -> None:
    variants = [variant(i, model=Model("tests.execution.test_run:Fickle")) for i in range(3)]
    events: list[Event] = []
    runner = Runner(workspace, progress=events.append)
    outcomes = runner.train(variants, keep_weights=True)
    assert [o.fleet for o in outcomes] == ["process"] * 3
    assert any(
        "3 variants train one at a time: cannot be stacked" in (e.message or "") for e in events
    )
    assert runner.fleets[0].how == "process"
    here = train_fleet([variants[1]], runner.prepared(DATA))[0]
    np.testing.assert_allclose(
        here.outcome.curves["train_loss"], outcomes[1].curves["train_loss"], rtol=1e-5
    )


def test_a_worker_that_dies_fails_its_variant_only(workspace: Workspace) -> None:
    good = [variant(i, model=Model("tests.execution.test_run:Fickle"), epochs=1) for i in range(2)]
    bad = [variant(i, model=Model("tests.execution.test_run:Deadly"), epochs=1) for i in range(2)]
    outcomes = Runner(workspace).train([*bad, *good])
    assert [o.status for o in outcomes] == ["failed", "failed", "finished", "finished"]
    assert "its worker process ended with status 7" in (outcomes[0].reason or "")


def test_progress_counts_up_to_all(workspace: Workspace) -> None:
    events: list[Event] = []
    Runner(workspace, progress=events.append).train([variant(i) for i in range(3)], study="search")
    assert {e.stage for e in events} == {"search"}
    assert (events[0].done, events[-1].done, events[-1].total) == (0, 3, 3)
    assert events[-1].best is not None
    assert events[-1].member_steps_per_second is not None


def test_context_follows_the_data_and_the_model(workspace: Workspace) -> None:
    runner = Runner(workspace)
    recipe = Recipe(data=DATA, model=Model("mlp", width=Choice(4, 8)))
    assert runner.context(recipe)[0] == "accuracy"
    assert (
        runner.context(Recipe(data=Data(source="sklearn:diabetes"), model=Model("mlp")))[0]
        == "rmse"
    )
    contexts = {
        runner.context(r)[1]
        for r in (recipe, Recipe(data=DATA, model=Model("tests.execution.test_run:Fickle")))
    }
    assert len(contexts) == 2


# -- workspace -------------------------------------------------------------------------------------


def test_two_processes_do_not_share_a_workspace(workspace: Workspace) -> None:
    code = f"from winnow.execution import Workspace; Workspace.open({str(workspace.path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another winnow is working in" in done.stderr
    workspace.close()
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        == 0
    )


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot work in"):
        Workspace.open(tmp_path / "file" / "run")


def test_weights_are_whole_or_not_there(workspace: Workspace) -> None:
    workspace.save_weights("a", {"w": torch.ones(3)})
    assert torch.equal(workspace.load_weights("a")["w"], torch.ones(3))
    with pytest.raises(WorkspaceError, match="were not kept"):
        workspace.load_weights("b")
    place = workspace.weights("a")
    place.write_bytes(place.read_bytes()[:-4])
    with pytest.raises(WorkspaceError, match="are damaged"):
        workspace.load_weights("a")


def test_weights_of_another_variant_are_no_ones(workspace: Workspace) -> None:
    workspace.save_weights("a", {"w": torch.ones(3)})
    workspace.weights("a").rename(workspace.weights("b"))
    with pytest.raises(
        WorkspaceError, match="not those that were written there: they are those of variant a"
    ):
        workspace.load_weights("b")


@pytest.mark.parametrize("harm", ["flipped", "torn", "removed"])
def test_weights_that_are_lost_are_trained_again(harm: str, workspace: Workspace) -> None:
    members = [variant(i) for i in range(3)]
    outcomes = Runner(workspace).train(members, keep_weights=True)
    # Not views of the files
    before = [{n: t.clone() for n, t in workspace.load_weights(v.id).items()} for v in members]
    place = workspace.weights(members[1].id)
    content = bytearray(place.read_bytes())
    content[-1] ^= 0x40  # a number that is another one, in a file that reads well
    place.write_bytes(content[:-9] if harm == "torn" else content)
    if harm == "removed":
        place.unlink()

    events: list[Event] = []
    runner = Runner(workspace, progress=events.append)
    again = runner.train(members, keep_weights=True)

    assert [f.members for f in runner.fleets] == [1]
    (message,) = {
        e.message for e in events if e.message is not None and "trained again" in e.message
    }
    assert str(place) in message
    for one, old, new, weights in zip(members, outcomes, again, before, strict=True):
        found = workspace.load_weights(one.id)
        assert all(
            torch.allclose(found[name], tensor, rtol=1e-4, atol=1e-6)
            for name, tensor in weights.items()
        )
        assert new.score == pytest.approx(old.score)
    # the score on record is that of the training that the weights are of
    assert workspace.ledger.outcome(members[1].id) == again[1]
    assert again[1].fleet != outcomes[1].fleet


def test_a_temporary_workspace_goes_away() -> None:
    workspace = Workspace.open(None)
    path = workspace.path
    assert path.exists()
    workspace.close()
    assert not path.exists()
