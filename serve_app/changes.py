"""News of jobs: which have changed. Subscribers look the rest up; the rows are the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager


class Subscription:
    """One listener's unread changes: job id to latest status. Reading empties it; it cannot overflow."""

    def __init__(self) -> None:
        self._unread: dict[str, str] = {}
        self._ready = asyncio.Event()

    def put(self, job_id: str, status: str) -> None:
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
    """Tells every subscriber of every change, once. Several changes of one job may arrive as the last one."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, job_id: str, status: str) -> None:
        for subscription in self._subscriptions:
            subscription.put(job_id, status)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def stream(self, heartbeat_s: float) -> AsyncIterator[dict[str, str]]:
        """Changes without end; an empty dict after `heartbeat_s` seconds without one."""
        with self.subscribe() as subscription:
            while True:
                yield await subscription.next(heartbeat_s)
