"""Writing a job's progress: the latest only, and not too often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from storage.jobs import JobProgress

#: Seconds between two writes of one job's progress. A change of phase is written at once.
INTERVAL_S = 0.2


class ProgressWriter:
    """Keeps the newest progress and writes it in the background; a slow write delays no step."""

    def __init__(
        self, write: Callable[[JobProgress], Awaitable[None]], interval_s: float = INTERVAL_S
    ) -> None:
        self._write = write
        self._interval_s = interval_s
        self._latest: JobProgress | None = None
        self._written: JobProgress | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, progress: JobProgress) -> None:
        self._latest = progress
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; a write under way is finished, a waiting one is dropped."""
        if self._task is not None:
            self._latest = None
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            if self._same_phase():
                await asyncio.sleep(self._interval_s)
            self._changed.clear()
            if (latest := self._latest) is not None and latest != self._written:
                await asyncio.shield(self._write(latest))
                self._written = latest

    def _same_phase(self) -> bool:
        latest, written = self._latest, self._written
        return latest is not None and written is not None and latest.phase == written.phase
