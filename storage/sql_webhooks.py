"""The webhooks in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Update, bindparam, delete, insert, select, update

from storage.database import Database
from storage.jobs import Job, JobId
from storage.schema import has_ended, jobs
from storage.schema import webhooks as table
from storage.webhooks import Webhook

_OF_JOB = jobs.c.id == table.c.job_id
_ALL = select(table, select(jobs.c.webhook_url).where(_OF_JOB).scalar_subquery().label("url"))
_ONE = _ALL.where(table.c.job_id == bindparam("of_job"))
#: Not a join: SQLite would begin with all the jobs that have ended.
_HAS_ENDED = select(jobs.c.id).where(_OF_JOB, has_ended).exists()
_DUE = (
    _ALL.where(table.c.next_at <= bindparam("now"), _HAS_ENDED)
    .order_by(table.c.next_at, table.c.job_id)
    .limit(bindparam("number"))
)


class SqlWebhookStore:
    """Implements WebhookStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, job_id: JobId) -> Webhook | None:
        with self._database.read() as connection:
            row = connection.execute(_ONE, {"of_job": job_id}).one_or_none()
        return None if row is None else _webhook(row)

    def due(self, *, now: datetime, limit: int) -> tuple[Webhook, ...]:
        with self._database.read() as connection:
            return tuple(map(_webhook, connection.execute(_DUE, {"now": now, "number": limit})))

    def delivered(self, job_id: JobId, *, now: datetime) -> None:
        self._change(_tried(job_id).values(next_at=None, delivered_at=now, problem=None))

    def failed(self, job_id: JobId, *, problem: str, next_at: datetime | None) -> None:
        self._change(_tried(job_id).values(next_at=next_at, problem=problem))

    def _change(self, change: Update) -> None:
        with self._database.write() as connection:
            connection.execute(change)


def insert_webhook(connection: Connection, job: Job) -> None:
    """Remember, as part of the caller's transaction, that the job's end is to be told."""
    connection.execute(insert(table).values(job_id=job.id, attempts=0, next_at=job.created_at))


def delete_webhooks(connection: Connection, job_ids: Sequence[str]) -> None:
    """Remove those of the jobs as part of the caller's transaction."""
    connection.execute(delete(table).where(table.c.job_id.in_(job_ids)))


def _tried(job_id: JobId) -> Update:
    return update(table).where(table.c.job_id == job_id).values(attempts=table.c.attempts + 1)


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(**row._mapping)
