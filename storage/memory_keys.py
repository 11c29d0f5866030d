"""Idempotency keys of deleted jobs, forgotten at exit."""

from __future__ import annotations

from datetime import datetime

from storage.errors import IdempotencyConflict, KeyOfDeletedJob
from storage.jobs import KEY_LIFETIME, Job


class MemoryKeys:
    """The last job of each client and key that was deleted."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str | None, str], Job] = {}

    def keep(self, job: Job) -> None:
        """The job's key holds, though the job is deleted."""
        if job.idempotency_key is not None:
            self._jobs[job.client, job.idempotency_key] = job

    def check(self, job: Job) -> None:
        """Raises KeyOfDeletedJob, IdempotencyConflict."""
        spent = self._jobs.get((job.client, job.idempotency_key or ""))
        if job.idempotency_key is None or spent is None or _expiry(spent) <= job.created_at:
            return
        raise KeyOfDeletedJob if spent.request_hash == job.request_hash else IdempotencyConflict

    def forget(self, now: datetime) -> int:
        """Let the keys go whose lifetime is over; their number."""
        expired = [key for key, job in self._jobs.items() if _expiry(job) <= now]
        for key in expired:
            del self._jobs[key]
        return len(expired)


def _expiry(job: Job) -> datetime:
    return job.created_at + KEY_LIFETIME
