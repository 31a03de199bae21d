"""The benchmarks run to their end, on as little as they take. What they measure is another
matter.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_architectures() -> None:
    small = (
        "--rounds",
        "1",
        "--members",
        "2",
        "--epochs",
        "1",
        "--ahead",
        "0",
        "--only",
        "tabular",
    )
    assert "tabular" in run("architectures.py", *small)


@pytest.mark.slow
def test_fleet() -> None:
    assert "V = 2" in run("fleet.py", "--rounds", "1", "--members", "2")


@pytest.mark.slow
def test_study() -> None:
    assert "winnow" in run("study.py", "--rounds", "1", "--trials", "4", "--epochs", "1")
