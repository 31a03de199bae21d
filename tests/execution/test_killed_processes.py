"""Variants that train in worker processes: killed with the whole program, or with one worker, they
go on to the same bits.

The oracle is a run that nobody killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from winnow.data import PreparedData, prepare
from winnow.errors import WorkspaceError
from winnow.execution import Event, Runner, Workspace
from winnow.execution._processes import train_in_processes
from winnow.execution._worker import read_message, write_message
from winnow.models import model_digest
from winnow.recipe import Variant
from winnow.training import EpochReport, MemberResult, train_fleet

from .killed import DATA, VARIANTS, Mortal, Slow, variant


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


# What a runner knows and a fleet does not
ELSEWHERE = {"seconds": 0, "fleet": "", "weights": None, "device": "", "versions": {}}


def same(found: MemberResult, expected: MemberResult) -> None:
    outcomes = (
        json.dumps(
            {
                **f.outcome.to_dict(),
                "seconds": 0,
                "fleet": "",
                "weights": None,
                "device": "",
                "versions": {},
            },
            sort_keys=True,
        )
        for f in (found, expected)
    )
    assert next(outcomes) == next(outcomes)
    assert found.weights is not None
    assert expected.weights is not None
    assert set(found.weights) == set(expected.weights)
    assert all(torch.equal(t, expected.weights[n]) for n, t in found.weights.items())


def epochs(events: list[Event]) -> int:
    """What was told, less what is told at the end of a variant."""
    told = [e for e in events if e.message is None and e.member_steps_per_second is not None]
    return len(told) - told[-1].done


def kill_and_go_on(points: tuple[int, ...], out: Path, prepared: PreparedData) -> None:
    for point in points:
        # pipes that close show that no worker has outlived the program
        command = [sys.executable, "-m", "tests.execution.killed", str(out), str(point)]
        done = subprocess.run(command, check=False, capture_output=True, timeout=100)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert b"Traceback" not in done.stderr
    begun = len(list((out / "checkpoints").glob("*.safetensors")))
    events: list[Event] = []
    with Workspace.open(out) as workspace:
        runner = Runner(workspace, progress=events.append, checkpoint_seconds=0)
        outcomes = runner.train(VARIANTS, keep_weights=True)
        for one, outcome in zip(VARIANTS, outcomes, strict=True):
            # What is left alone of its kind needs no process
            assert outcome.fleet in ("process", "alone")
            same(
                MemberResult(one, outcome, workspace.load_weights(one.id)),
                train_fleet([one], prepared)[0],
            )
    assert not list((out / "checkpoints").iterdir())
    if len(points) == 1 and points[0] <= 5:  # nothing was finished
        assert begun >= 1
        assert [f.how for f in runner.fleets].count("process") == begun + (begun < len(VARIANTS))
        assert any("last checkpoint" in (e.message or "") for e in events)
        # a worker writes its checkpoint after it has told of the epoch: of each of two workers the
        # last may be missing
        assert epochs(events) <= sum(o.epochs for o in outcomes) - points[0] + 2
    # time left and rate count what was done before the kill, too
    last = [e for e in events if e.member_steps_per_second is not None][-1]
    assert last.seconds_left == 0.0


def test_a_killed_program_goes_on_to_the_same_bits(prepared: PreparedData, tmp_path: Path) -> None:
    kill_and_go_on((5,), tmp_path / "run", prepared)


@pytest.mark.slow
@pytest.mark.parametrize("points", [(1, 2, 3, 4), (3, 9), (12,), (15,)], ids=str)
def test_killed_over_and_over(
    points: tuple[int, ...], prepared: PreparedData, tmp_path: Path
) -> None:
    kill_and_go_on(points, tmp_path / "run", prepared)


def test_progress_is_that_of_the_epochs(tmp_path: Path) -> None:
    events: list[Event] = []
    with Workspace.open(tmp_path / "run") as workspace:
        outcomes = Runner(workspace, progress=events.append).train(VARIANTS)
    assert epochs(events) == sum(o.epochs for o in outcomes) == 6 + 8 + 3
    first, *_, last = [e for e in events if e.seconds_left is not None]
    assert first.member_steps_per_second is not None
    assert first.seconds_left is not None
    steps_left = first.seconds_left * first.member_steps_per_second
    assert steps_left == pytest.approx(5 * (6 + 8 + 9) - 5)  # one epoch of five steps was told
    assert last.seconds_left == 0.0


def test_workers_that_die(prepared: PreparedData, tmp_path: Path) -> None:
    """Killed from outside: once more, from the checkpoint. Killed again, or by its own doing: a
    failed outcome.
    """
    dying = {
        "once": (signal.SIGKILL, 1),
        "again": (signal.SIGTERM, 9),
        "crashed": (signal.SIGFPE, 9),
    }
    variants: list[Variant] = []
    for name, (number, often) in dying.items():
        (tmp_path / name).mkdir()
        variants.append(
            variant(
                0, Mortal, {"place": str(tmp_path / name), "number": int(number), "often": often}
            )
        )
    reports: list[EpochReport] = []
    found = list(
        train_in_processes(
            [*variants, VARIANTS[0]],
            prepared,
            checkpoints=[tmp_path / f"{i}.safetensors" for i in range(4)],
            checkpoint_seconds=0,
            on_epoch=reports.append,
            workers=2,
        )
    )
    assert [len(list((tmp_path / name).iterdir())) for name in dying] == [1, 2, 1]
    by_id = {one.variant.id: one for one in found}
    once, again, crashed, mate = (by_id[v.id] for v in [*variants, VARIANTS[0]])
    same(once, train_fleet(variants[:1], prepared)[0])  # which has died, and lives now
    same(mate, train_fleet(VARIANTS[:1], prepared)[0])
    assert (
        again.outcome.reason
        == "its worker process was killed by signal 15, and so was the one before it"
    )
    assert crashed.outcome.reason == "its worker process was killed by signal 8"
    assert (again.outcome.cause, crashed.outcome.cause) == ("environment", "variant")
    mine = [r for r in reports if r.fleet == variants[0].id]
    assert [r.taken for r in mine] == [5 * e for e in (1, 2, 3, 4, 5, 6)]
    (message,) = [r.message for r in mine if r.message is not None]
    assert message.startswith(
        "the worker process of a variant was killed by signal 9 (out of memory?); another goes on"
    )


def test_a_worker_ends_at_once_when_its_parent_is_gone(
    prepared: PreparedData, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from winnow.execution._worker import main; main()"]
    paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        write_message(
            worker.stdin,
            (
                variant(0, epochs=1),
                model_digest(variant(0).model),
                "rows",
                prepared,
                tmp_path / "a",
                0.0,
            ),
        )
        assert isinstance(read_message(worker.stdout), EpochReport)
        assert isinstance(read_message(worker.stdout), MemberResult)
        write_message(
            worker.stdin,
            (
                variant(0, Slow),
                model_digest(variant(0, Slow).model),
                "rows",
                None,
                tmp_path / "b",
                0.0,
            ),
        )
        time.sleep(0.5)  # it sleeps in its first step
        worker.send_signal(signal.SIGINT)  # Ctrl-C in a terminal is for the parent to judge
        time.sleep(0.2)
        assert worker.poll() is None
        worker.stdin.close()
        assert worker.wait(timeout=5) == 0


def test_an_error_in_a_worker_ends_all_of_them(prepared: PreparedData, tmp_path: Path) -> None:
    place = tmp_path / "newer.safetensors"
    others = _children()
    save_file({"a": torch.ones(1)}, place, metadata={"format": "9", "facts": "{}"})
    results = train_in_processes(
        [VARIANTS[0], variant(0, Slow)],
        prepared,
        checkpoints=[place, tmp_path / "other.safetensors"],
        checkpoint_seconds=9,
        on_epoch=lambda _: None,
        workers=2,
    )
    with pytest.raises(WorkspaceError, match="newer winnow"):
        list(results)
    assert _children() <= others


def _children() -> set[str]:
    """Ids of this process's children, where the system tells."""
    found = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(found.read_text().split()) if found.exists() else set()
