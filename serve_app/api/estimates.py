"""How long a job will take, from what jobs of its model took before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from serve_app.blocking import Blocking
from storage.jobs import Job, JobStatus, JobStore, ModelHistory

#: Seconds for which the figures are kept.
TTL_S = 10.0
#: How far back the figures go.
WINDOW = timedelta(days=7)


class Estimates:
    """Average run times by model, read again every few seconds."""

    def __init__(self) -> None:
        self._history: Mapping[str, ModelHistory] = {}
        self._read_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def refresh(self, jobs: JobStore, blocking: Blocking, now: datetime) -> None:
        async with self._lock:
            if self._read_at is None or (now - self._read_at).total_seconds() > TTL_S:
                self._history = await blocking(jobs.history, since=now - WINDOW)
                self._read_at = now

    def eta_seconds(self, job: Job, position: int | None) -> float | None:
        """Seconds until the job ends; None without history of its model.

        A waiting job at position n is taken to run after n - 1 jobs like itself.
        """
        history = self._history.get(job.model)
        run_s = history.average_run_seconds if history else None
        if run_s is None:
            return None
        match job.status:
            case JobStatus.PENDING:
                return round(run_s * (position or 1), 1)
            case JobStatus.PROCESSING:
                return round(run_s * (1 - fraction_done(job)), 1)
        return None


def fraction_done(job: Job) -> float:
    """Share of the job's steps that are done, 0 to 1."""
    if job.status is JobStatus.COMPLETED:
        return 1.0
    progress = job.progress
    if progress is None or not progress.step or not progress.total_steps:
        return 0.0
    return progress.step / progress.total_steps
