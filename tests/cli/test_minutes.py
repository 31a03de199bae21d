"""``--minutes``: a process that ends in time, whatever it is doing, and says what it left out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from winnow.cli import app
from winnow.cli._deadline import process_began
from winnow.pipeline import read_documents

RECIPE = """\
name: quick
data: {source: "sklearn:wine"}
model: {use: mlp, args: {width: {choice: [4, 8]}, depth: 1}}
train: {epochs: 20, batch_size: 16, dropout: {uniform: [0.0, 0.5]}}
search: {trials: 64, batch: 8, leaders: 2, seeds: 2}
ablate: {parts: [dropout], seeds: 6}
final: {seeds: 3}
"""


def winnow_process(*arguments: str, here: Path) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    command = [sys.executable, "-m", "winnow", *arguments]
    done = subprocess.run(
        command, cwd=here, capture_output=True, text=True, check=False, timeout=300
    )
    return done, time.monotonic() - began


def test_the_process_began_before_now() -> None:
    assert 0 <= time.perf_counter() - process_began() < 24 * 3600


def test_a_process_ends_a_twentieth_after_its_minutes_in_the_middle_of_a_call(
    tmp_path: Path,
) -> None:
    program = (
        "import time\n"
        "from winnow.cli._deadline import deadline, run_process\n"
        "def command():\n"
        "    with deadline(0.05, time.perf_counter()):\n"
        "        print('began', flush=True)\n"
        "        time.sleep(60)\n"
        "run_process(command)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 124
    assert done.stdout == "began\n"
    assert "0.05 minutes were over before everything was done" in done.stderr
    assert 2.8 < time.monotonic() - began < 30


def test_a_process_ends_without_being_taken_apart() -> None:
    program = (
        "import atexit, sys\n"
        "from winnow.cli._deadline import run_process\n"
        "class Part:\n"
        "    def __del__(self):\n"
        "        print('taken apart')\n"
        "part = Part()\n"
        "atexit.register(lambda: print('wished'))\n"
        "def command():\n"
        "    print('done')\n"
        "    sys.exit(3)\n"
        "run_process(command)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50
    )
    assert (done.returncode, done.stdout) == (3, "done\nwished\n")


def test_minutes_that_hold_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.yaml").write_text(RECIPE)
    refused = CliRunner().invoke(app, ["run", "quick.yaml", "--minutes", "0.001"])
    assert refused.exit_code == 2
    assert "0.001 minutes do not hold the least that is asked for" in refused.stderr
    assert not (tmp_path / "runs" / "quick").exists()
    wrong = CliRunner().invoke(app, ["run", "quick.yaml", "--minutes", "0"])
    assert wrong.exit_code == 2
    assert "minutes" in wrong.stderr


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [0.5, 1.5])
def test_a_whole_run_ends_within_a_twentieth_of_its_minutes(minutes: float, tmp_path: Path) -> None:
    """On a machine with much other work the minutes may hold no model; they are kept all the same,
    and it is said.

    The process ends by its own clock a little before the twentieth; what a busy machine needs to
    start and to reap it is not in its hands, so half a second is added here.
    """
    (tmp_path / "quick.yaml").write_text(RECIPE)
    done, seconds = winnow_process(
        "run", "quick.yaml", "--minutes", str(minutes), "--out", "run", here=tmp_path
    )
    print(
        f"{minutes} minutes: {seconds:.1f} s, exit code {done.returncode}, load "
        f"{os.getloadavg()[0]:.1f}\n{done.stderr}"
    )
    assert seconds <= 1.05 * 60 * minutes + 0.5
    if done.returncode == 0:
        facts = read_documents(tmp_path / "run")
        assert facts["budget"]["seconds"] <= 1.05 * 60 * minutes
        assert (tmp_path / "run" / "quick.winnow").is_dir()
        assert all(note in done.stderr for note in facts["budget"]["notes"])
    else:
        assert done.returncode in (2, 124)
        assert "minutes" in done.stderr
