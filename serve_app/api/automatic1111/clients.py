"""What each client of this API has chosen and is having made.

AUTOMATIC1111 serves one person: it has one current checkpoint and one task. Here each client has its own.
They are in a small file that the ingress processes share, since a client's next request may come to
another one. It is no part of the database: lost, it costs a client its choice, and no job.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.errors import DatabaseUnavailable
from storage.jobs import JobId

#: Kept of all clients; the oldest are forgotten first, and their jobs go on.
MOST_CHOICES, MOST_TASKS = 10_000, 10_000
#: Kept of one client.
MOST_OWN_TASKS = 100
#: Seconds to wait for another process.
PATIENCE_S = 5.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS choices (number INTEGER PRIMARY KEY, client TEXT UNIQUE, checkpoint TEXT);
CREATE TABLE IF NOT EXISTS tasks (number INTEGER PRIMARY KEY, client TEXT, id TEXT, jobs TEXT);
CREATE INDEX IF NOT EXISTS tasks_of_client ON tasks (client);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One call of txt2img: the jobs that make its pictures, in order."""

    id: str
    jobs: tuple[JobId, ...]


class Clients:
    """By the name of the client: its API key's id, or its address. Reads and writes the file, so it blocks.

    Every method raises DatabaseUnavailable where the file cannot be used.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def checkpoint(self, client: str | None) -> str | None:
        """The model that the client has chosen, if it has."""
        rows = self._run("SELECT checkpoint FROM choices WHERE client = ?", [client or ""])
        return str(rows[0][0]) if rows else None

    def choose(self, client: str | None, checkpoint: str) -> None:
        self._run("REPLACE INTO choices (client, checkpoint) VALUES (?, ?)", [client or "", checkpoint])
        self._run("DELETE FROM choices WHERE number <= (SELECT max(number) FROM choices) - ?", [MOST_CHOICES])

    def begin(self, client: str | None, task: Task) -> None:
        row = [client or "", task.id, json.dumps(task.jobs)]
        self._run("INSERT INTO tasks (client, id, jobs) VALUES (?, ?, ?)", row)
        self._run("DELETE FROM tasks WHERE number <= (SELECT max(number) FROM tasks) - ?", [MOST_TASKS])

    def finish(self, client: str | None, task: Task) -> None:
        """Forget the task; no error if that has happened before."""
        row = [client or "", json.dumps(task.jobs)]
        self._run("DELETE FROM tasks WHERE client = ? AND jobs = ?", row)

    def tasks(self, client: str | None) -> tuple[Task, ...]:
        """Those that have not been finished, oldest first; of very many the newest."""
        latest = "SELECT id, jobs FROM tasks WHERE client = ? ORDER BY number DESC LIMIT ?"
        rows = self._run(latest, [client or "", MOST_OWN_TASKS])
        return tuple(Task(id=name, jobs=tuple(json.loads(jobs))) for name, jobs in reversed(rows))

    def _run(self, statement: str, values: Sequence[str | int]) -> list[tuple[str, ...]]:
        try:
            with self._opened() as connection:
                return connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise DatabaseUnavailable(f"{self._file.name} cannot be used: {error}") from error

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of this call's own, since calls come from any thread. What is done is committed."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=PATIENCE_S)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(SCHEMA)
            yield connection
