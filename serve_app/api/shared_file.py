"""A small SQLite file in which the ingress processes keep what they have to know of each other.

It is no part of the database: lost, it costs convenience, and no job.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from storage.errors import DatabaseUnavailable

#: Seconds to wait for another process.
PATIENCE_S = 5.0


class SharedFile:
    """Runs single statements, each a transaction of its own. Reads and writes a file, so it blocks."""

    def __init__(self, file: Path, schema: str) -> None:
        self._file = file
        self._schema = schema

    def run(self, statement: str, values: Sequence[str | int | float | bytes] = ()) -> list[tuple[Any, ...]]:
        """The rows that the statement gives. Raises DatabaseUnavailable where the file cannot be used."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # A connection of this call's own, since calls come from any thread.
            with closing(sqlite3.connect(self._file, timeout=PATIENCE_S)) as connection, connection:
                connection.execute("PRAGMA synchronous = OFF")
                connection.executescript(self._schema)
                return connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise DatabaseUnavailable(f"{self._file.name} cannot be used: {error}") from error
