"""kill -9 in the middle of a study, and the same command again: the same result as without.

The oracle is a run that nobody killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from winnow.execution import Event
from winnow.pipeline import Flow, read_documents

from .killed import RECIPE
from .test_flow import without_times

SCRIPT = Path(__file__).with_name("killed.py")
POINTS = [("search", 3), ("ablate", 4), ("train", 1)]

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


def start(out: Path, *arguments: str) -> int:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(out), *arguments], check=False, timeout=120
    ).returncode


def results(documents: dict[str, Any]) -> dict[str, Any]:
    return {
        name: without_times(documents[name])
        for name in ("search", "ablation", "final", "evaluation")
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with Flow(RECIPE, tmp_path_factory.mktemp("runs") / "unbroken") as flow:
        flow.evaluate()
        return results(flow.documents())


@pytest.mark.parametrize(("stage", "done"), POINTS)
def test_a_killed_run_goes_on_to_the_same_result(
    stage: str, done: int, unbroken: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    assert start(out, stage, str(done)) == -signal.SIGKILL
    before = read_documents(out)
    assert "final" not in before
    assert ("search" in before) == (stage != "search")
    trained: list[Event] = []

    with Flow(RECIPE, out, progress=trained.append) as flow:
        flow.evaluate()
        again = results(flow.documents())

    assert again == unbroken
    if stage != "search":  # what was finished was not trained again
        assert all(e.member_steps_per_second is None for e in trained if e.stage == "search")


@pytest.mark.slow
def test_a_run_killed_over_and_over_ends_the_same(unbroken: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "killed"
    for stage, done in (
        [("search", n) for n in range(2, 13, 2)]
        + [("ablate", n) for n in (3, 6, 9)]
        + [("train", 1)]
    ):
        assert start(out, stage, str(done)) == -signal.SIGKILL

    assert start(out) == 0

    assert results(read_documents(out)) == unbroken
