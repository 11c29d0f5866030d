"""A small SQLite file in which the ingress processes keep what they have to know of each other.

It is no part of the database: lost, it costs convenience, and no job.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from storage.errors import DatabaseUnavailable
from storage.recovery import PARTS, is_damage

log = logging.getLogger("cyberimage.shared_file")

#: Seconds to wait for another process.
PATIENCE_S = 5.0

#: Of the file, and of those that SQLite may keep beside it.
ENDINGS = (*PARTS, "-journal")


class SharedFile:
    """Runs single statements, each a transaction of its own. Reads and writes a file, so it blocks.

    A damaged file is removed and begun anew, with what was in it lost: nothing is synced to the disk, so that
    a power cut may leave one.
    """

    def __init__(self, file: Path, schema: str) -> None:
        self._file = file
        self._schema = schema

    def run(self, statement: str, values: Sequence[str | int | float | bytes] = ()) -> list[tuple[Any, ...]]:
        """The rows that the statement gives. Raises DatabaseUnavailable where the file cannot be used."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._locked(fcntl.LOCK_SH):
                    return self._run(statement, values)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
            with self._locked(fcntl.LOCK_EX):
                return self._run_anew(statement, values)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseUnavailable(f"{self._file.name} cannot be used: {error}") from error

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Shared by those who use the file; the one who removes it has the lock alone."""
        with self._beside(".lock").open("a+b") as lock:
            fcntl.flock(lock, kind)
            yield

    def _run(self, statement: str, values: Sequence[str | int | float | bytes]) -> list[tuple[Any, ...]]:
        # A connection of this call's own, since calls come from any thread.
        with closing(sqlite3.connect(self._file, timeout=PATIENCE_S)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(self._schema)
            return connection.execute(statement, values).fetchall()

    def _run_anew(self, statement: str, values: Sequence[str | int | float | bytes]) -> list[tuple[Any, ...]]:
        """In a new file, unless another thread or process has begun one since."""
        try:
            return self._run(statement, values)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            log.warning("%s is damaged and begun anew: %s", self._file, error)
        for ending in ENDINGS:
            self._beside(ending).unlink(missing_ok=True)
        return self._run(statement, values)

    def _beside(self, ending: str) -> Path:
        return self._file.with_name(self._file.name + ending)


@contextmanager
def best_effort(loss: str) -> Iterator[None]:
    """Goes on behind the block where a file cannot be used, and logs what is lost by that."""
    try:
        yield
    except DatabaseUnavailable as error:
        log.warning("%s: %s", loss, error)
