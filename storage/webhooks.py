"""Telling a job's end to an address: what is remembered of it, and what a store of that promises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from storage.jobs import JobId

WebhookStatus = Literal["waiting", "failing", "delivered", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """One row of the webhooks table, with the address from the job's."""

    job_id: JobId
    url: str
    #: Tries so far.
    attempts: int = 0
    #: When it is tried next, once the job has ended. None: it was delivered, or given up.
    next_at: datetime | None = None
    delivered_at: datetime | None = None
    #: Why the latest try failed.
    problem: str | None = None

    @property
    def status(self) -> WebhookStatus:
        """`failing` is tried again, `failed` is not."""
        if self.delivered_at is not None:
            return "delivered"
        if self.next_at is None:
            return "failed"
        return "failing" if self.attempts else "waiting"


class WebhookStore(Protocol):
    """Rows are made by JobStore.add and go with their job. Blocking; call it from a thread."""

    def get(self, job_id: JobId) -> Webhook | None: ...

    def due(self, *, now: datetime, limit: int) -> tuple[Webhook, ...]:
        """Those of ended jobs whose time has come, longest due first."""
        ...

    def delivered(self, job_id: JobId, *, now: datetime) -> None:
        """Count a try that was the last: the address has taken it."""
        ...

    def failed(self, job_id: JobId, *, problem: str, next_at: datetime | None) -> None:
        """Count a try that was in vain. `next_at` None: give up."""
        ...
