"""What cannot be a ledger is refused with one clear message, and left as it was."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from winnow.errors import MissingExtraError, WorkspaceError
from winnow.ledger import Ledger, _tables
from winnow.recipe import Outcome, Variant


def test_sqlite_is_set_up_for_many_processes(ledger: Ledger, tmp_path: Path) -> None:
    with ledger._database.read() as connection:
        pragmas = {p: connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous", "foreign_keys")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}
    assert (tmp_path / "ledger.db-wal").exists()


def test_closing_leaves_one_file_and_ends_all_use(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    ledger.put_document("a", {})
    ledger.close()
    ledger.close()
    assert os.listdir(tmp_path) == ["ledger.db"]
    with pytest.raises(WorkspaceError, match=r"the ledger .*ledger\.db is closed"):
        ledger.documents()


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert ledger.documents() == []
        assert repr(ledger).startswith("Ledger('")


def test_a_relative_path_holds_after_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with Ledger.open("ledger.db") as ledger:
        monkeypatch.chdir(tmp_path / "elsewhere")
        ledger._database._engine.dispose()
        ledger.put_document("a", {})
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        assert ledger.documents() == ["a"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_newer_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    connection.close()
    message = r"was written by a newer winnow \(schema 99; this one reads \d+\): upgrade with pip"
    with pytest.raises(WorkspaceError, match=message):
        Ledger.open(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n", "is no ledger: it is not a SQLite database"),
        (b"SQLite format 3\0" + b"garbage " * 200, "cannot read the ledger .*: file is not a database"),
    ],
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(WorkspaceError, match=message):
        Ledger.open(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["data.csv"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("CREATE TABLE customers (id)", "is a database but no ledger: it holds customers"),
        ("CREATE TABLE meta (id)", "is a database but no ledger: its table `meta` names no schema"),
        ("CREATE TABLE meta (key, value)", "is a database but no ledger: its table `meta` names no schema"),
    ],
)
def test_somebody_elses_database(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute(table)
    before = path.read_bytes()
    with pytest.raises(WorkspaceError, match=message):
        Ledger.open(path)
    connection.close()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["other.db"]


def test_a_damaged_ledger(tmp_path: Path, variant: Callable[..., Variant]) -> None:
    path = tmp_path / "ledger.db"
    results = [(v := variant(s), Outcome(v.id, "finished", score=0.5)) for s in range(200)]
    with Ledger.open(path) as ledger:
        ledger.record(results)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * len(content[8192:])
    path.write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"cannot read the ledger .*malformed"), Ledger.open(path) as ledger:
        ledger.outcomes([v.id for v, _ in results])


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"expected a file for the ledger, got the directory .* - did you mean .*ledger\.db"):
        Ledger.open(tmp_path)


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"cannot make the directory .*file for the ledger: "):
        Ledger.open(tmp_path / "file" / "ledger.db")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_directory_that_nobody_can_write() -> None:
    # the superuser passes every permission check, so that only SQLite itself finds out
    with pytest.raises(WorkspaceError, match=r"cannot write into the directory /proc|unable to open database file"):
        Ledger.open("/proc/ledger.db")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_directory_that_this_user_cannot_write(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(WorkspaceError, match="cannot write into the directory"):
            Ledger.open(tmp_path / "ledger.db")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


@pytest.mark.parametrize("denied", ["directory", "file"])
def test_permissions_are_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: str) -> None:
    path = tmp_path / "ledger.db"
    Ledger.open(path).close()
    wrong = {"directory": tmp_path, "file": path}[denied]
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != wrong)
    message = r"cannot write into the directory|cannot read and write the ledger .*permission denied"
    with pytest.raises(WorkspaceError, match=message):
        Ledger.open(path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "needs a file, got a database in memory"),
        ("sqlite:///:memory:", "needs a file, got a database in memory"),
        ("mysql://host/name", "a ledger lives in SQLite or PostgreSQL, got 'mysql'"),
        ("posgres://host/name", "expected a file or a database URL such as postgresql://host/name, got 'posgres://host/name'"),
        (
            "postgresql://me:secret@host:port/name",
            r"expected a file or a database URL .*, got 'postgresql://me:\*\*\*@host:port/name'",
        ),
    ],
)
def test_urls_that_cannot_be(url: str, message: str) -> None:
    with pytest.raises(WorkspaceError, match=message):
        Ledger.open(url)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"this needs `psycopg`, .*pip install 'winnow-ml\[postgresql\]'"):
        Ledger.open("postgresql://host/name")


def test_a_failed_write_is_one_clear_error(ledger: Ledger) -> None:
    with ledger._database.write() as connection:
        connection.exec_driver_sql("DROP TABLE documents")
    with pytest.raises(WorkspaceError, match=r"cannot write the ledger .*ledger\.db: no such table: documents"):
        ledger.put_document("a", {})


def test_a_variant_of_another_version(ledger: Ledger, variant: Callable[..., Variant], outcome: Callable[..., Outcome]) -> None:
    v = variant()
    ledger.record([(v, outcome(v))])
    with ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE variants SET settings = '{\"seeds\": 3}'")
    with pytest.raises(WorkspaceError, match=f"variant {v.id} was recorded by another version of winnow"):
        ledger.variants([v.id])


def test_postgresql_takes_the_tables() -> None:
    dialect = postgresql.dialect()
    ddl = "\n".join(str(sa.schema.CreateTable(t).compile(dialect=dialect)) for t in _tables.metadata.sorted_tables)
    assert "points BYTEA NOT NULL" in ddl
    assert "score DOUBLE PRECISION" in ddl
    assert "SERIAL" not in ddl


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = "import sys, winnow.ledger; print([m for m in ('torch', 'polars', 'sklearn', 'pandas', 'scipy') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FIRST_SCHEMA = """
CREATE TABLE meta ("key" TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE studies (name TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, spec TEXT NOT NULL, created TEXT NOT NULL);
CREATE TABLE variants (id TEXT NOT NULL PRIMARY KEY, settings TEXT NOT NULL, seed BIGINT NOT NULL);
CREATE TABLE outcomes (variant_id TEXT NOT NULL PRIMARY KEY REFERENCES variants (id), status TEXT NOT NULL, reason TEXT,
    score DOUBLE, metrics TEXT NOT NULL, best_epoch INTEGER NOT NULL, epochs INTEGER NOT NULL, steps BIGINT NOT NULL,
    seconds DOUBLE, weights TEXT, fleet TEXT NOT NULL, created TEXT NOT NULL);
CREATE TABLE curves (variant_id TEXT NOT NULL REFERENCES outcomes (variant_id) ON DELETE CASCADE, name TEXT NOT NULL,
    points BLOB NOT NULL, PRIMARY KEY (variant_id, name)) WITHOUT ROWID;
CREATE TABLE study_variants (study TEXT NOT NULL REFERENCES studies (name), position INTEGER NOT NULL,
    variant_id TEXT NOT NULL REFERENCES variants (id), note TEXT NOT NULL, PRIMARY KEY (study, position)) WITHOUT ROWID;
CREATE TABLE documents (name TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL, updated TEXT NOT NULL);
INSERT INTO meta VALUES ('schema', '1');
"""


def first_schema(path: Path, without: str = "") -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_SCHEMA.replace(without, ""))
    connection.close()


def test_an_older_ledger_is_given_what_it_lacks(tmp_path: Path, variant: Callable[..., Variant]) -> None:
    path, v, w = tmp_path / "ledger.db", variant(0), variant(1)
    first_schema(path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO variants VALUES (?, ?, 0)", (v.id, v.canonical()))
        row = (v.id, "failed", "diverged", None, "{}", -1, 1, 5, 0.5, None, "alone", "2026-01-01T00:00:00")
        connection.execute(f"INSERT INTO outcomes VALUES ({', '.join('?' * len(row))})", row)
    connection.close()
    for _ in range(2):  # the second time there is nothing to do
        with Ledger.open(path) as ledger:
            known = ledger.outcome(v.id)
            assert known is not None
            assert (known.reason, known.cause, known.device, known.versions) == ("diverged", "variant", "", {})
            ledger.record([(w, Outcome(w.id, "finished", score=0.5, device="cpu", versions={"torch": "2"}))])
            assert ledger.outcomes([w.id])[w.id].versions == {"torch": "2"}
            assert ledger.to_table().shape[0] == 2
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT value FROM meta").fetchall() == [(str(_tables.SCHEMA_VERSION),)]
    connection.close()


def test_an_older_ledger_that_lacks_what_all_have(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first_schema(path, without=", steps BIGINT NOT NULL".lstrip(", ") + ",")
    with pytest.raises(WorkspaceError, match=r"its table `outcomes` lacks steps, which every version of winnow wrote"):
        Ledger.open(path)
