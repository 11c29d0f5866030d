"""What each client of this API has chosen and is having made.

AUTOMATIC1111 serves one person: it has one current checkpoint and one task. Here each client has its own.
They are kept in the memory of this process; every ingress process knows those that came to it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock

from storage.jobs import JobId

#: Clients kept; the one that has been silent longest is forgotten first.
MOST_CLIENTS = 10_000
#: Tasks kept of one client; the oldest is forgotten first, and goes on.
MOST_TASKS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One call of txt2img: the jobs that make its pictures, in order."""

    id: str
    jobs: tuple[JobId, ...]


@dataclass(kw_only=True, slots=True)
class _Client:
    checkpoint: str | None = None
    tasks: deque[Task] = field(default_factory=lambda: deque(maxlen=MOST_TASKS))


class Clients:
    """By the name of the client: its API key's id, or its address."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str | None, _Client] = OrderedDict()
        # Routes that never wait run in threads.
        self._lock = Lock()

    def checkpoint(self, client: str | None) -> str | None:
        """The model that the client has chosen, if it has."""
        known = self._clients.get(client)
        return known.checkpoint if known else None

    def choose(self, client: str | None, checkpoint: str) -> None:
        self._known(client).checkpoint = checkpoint

    def begin(self, client: str | None, task: Task) -> None:
        self._known(client).tasks.append(task)

    def finish(self, client: str | None, task: Task) -> None:
        """Forget the task; no error if that has happened before."""
        known = self._clients.get(client)
        if known is not None and task in known.tasks:
            known.tasks.remove(task)

    def tasks(self, client: str | None) -> tuple[Task, ...]:
        """Those that have not been finished, oldest first."""
        known = self._clients.get(client)
        return tuple(known.tasks) if known else ()

    def _known(self, client: str | None) -> _Client:
        with self._lock:
            known = self._clients.pop(client, None) or _Client()
            self._clients[client] = known
            if len(self._clients) > MOST_CLIENTS:
                self._clients.popitem(last=False)
            return known
