"""Writing a job's progress: the latest only, and not too often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from storage import StorageError
from storage.jobs import JobProgress

log = logging.getLogger("cyberimage.dispatcher")

#: Seconds between two writes of one job's progress. A change of phase is written at the next chance.
INTERVAL_S = 0.2


class ProgressWriter:
    """Keeps the newest progress and writes it in the background; a slow write delays no step."""

    def __init__(
        self, write: Callable[[JobProgress], Coroutine[Any, Any, None]], interval_s: float = INTERVAL_S
    ) -> None:
        self._write = write
        self._interval_s = interval_s
        self._latest: JobProgress | None = None
        self._written: JobProgress | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._under_way: asyncio.Task[None] | None = None

    def put(self, progress: JobProgress) -> None:
        self._latest = progress
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; a write under way is finished, a waiting one is dropped."""
        self._latest = None
        if self._task is not None:
            self._task.cancel()
        if tasks := [task for task in (self._task, self._under_way) if task is not None]:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            if self._same_phase():
                await asyncio.sleep(self._interval_s)
            self._changed.clear()
            if (latest := self._latest) is not None and latest != self._written:
                self._under_way = asyncio.create_task(self._try_to_write(latest))
                await asyncio.shield(self._under_way)
                self._written = latest

    async def _try_to_write(self, progress: JobProgress) -> None:
        """A progress that cannot be stored is no reason to stop the job, nor to store no later one."""
        try:
            await self._write(progress)
        except StorageError as error:
            log.warning("progress not stored: %s", error)

    def _same_phase(self) -> bool:
        latest, written = self._latest, self._written
        return latest is not None and written is not None and latest.phase == written.phase
