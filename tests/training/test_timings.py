"""What is kept between runs survives other processes, torn files and places that cannot be
written.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from winnow.data import prepare
from winnow.recipe import Data, Model, Train, Variant
from winnow.training import build_members, shape_key
from winnow.training._timings import RememberedTiming, _place, fleet_kind, recall, remember


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_measured_is_added_up() -> None:
    assert recall("a") == RememberedTiming()
    remember("a", compile_seconds=7.5, compiled_seconds=2e-5)
    remember("a", plain_seconds=4e-5)
    remember("a", compile_seconds=1.5)
    assert recall("a") == RememberedTiming(1.5, 2e-5, 4e-5)
    assert recall("b") == RememberedTiming()


def test_another_machine_or_pytorch_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from winnow.training import _timings

    remember("a", compile_seconds=1.0)
    _timings._machine.cache_clear()
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    assert recall("a") == RememberedTiming()
    _timings._machine.cache_clear()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "3", '{"compile_seconds": "soon"}', '{"compile_seconds": -1}', "\x00\xff"],
)
def test_a_damaged_file_is_no_file(text: str) -> None:
    remember("a", compile_seconds=1.0)
    _place("a").write_bytes(text.encode("latin-1"))
    assert recall("a") == RememberedTiming()
    remember("a", compile_seconds=2.0)
    assert recall("a") == RememberedTiming(2.0)


def test_a_place_that_cannot_be_written_is_done_without(cache: Path) -> None:
    cache.write_text("a file")
    remember("a", compile_seconds=1.0)
    assert recall("a") == RememberedTiming()


def test_many_processes_leave_a_whole_file() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_write, range(20))
    assert recall("a").compile_seconds in range(20)
    assert [p.name for p in _place("a").parent.iterdir()] == [_place("a").name]


def _write(i: int) -> None:
    remember("a", compile_seconds=float(i))


def test_another_process_gives_a_fleet_the_same_name() -> None:
    code = "from tests.training.test_timings import kind; print(kind())"
    env = {**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p), "PYTHONHASHSEED": "7"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=root
    )
    assert done.stdout.strip() == kind()
    assert kind(16) != kind()


def kind(width: int = 8) -> str:
    data = Data(source="sklearn:iris")
    variant = Variant(
        data=data,
        model=Model("mlp", width=width, depth=1, activation="gelu"),
        train=Train(),
        metric="accuracy",
        seed=0,
    )
    return fleet_kind(shape_key(variant, build_members([variant], prepare(data))[0]))
