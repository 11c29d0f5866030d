"""News of jobs: which have changed. Subscribers look the rest up; the rows are the truth."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile

#: Jobs whose last change is kept for those who come back.
KEPT = 1000


@dataclass(frozen=True, slots=True)
class Position:
    """After which change somebody is: a number that holds for one life of the process that counts."""

    run: str
    number: int

    def __str__(self) -> str:
        return f"{self.run}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The position that was written so; None for anything else."""
        run, _, number = text.partition("-")
        return cls(run, int(number)) if number.isascii() and number.isdigit() and len(number) < 20 else None


@dataclass(frozen=True, slots=True)
class Change:
    number: int
    job_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Page:
    """All that has changed after `since`, in order. Of several changes of one job it has the last."""

    since: Position
    changes: tuple[Change, ...] = ()

    @property
    def end(self) -> Position:
        return Position(self.since.run, self.changes[-1].number) if self.changes else self.since


class Subscription:
    """One listener's unread changes: job id to latest status. Reading empties it; it cannot overflow.

    With `of`, it hears of these jobs only: news of others do not disturb its wait.
    """

    def __init__(self, of: Collection[str] | None = None) -> None:
        self._of = of
        self._unread: dict[str, str] = {}
        self._ready = asyncio.Event()

    def put(self, job_id: str, status: str) -> None:
        if self._of is not None and job_id not in self._of:
            return
        self._unread[job_id] = status
        self._ready.set()

    async def next(self, timeout_s: float | None = None) -> dict[str, str]:
        """The unread changes, as soon as there are any; empty after `timeout_s` seconds without one."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            return {}
        unread, self._unread = self._unread, {}
        self._ready.clear()
        return unread


class Broadcaster:
    """Tells every subscriber of every change, and keeps the last changes by number.

    The one that `publish` is called on counts; in other processes there may be copies of it, which `take`
    its pages and have the same numbers.
    """

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._run = secrets.token_hex(4)
        self._newest = 0
        #: Everything after this number is kept.
        self._oldest = 0
        self._kept: OrderedDict[str, Change] = OrderedDict()

    def publish(self, job_id: str, status: str) -> None:
        self._add(Change(self._newest + 1, job_id, status))

    def take(self, page: Page) -> None:
        """Copy what another one has published. What does not follow on what is kept replaces it."""
        if page.since != self.newest:
            self._kept.clear()
            self._run = page.since.run
            self._oldest = self._newest = page.since.number
        for change in page.changes:
            self._add(change)

    def _add(self, change: Change) -> None:
        self._newest = change.number
        self._kept.pop(change.job_id, None)
        self._kept[change.job_id] = change
        if len(self._kept) > KEPT:
            self._oldest = self._kept.popitem(last=False)[1].number
        for subscription in self._subscriptions:
            subscription.put(change.job_id, change.status)

    @property
    def newest(self) -> Position:
        return Position(self._run, self._newest)

    def knows(self, position: Position) -> bool:
        """Whether it is known what has changed since."""
        return position.run == self._run and self._oldest <= position.number <= self._newest

    def after(self, position: Position | None) -> Page:
        """What has changed since; if that is not known, all that is kept, since an earlier position."""
        since = position if position and self.knows(position) else Position(self._run, self._oldest)
        newer = takewhile(lambda change: change.number > since.number, reversed(self._kept.values()))
        return Page(since, tuple(newer)[::-1])

    @contextmanager
    def subscribe(self, of: Collection[str] | None = None) -> Iterator[Subscription]:
        """Hear of every change from now on, or of those of the jobs in `of`."""
        subscription = Subscription(of)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def pages(self, position: Position | None, heartbeat_s: float) -> AsyncIterator[Page]:
        """What has changed since the position, and so on without end; empty after `heartbeat_s` of silence.

        A page that does not begin where the one before has ended (the first: at the position) tells that what
        happened between them is not known.
        """
        with self.subscribe() as subscription:
            while True:
                page = self.after(position)
                if page.end == position and await subscription.next(heartbeat_s):
                    continue
                position = page.end
                yield page
