"""Requests that come again without a key, in SQL; each is part of the caller's transaction."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from storage.jobs import Job, Resend
from storage.resends import MOST, sent_before
from storage.rows import job_from_row
from storage.schema import jobs

_EQUAL = (
    select(jobs)
    .where(
        jobs.c.client == bindparam("of_client"),
        jobs.c.request_hash == bindparam("of_request"),
        jobs.c.created_at >= bindparam("since", type_=jobs.c.created_at.type),
        jobs.c.idempotency_key.is_(None),
    )
    .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    .limit(MOST)
)


def sent_again(connection: Connection, job: Job, resend: Resend) -> Job | None:
    """The job of the request's first sending, with the count noted in its row; None if there is none."""
    if job.idempotency_key is not None or job.request_hash is None:
        return None
    first = first_sent(connection, job.client, job.request_hash, resend)
    if first is None or first.resent >= resend.count:
        return first
    change = update(jobs).where(jobs.c.id == first.id).values(resent=resend.count)
    return job_from_row(connection.execute(change.returning(jobs)).one()._mapping)


def first_sent(connection: Connection, client: str | None, request_hash: str, resend: Resend) -> Job | None:
    """What JobStore.first_sent promises."""
    values = {"of_client": client or "", "of_request": request_hash, "since": resend.since}
    rows = connection.execute(_EQUAL, values).mappings()
    return sent_before(map(job_from_row, rows), resend)
