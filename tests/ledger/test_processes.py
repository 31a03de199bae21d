"""Several processes on one ledger, some of them killed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from winnow.ledger import Ledger

WORKER = Path(__file__).with_name("worker.py")
FLEET = 16
CURVES = 3
STRIDE = 1_000_000  # of the seeds, between workers


@contextmanager
def workers(path: Path, number: int, fleets: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that stand ready and wait for a line; none outlives the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER), str(path), str(i * STRIDE), str(fleets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for i in range(number)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def fleets_on_record(path: Path) -> set[int]:
    """First seeds of the fleets on record, after checking that each is there wholly: outcomes,
    curves, place in the study.
    """
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    seeds = [
        seed
        for (seed,) in connection.execute(
            "SELECT seed FROM outcomes JOIN variants ON id = variant_id"
        )
    ]
    curves = Counter(
        seed
        for (seed,) in connection.execute(
            "SELECT seed FROM curves JOIN variants ON id = variant_id"
        )
    )
    members = [
        seed
        for (seed,) in connection.execute(
            "SELECT seed FROM study_variants JOIN variants ON id = variant_id"
        )
    ]
    connection.close()
    fleets = Counter(seed // FLEET * FLEET for seed in seeds)
    assert set(fleets.values()) <= {FLEET}
    assert curves == dict.fromkeys(seeds, CURVES)
    assert sorted(members) == sorted(seeds)
    return set(fleets)


def test_writers_lose_nothing_and_none_is_locked_out(tmp_path: Path) -> None:
    path, number, fleets = tmp_path / "ledger.db", 3, 20
    with workers(path, number, fleets) as running:
        for process in running:
            begin(process)  # at once: they also race to create the file
        for process in running:
            _, complaints = process.communicate(timeout=300)
            assert (process.returncode, complaints) == (0, "")
    assert fleets_on_record(path) == {
        i * STRIDE + f * FLEET for i in range(number) for f in range(fleets)
    }
    with Ledger.open(path) as ledger:
        told = [s.note["fleet"] for s in ledger.study_outcomes("shared")]
    assert len(told) == number * fleets * FLEET
    # A fleet's places are neighbors
    assert all(told[i : i + FLEET] == [told[i]] * FLEET for i in range(0, len(told), FLEET))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_writer_loses_at_most_the_fleet_in_flight(tmp_path: Path) -> None:
    path, moments = tmp_path / "ledger.db", random.Random(0)
    with workers(path, 4, 10**6) as running:
        for process in running:
            begin(process)
            time.sleep(moments.uniform(0.05, 0.3))
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
            promised = {int(line) for line in said.split()}
            on_record = (
                {f for f in fleets_on_record(path) if f // STRIDE == running.index(process)}
                if path.exists()
                else set()
            )
            assert promised <= on_record
            assert len(on_record - promised) <= 1  # written, and killed before it could say so
    assert len(fleets_on_record(path)) > 4
    with Ledger.open(path) as ledger:
        ledger.put_document("after", {"works": True})
