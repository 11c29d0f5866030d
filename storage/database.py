"""Connections to the database, and bringing its schema up to date.

SQLite gets three kinds of connection to one file: for reading, for writes that are on the disk when they
return, and for hints (progress, leases), which every process sees at once but a power cut may undo.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from storage.errors import DatabaseDamaged, DatabaseUnavailable, DatabaseUrlUnusable, DiskFull, SchemaTooNew

_MIGRATIONS = Path(__file__).parent / "migrations"
#: Seconds for which a statement waits for another's lock, and then a thread for another's connection.
_PATIENCE_S = 10
#: libpq's, in seconds and milliseconds: a server that vanishes without a word, as by a power cut, is given up
#: after 25 s, where the system's own defaults wait for a quarter of an hour, or two hours.
_NOTICES_A_DEAD_SERVER: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_ONE_AT_A_TIME: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": _PATIENCE_S}
#: Threads that may read at once: as many as a web server's thread pool has.
_READERS = 40
#: Any number that no other program locks in the same PostgreSQL database.
_MIGRATION_LOCK = 0x437962657249

#: How SQLite and PostgreSQL say it.
_FULL = ("disk is full", "No space left on device")
_DAMAGED = ("disk image is malformed", "file is not a database")

_Synchronous = Literal["FULL", "NORMAL"]
_Switch = Literal["ON", "OFF"]


@dataclass(frozen=True, kw_only=True)
class Database:
    """Engines for the three kinds of access. Safe to share between threads, not across a fork."""

    reads: Engine
    writes: Engine
    hints: Engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees every commit so far, statement by statement."""
        with _plain_errors(), self.reads.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, on the disk when the block ends, rolled back when it raises."""
        with _plain_errors(), self.writes.begin() as connection:
            yield connection

    @contextmanager
    def hint(self) -> Iterator[Connection]:
        """One transaction that does not wait for the disk."""
        with _plain_errors(), self.hints.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL synchronous_commit TO OFF"))
            yield connection

    def close(self) -> None:
        for engine in (self.reads, self.writes, self.hints):
            engine.dispose()


def open_database(url: str) -> Database:
    """Connect, with the schema at this version; several processes may do so at once.

    A SQLite file and its folder are made when missing.

    Raises:
        DatabaseUrlUnusable: not the address of a SQLite file or a database server, or not theirs.
        SchemaTooNew: a newer version has migrated the database already.
        DatabaseDamaged: what is in the file is no database (any more), as far as opening it shows.
        DatabaseUnavailable: no connection.
    """
    address = _parse(url)
    try:
        with _plain_errors():
            return _open_sqlite(address) if address.get_backend_name() == "sqlite" else _open_server(address)
    except (DatabaseError, OSError) as error:
        raise DatabaseUrlUnusable(f"The database cannot be used: {error}") from error


def file_of(url: str) -> Path | None:
    """The file of a SQLite address; None for another. Raises DatabaseUrlUnusable."""
    address = _parse(url)
    return Path(str(address.database)) if address.get_backend_name() == "sqlite" else None


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise DatabaseUrlUnusable(f"Not a database address: {error}") from error
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise DatabaseUrlUnusable("A SQLite address needs a file, as in sqlite:///data/cyberimage.db.")
    return address


def _open_sqlite(address: URL) -> Database:
    path = Path(str(address.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Switching to WAL fails rather than waits while another process has the file open in the old mode.
    with FileLock(f"{path}.lock"):
        # Foreign keys would stop a migration from rebuilding a table that others refer to.
        _migrate(_sqlite_engine(address, synchronous="FULL", foreign_keys="OFF", poolclass=NullPool))
    return Database(
        reads=_sqlite_readers(address),
        # One writer a process: threads queue here, in order, rather than poll SQLite's lock.
        writes=_sqlite_engine(address, synchronous="FULL", **_ONE_AT_A_TIME),
        # Not OFF: a checkpoint made by such a connection could leave the file itself torn.
        hints=_sqlite_engine(address, synchronous="NORMAL", **_ONE_AT_A_TIME),
    )


def _sqlite_readers(address: URL) -> Engine:
    engine = create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        pool_size=_READERS,
        pool_use_lifo=True,
        pool_reset_on_return=None,
    )
    event.listen(engine, "connect", lambda connection, _: _set_pragmas(connection, query_only="ON"))
    return engine


def _sqlite_engine(
    address: URL, *, synchronous: _Synchronous, foreign_keys: _Switch = "ON", **pool: Any
) -> Engine:
    engine = create_engine(address, **pool)

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would be a deferred one
        _set_pragmas(connection, journal_mode="WAL", foreign_keys=foreign_keys, synchronous=synchronous)

    event.listen(engine, "connect", prepare)
    # A transaction that reads first and then writes cannot wait for the lock, so take it at once.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _set_pragmas(connection: sqlite3.Connection, **pragmas: str) -> None:
    connection.execute(f"PRAGMA busy_timeout={round(1000 * _PATIENCE_S)}")
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}")


def _open_server(address: URL) -> Database:
    patience: dict[str, Any] = {"pool_timeout": _PATIENCE_S}
    if address.get_backend_name() == "postgresql":
        locks = f"-c lock_timeout={_PATIENCE_S}s"
        patience["connect_args"] = {"connect_timeout": _PATIENCE_S, "options": locks} | _NOTICES_A_DEAD_SERVER
    try:
        engine = create_engine(address, pool_size=_READERS, pool_pre_ping=True, **patience)
    except ModuleNotFoundError as error:
        raise DatabaseUrlUnusable(f"The database driver is not installed: {error.name}.") from error
    try:
        _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(reads=engine.execution_options(isolation_level="AUTOCOMMIT"), writes=engine, hints=engine)


def _migrate(engine: Engine) -> None:
    """Upgrade to this version's schema in one transaction, which also keeps other processes out."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        if MigrationContext.configure(connection).get_current_heads() == (_newest(),):
            return
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise SchemaTooNew from error


@cache
def _newest() -> str | None:
    """The version of this program's schema. To read the migrations takes longer than to open a database."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn the driver's errors of circumstance into ours; errors of programming pass."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        if any(words in str(error) for words in _FULL):
            raise DiskFull from error
        raise DatabaseUnavailable(f"{DatabaseUnavailable.__doc__} ({error})") from error
    except DatabaseError as error:
        if any(words in str(error) for words in _DAMAGED):
            raise DatabaseDamaged(f"{DatabaseDamaged.__doc__} ({error.orig})") from error
        raise
