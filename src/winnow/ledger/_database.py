"""Opening the database behind a ledger, and its transactions."""

from __future__ import annotations

import os
import re
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from winnow.errors import MissingExtraError, WorkspaceError
from winnow.ledger._tables import SCHEMA_VERSION, meta, metadata

__all__ = ["Database", "chunks"]

CHUNK = 5000  # ids in one IN list; SQLite takes 32766
CREATION_LOCK = 0x77696E6E6F77  # "winnow"; any number that nobody else takes
# A transaction takes milliseconds: who waits longer than this waits for something that hangs
LOCK_SECONDS = 60.0


class Database:
    """An engine whose transactions are safe between threads and processes, and whose errors are
    ours.

    ``read`` sees one state of the database from beginning to end. ``write`` takes SQLite's write
    lock at its beginning: a transaction that reads first and writes later could not wait for the
    lock, it would fail.
    """

    def __init__(self, path_or_url: str | Path) -> None:
        self._url = _url(path_or_url)
        self.label = self._url.render_as_string(hide_password=True)
        if self._is_sqlite:
            self.label = str(self._url.database)
            _check_file(Path(self.label))
        self._engine = self._connectable()
        self._writer = self._engine.execution_options(winnow_write=True)
        self._reader = self._engine
        if not self._is_sqlite:
            # SQLite's readers see one state anyhow
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._dispose = weakref.finalize(self, self._engine.dispose)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connections back; closing twice is allowed."""
        self._dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection inside a transaction that reads."""
        with self._transaction(self._reader, "read") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection inside a transaction that writes."""
        with self._transaction(self._writer, "write") as connection:
            yield connection

    def upsert(self, table: sa.Table) -> Any:
        """Return an INSERT of this dialect, with ``on_conflict_do_nothing`` and
        ``on_conflict_do_update``.
        """
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def _transaction(self, engine: sa.Engine, what: str) -> Iterator[sa.Connection]:
        if not self._dispose.alive:
            raise WorkspaceError(f"the ledger {self.label} is closed")
        try:
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise WorkspaceError(f"cannot {what} the ledger {self.label}: {cause}") from error

    def _connectable(self) -> sa.Engine:
        arguments = {"timeout": LOCK_SECONDS} if self._is_sqlite else {}
        try:
            engine = sa.create_engine(self._url, connect_args=arguments)
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "psycopg", "postgresql") from error
        if self._is_sqlite:
            sa.event.listen(engine, "connect", _set_up_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _prepare(self) -> None:
        """Create the tables in an empty database; check the version of one that has them."""
        with self.read() as connection:
            found = self._version(connection)
        if found is not None and found > SCHEMA_VERSION:
            raise WorkspaceError(
                f"the ledger {self.label} was written by a newer winnow (schema {found}; this one "
                f"reads {SCHEMA_VERSION}): upgrade with pip install -U winnow-ml"
            )
        if self._is_sqlite:
            self._use_wal()
        if found is None or found < SCHEMA_VERSION:
            with self.write() as connection:
                if not self._is_sqlite:  # tables that two processes create at once collide there
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATION_LOCK)))
                found = self._version(connection)  # another process may have been first
                if found is None:
                    metadata.create_all(connection)
                    connection.execute(
                        sa.insert(meta).values(key="schema", value=str(SCHEMA_VERSION))
                    )
                elif found < SCHEMA_VERSION:
                    self._upgrade(connection)

    def _upgrade(self, connection: sa.Connection) -> None:
        """Give an older ledger the tables and columns that it lacks.

        What it holds stays; new columns are empty.
        """
        inspector = sa.inspect(connection)
        metadata.create_all(connection)
        for table in metadata.sorted_tables:
            there = {column["name"] for column in inspector.get_columns(table.name)}
            lacking = [column for column in table.columns if column.name not in there]
            needed = [column.name for column in lacking if not column.nullable]
            if needed:
                raise WorkspaceError(
                    f"the ledger {self.label} cannot be used: its table `{table.name}` lacks "
                    f"{', '.join(needed)}, which every version of winnow wrote; it is damaged or "
                    f"was changed by hand - start in another directory"
                )
            for column in lacking:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(
                    f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}'
                )
        connection.execute(
            sa.update(meta).where(meta.c.key == "schema").values(value=str(SCHEMA_VERSION))
        )

    def _use_wal(self) -> None:
        """Switch to write-ahead logging.

        It is a property of the file, so only one that is known to be a ledger gets it.
        """
        deadline = time.monotonic() + LOCK_SECONDS
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            while True:
                try:
                    driver.execute("PRAGMA journal_mode = WAL")
                    return
                except sqlite3.OperationalError as error:
                    # Of two processes that create the file together one is told "locked" at once,
                    # without the time-out
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise WorkspaceError(
                            f"cannot write the ledger {self.label}: {error}"
                        ) from error
                    time.sleep(0.01)

    def _version(self, connection: sa.Connection) -> int | None:
        """Return the schema version of the ledger, or None for an empty database."""
        inspector = sa.inspect(connection)
        if not inspector.has_table(meta.name):
            # On PostgreSQL a ledger may share its database with other tables
            others = inspector.get_table_names() if self._is_sqlite else []
            if others:
                raise WorkspaceError(
                    f"{self.label} is a database but no ledger: it holds {', '.join(others[:5])}"
                )
            return None
        columns = {column["name"] for column in inspector.get_columns(meta.name)}
        if columns >= set(meta.c.keys()):
            query = sa.select(meta.c.value).where(meta.c.key == "schema")
            text = connection.execute(query).scalar()
            if text is not None and str(text).isdecimal():
                return int(text)
        raise WorkspaceError(
            f"{self.label} is a database but no ledger: its table `meta` names no schema"
        )


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """Return ``ids`` in lists that fit an IN clause."""
    listed = list(ids)
    return (listed[i : i + CHUNK] for i in range(0, len(listed), CHUNK))


def _url(path_or_url: str | Path) -> sa.URL:
    """Return the URL of a ledger; a path means SQLite."""
    if isinstance(path_or_url, Path) or "://" not in path_or_url:
        return sa.URL.create("sqlite", database=str(Path(path_or_url).absolute()))
    try:
        url = sa.make_url(path_or_url)
        backend = url.get_backend_name()
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        # A password is not for error messages
        shown = re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", path_or_url)
        raise WorkspaceError(
            f"expected a file or a database URL such as postgresql://host/name, got {shown!r}"
        ) from error
    if backend not in ("sqlite", "postgresql"):
        raise WorkspaceError(f"a ledger lives in SQLite or PostgreSQL, got {backend!r}")
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise WorkspaceError(
                "a ledger is a durable record and needs a file, got a database in memory"
            )
        return url.set(database=str(Path(url.database).absolute()))
    # What "postgresql" alone means differs between versions of SQLAlchemy
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    return url


def _check_file(path: Path) -> None:
    """Refuse at the door what SQLite would refuse later and less clearly."""
    if path.is_dir():
        raise WorkspaceError(
            f"expected a file for the ledger, got the directory {path} - did you mean "
            f"{path / 'ledger.db'}?"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"cannot make the directory {path.parent} for the ledger: {error.strerror}"
        ) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise WorkspaceError(
            f"cannot write into the directory {path.parent}, which the ledger needs"
        )
    if not path.exists():
        return
    if not os.access(path, os.R_OK | os.W_OK):
        raise WorkspaceError(f"cannot read and write the ledger {path}: permission denied")
    with path.open("rb") as file:
        start = file.read(16)
    if start not in (b"", b"SQLite format 3\0"):
        raise WorkspaceError(f"{path} is no ledger: it is not a SQLite database")


def _set_up_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    # The driver begins no transaction by itself: _begin_sqlite does
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # With WAL a killed process loses nothing committed
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("winnow_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
