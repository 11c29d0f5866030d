"""Webhooks that are forgotten at exit: for tests, and for trying things out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from threading import RLock

from storage.jobs import Job, JobId, JobStatus
from storage.webhooks import Webhook


class MemoryWebhookStore:
    """The twin of SqlWebhookStore."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._webhooks: dict[JobId, Webhook] = {}
        #: How a job stands; the job store says.
        self.status_of: Callable[[JobId], JobStatus] = lambda job_id: JobStatus.PENDING

    def insert(self, job: Job) -> None:
        """Remember that the job's end is to be told, if it is."""
        if job.webhook_url is not None:
            self._put(Webhook(job_id=job.id, url=job.webhook_url, next_at=job.created_at))

    def delete(self, job_id: JobId) -> None:
        with self._lock:
            self._webhooks.pop(job_id, None)

    def get(self, job_id: JobId) -> Webhook | None:
        return self._webhooks.get(job_id)

    def due(self, *, now: datetime, limit: int) -> tuple[Webhook, ...]:
        with self._lock:
            come = [(each.next_at, each) for each in self._webhooks.values() if each.next_at is not None]
        found = [each for next_at, each in come if next_at <= now and self.status_of(each.job_id).ended]
        return tuple(sorted(found, key=lambda each: (each.next_at, each.job_id))[:limit])

    def delivered(self, job_id: JobId, *, now: datetime) -> None:
        if (webhook := self.get(job_id)) is not None:
            self._tried(replace(webhook, next_at=None, delivered_at=now, problem=None))

    def failed(self, job_id: JobId, *, problem: str, next_at: datetime | None) -> None:
        if (webhook := self.get(job_id)) is not None:
            self._tried(replace(webhook, next_at=next_at, problem=problem))

    def _tried(self, webhook: Webhook) -> None:
        self._put(replace(webhook, attempts=webhook.attempts + 1))

    def _put(self, webhook: Webhook) -> None:
        with self._lock:
            self._webhooks[webhook.job_id] = webhook
