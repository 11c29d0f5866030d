"""Forgetting old jobs and their idempotency keys, in SQL; each is part of the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, insert, select

from storage.jobs import KEY_LIFETIME, Job
from storage.schema import has_ended, jobs, media
from storage.schema import spent_keys as keys
from storage.sql_webhooks import delete_webhooks


def delete_jobs(connection: Connection, job_ids: Sequence[str]) -> None:
    """Remove jobs that have no media; their idempotency keys hold on."""
    _spend_keys(connection, job_ids)
    delete_webhooks(connection, job_ids)
    connection.execute(delete(jobs).where(jobs.c.id.in_(job_ids)))


def expendable_jobs(*, ended_before: datetime, limit: int) -> Select[str]:
    """The ids of jobs that have ended before then and have no media."""
    with_media = select(media.c.id).where(media.c.job_id == jobs.c.id).exists()
    return select(jobs.c.id).where(has_ended, jobs.c.completed_at < ended_before, ~with_media).limit(limit)


def request_of_spent_key(connection: Connection, job: Job) -> str | None:
    """The request hash with which the job's key was used for a job that is deleted; None if it was not."""
    if job.idempotency_key is None:
        return None
    of_key = and_(keys.c.client == (job.client or ""), keys.c.idempotency_key == job.idempotency_key)
    lives = keys.c.expires_at > job.created_at
    row = connection.execute(select(keys.c.request_hash).where(of_key, lives)).one_or_none()
    return None if row is None else row.request_hash or ""


def expired_keys(now: datetime) -> ColumnElement[bool]:
    return keys.c.expires_at <= now


def _spend_keys(connection: Connection, job_ids: Sequence[str]) -> None:
    columns = (jobs.c.client, jobs.c.idempotency_key, jobs.c.request_hash, jobs.c.created_at)
    of_jobs = and_(jobs.c.id.in_(job_ids), jobs.c.idempotency_key.is_not(None))
    for row in connection.execute(select(*columns).where(of_jobs)).all():
        # An earlier job's, whose lifetime is over: the key was used again since.
        of_key = and_(keys.c.client == row.client, keys.c.idempotency_key == row.idempotency_key)
        connection.execute(delete(keys).where(of_key))
        values = {**row._mapping, "expires_at": row.created_at + KEY_LIFETIME}
        del values["created_at"]
        connection.execute(insert(keys).values(values))
