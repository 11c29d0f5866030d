"""What completed jobs took, read again in the background after jobs have ended."""

from __future__ import annotations

import asyncio
import logging

from serve_app.blocking import Blocking
from serve_app.estimates import Estimator
from storage import StorageError
from storage.jobs import JobStore

log = logging.getLogger("cyberimage.dispatcher")

#: Runs of each model and kind of start that count: enough for medians, and what is new counts soon.
LATEST = 30
#: Seconds between two readings.
INTERVAL_S = 0.5


class Recorded:
    """Keeps an estimator; until the first reading it knows nothing."""

    def __init__(self, jobs: JobStore, blocking: Blocking) -> None:
        self._jobs = jobs
        self._blocking = blocking
        self._stale = asyncio.Event()
        self._stale.set()
        self.estimator = Estimator()

    def job_ended(self) -> None:
        """There may be something new to read."""
        self._stale.set()

    async def keep(self) -> None:
        """Read again when jobs have ended, until cancelled."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                self.estimator = await self._blocking(self._read)
            except StorageError as error:
                log.warning("what jobs took was not read: %s", error)
                self._stale.set()
            await asyncio.sleep(INTERVAL_S)

    def _read(self) -> Estimator:
        return Estimator(self._jobs.records(latest=LATEST))
