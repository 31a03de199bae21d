"""Files are whole or not there: what a kill in the middle of writing leaves is what was there
before.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from winnow.files import remove_leftovers, write_aside, written_aside
from winnow.ledger import Ledger
from winnow.recipe import Data, Model, Recipe
from winnow.report import write_report

KILLED = """
import os, signal, sys
from winnow.files import written_aside

with written_aside(sys.argv[1]) as aside:
    aside.write_text("half of")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    write_aside(place, "old")
    with written_aside(place) as aside:
        aside.write_text("new")
        assert place.read_text() == "old"
    assert place.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    write_aside(place, b"old")

    def fail() -> None:
        with written_aside(place) as aside:
            aside.write_text("half of")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert place.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_leaves_the_old_file_and_a_leftover(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    place.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(place)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert place.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_links_target_is_replaced_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a.txt")
    write_aside(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "a.txt").read_text() == "new"
    write_aside("/dev/null", "gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_recipes_reports_and_tables_are_written_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while they are written leaves the old ones."""
    places = [tmp_path / name for name in ("recipe.yaml", "report.html", "table.csv")]
    for place in places:
        place.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with Ledger.open(tmp_path / "ledger.db") as ledger, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            Recipe(data=Data(source="sklearn:iris"), model=Model("mlp")).save(places[0])
        with pytest.raises(OSError, match="No space"):
            write_report({}, places[1])
        with pytest.raises(Exception, match="No space"):
            ledger.export_csv(places[2])
    assert [place.read_text() for place in places] == ["old"] * 3
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]
