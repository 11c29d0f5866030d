"""Quotas of clients, in SQL; each function is part of the caller's transaction."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select, update

from storage.errors import ClientQueueFull, QuotaUsedUp, StorageError
from storage.jobs import Job, JobStatus, Quota
from storage.schema import jobs, usage
from storage.usage import Usage, with_outputs_of


def spend(connection: Connection, job: Job, quota: Quota) -> StorageError | None:
    """Count the job against its client's quota; or why it is refused, and nothing is counted."""
    client = job.client or ""
    if quota.waiting is not None and _waiting(connection, client) >= quota.waiting:
        return ClientQueueFull()
    if quota.outputs_per_day is None:
        return None
    row = connection.execute(select(usage).where(usage.c.client == client)).one_or_none()
    used = None if row is None else Usage(day=row.day, outputs=row.outputs)
    try:
        new = with_outputs_of(job, used, most=quota.outputs_per_day)
    except QuotaUsedUp as refusal:
        return refusal
    change = insert(usage) if row is None else update(usage).where(usage.c.client == client)
    connection.execute(change.values(client=client, day=new.day, outputs=new.outputs))
    return None


def _waiting(connection: Connection, client: str) -> int:
    count = select(func.count()).select_from(jobs)
    mine = count.where(jobs.c.client == client, jobs.c.status == JobStatus.PENDING.value)
    return connection.scalar(mine) or 0
