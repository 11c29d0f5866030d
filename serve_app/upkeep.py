"""Now and then: what is over the limits goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from configs.settings import Settings
from serve_app.blocking import Blocking
from storage.retention import Limits, Retention

log = logging.getLogger("cyberimage.upkeep")

#: Seconds between two rounds. One looks at the size of every file: 0.4 s for 100,000 of them.
INTERVAL_S = 300.0


def limits_of(settings: Settings) -> Limits:
    return limits(days=settings.keep_days, gigabytes=settings.max_media_gb)


def limits(*, days: float | None, gigabytes: float | None) -> Limits:
    """Gigabytes of 10^9 bytes."""
    return Limits(
        age=None if days is None else timedelta(days=days),
        size=None if gigabytes is None else int(gigabytes * 1e9),
    )


class Upkeep:
    """Does the rounds of one database; there must be one, in the process that owns the queue."""

    def __init__(
        self, retention: Retention, limits: Limits, *, blocking: Blocking, now: Callable[[], datetime]
    ) -> None:
        self._retention = retention
        self._limits = limits
        self._blocking = blocking
        self._now = now

    async def keep(self) -> None:
        """A round at once, then one every INTERVAL_S, until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(INTERVAL_S)

    async def round(self) -> None:
        try:
            await self._blocking(self._round)
        except Exception:
            log.exception("a round of upkeep")

    def _round(self) -> None:
        now = self._now()
        gone = list(self._retention.remove(self._limits, now=now))
        jobs = self._retention.forget_jobs(self._limits, now=now)
        self._retention.forget_keys(now=now)
        if gone or jobs:
            freed = sum(removal.size for removal in gone)
            log.info("over the limits: %d media (%d bytes) and %d jobs removed", len(gone), freed, jobs)
