"""What each client of this API has chosen and is having made.

AUTOMATIC1111 serves one person: it has one current checkpoint and one task. Here each client has its own.
The ingress processes share them, since a client's next request may come to another one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from serve_app.api.shared_file import SharedFile, best_effort
from storage.jobs import JobId

#: Kept of all clients; the oldest are forgotten first, and their jobs go on.
MOST_CHOICES, MOST_TASKS = 10_000, 10_000
#: Kept of one client.
MOST_OWN_TASKS = 100

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

    Where the file cannot be used, begin and finish do nothing, for the task's jobs are queued by then; the
    other methods raise DatabaseUnavailable.
    """

    def __init__(self, file: Path) -> None:
        self._file = SharedFile(file, SCHEMA)

    def checkpoint(self, client: str | None) -> str | None:
        """The model that the client has chosen, if it has."""
        rows = self._file.run("SELECT checkpoint FROM choices WHERE client = ?", [client or ""])
        return str(rows[0][0]) if rows else None

    def choose(self, client: str | None, checkpoint: str) -> None:
        self._file.run("REPLACE INTO choices (client, checkpoint) VALUES (?, ?)", [client or "", checkpoint])
        self._file.run(
            "DELETE FROM choices WHERE number <= (SELECT max(number) FROM choices) - ?", [MOST_CHOICES]
        )

    def begin(self, client: str | None, task: Task) -> None:
        row = [client or "", task.id, json.dumps(task.jobs)]
        forget = "DELETE FROM tasks WHERE number <= (SELECT max(number) FROM tasks) - ?"
        with best_effort("a task is not remembered"):
            self._file.run("INSERT INTO tasks (client, id, jobs) VALUES (?, ?, ?)", row)
            self._file.run(forget, [MOST_TASKS])

    def finish(self, client: str | None, task: Task) -> None:
        """Forget the task; no error if that has happened before."""
        row = [client or "", json.dumps(task.jobs)]
        with best_effort("a task is not forgotten"):
            self._file.run("DELETE FROM tasks WHERE client = ? AND jobs = ?", row)

    def tasks(self, client: str | None) -> tuple[Task, ...]:
        """Those that have not been finished, oldest first; of very many the newest."""
        latest = "SELECT id, jobs FROM tasks WHERE client = ? ORDER BY number DESC LIMIT ?"
        rows = self._file.run(latest, [client or "", MOST_OWN_TASKS])
        return tuple(Task(id=name, jobs=tuple(json.loads(jobs))) for name, jobs in reversed(rows))
