"""The job store in SQLite or PostgreSQL: a method a query, each transition one guarded UPDATE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Integer,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from storage.cursors import Mark, encode_cursor
from storage.database import Database
from storage.errors import IdempotencyConflict, KeyOfDeletedJob, QueueFull, StorageError
from storage.group_commit import GroupCommit
from storage.jobs import (
    NO_QUOTA,
    Job,
    JobError,
    JobId,
    JobPage,
    JobProgress,
    JobStatus,
    ModelHistory,
    Quota,
    Resend,
    RunRecord,
    WaitingJob,
    Warmth,
)
from storage.keyset import newest_first
from storage.keyset import oldest_first as rows_oldest_first
from storage.media import Media
from storage.rows import (
    error_values,
    job_from_row,
    job_values,
    progress_values,
    record_from_row,
    waiting_from_row,
)
from storage.schema import is_clip, is_completed, spent_keys, state
from storage.schema import jobs as table
from storage.sql_media import delete_media_of_job, delete_unused_source, insert_media
from storage.sql_places import last_place, lock_queue, new_place, pending_place, place_before
from storage.sql_resends import first_sent, sent_again
from storage.sql_upkeep import delete_jobs, expendable_jobs, expired_keys, request_of_spent_key
from storage.sql_usage import spend
from storage.sql_webhooks import insert_webhook

_ONE = select(table).where(table.c.id == bindparam("job_id"))
_SUBMITTED_BEFORE = select(table).where(
    table.c.client == bindparam("of_client"), table.c.idempotency_key == bindparam("key")
)
_IS_PENDING = table.c.status == JobStatus.PENDING.value
_IS_PROCESSING = table.c.status == JobStatus.PROCESSING.value
_PROCESSING_SINCE = select(func.min(table.c.started_at)).where(_IS_PROCESSING)
_PENDING_COUNT = select(func.count()).select_from(table).where(_IS_PENDING)
_PAUSED = select(state.c.value).where(state.c.key == "paused")


def _ahead_query() -> Select[int]:
    """Counts three ranges of the index, where one condition with OR would walk all pending jobs."""
    priority, turn = bindparam("of_priority", type_=Integer), bindparam("of_turn", type_=Integer)
    position = bindparam("of_position", type_=Double)
    peers = _PENDING_COUNT.where(table.c.priority == priority)
    higher = _PENDING_COUNT.where(table.c.priority > priority)
    earlier = peers.where(table.c.turn < turn)
    before = peers.where(table.c.turn == turn, table.c.position < position)
    return select(higher.scalar_subquery() + earlier.scalar_subquery() + before.scalar_subquery())


#: Running order.
_IN_LINE = (table.c.priority.desc(), table.c.turn, table.c.position)


_NEXT_MODEL = select(func.min(table.c.model)).where(_IS_PENDING, table.c.model > bindparam("after_model"))
_FIRST_OF_MODEL = (
    select(*(table.c[field.name] for field in fields(WaitingJob)))
    .where(_IS_PENDING, table.c.model == bindparam("of_model"))
    .order_by(*_IN_LINE)
    .limit(bindparam("number"))
)
_AHEAD = _ahead_query()
_HEAD = select(table).where(_IS_PENDING).order_by(*_IN_LINE).limit(bindparam("number"))
_WAITING_COUNTS = select(table.c.model, func.count()).where(_IS_PENDING).group_by(table.c.model)
_NEXT_COMPLETED_MODEL = select(func.min(table.c.model)).where(
    is_completed, table.c.model > bindparam("after_model")
)
_LATEST_RUNS = (
    select(*(table.c[field.name] for field in fields(RunRecord)))
    .where(is_completed, table.c.model == bindparam("of_model"), table.c.warmth == bindparam("of_warmth"))
    .order_by(table.c.completed_at.desc())
    .limit(bindparam("number"))
)


class _Addition(NamedTuple):
    job: Job
    max_pending: int
    quota: Quota
    resend: Resend | None


class SqlJobStore:
    """Implements JobStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._adding = GroupCommit(self._add_all)

    def add(
        self, job: Job, *, max_pending: int, quota: Quota = NO_QUOTA, resend: Resend | None = None
    ) -> Job:
        return _accepted(self._adding.submit(_Addition(job, max_pending, quota, resend)))

    def add_all(
        self,
        jobs: Sequence[Job],
        *,
        max_pending: int,
        quota: Quota = NO_QUOTA,
        resend: Resend | None = None,
    ) -> tuple[Job, ...]:
        additions = [_Addition(job, max_pending, quota, resend) for job in jobs]
        with self._database.write() as connection:
            lock_queue(connection)
            return tuple(_accepted(_add(connection, addition)) for addition in additions)

    def adopt(self, job: Job, media: Media) -> bool:
        with self._database.write() as connection:
            if connection.execute(_ONE, {"job_id": job.id}).one_or_none() is not None:
                return False
            connection.execute(insert(table), job_values(job))
            insert_media(connection, (media,), client=job.client)
        return True

    def first_sent(self, client: str | None, request_hash: str, resend: Resend) -> Job | None:
        with self._database.read() as connection:
            return first_sent(connection, client, request_hash, resend)

    def get(self, job_id: JobId) -> Job | None:
        with self._database.read() as connection:
            row = connection.execute(_ONE, {"job_id": job_id}).one_or_none()
        return None if row is None else _job(row)

    def page(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        status: JobStatus | None = None,
        model: str | None = None,
        client: str | None = None,
        clips: bool = False,
        oldest_first: bool = False,
    ) -> JobPage:
        equal = {"status": status and status.value, "model": model, "client": client}
        matching = [table.c[name] == value for name, value in equal.items() if value is not None]
        in_order = rows_oldest_first if oldest_first else newest_first
        query = in_order(table, *matching, cursor=cursor)
        if clips:
            query = query.where(is_clip)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        found = tuple(_job(row) for row in rows[:limit])
        more = len(rows) > limit
        return JobPage(
            jobs=found,
            next_cursor=encode_cursor(Mark(found[-1].created_at, found[-1].id)) if more else None,
        )

    def waiting(self, *, per_model: int) -> tuple[WaitingJob, ...]:
        # A window function over all that wait takes 19 ms of 10,000 jobs; a few ranges of an index, 1 ms.
        found: list[WaitingJob] = []
        model: str | None = ""
        with self._database.read() as connection:
            while (model := connection.scalar(_NEXT_MODEL, {"after_model": model})) is not None:
                first = {"of_model": model, "number": per_model}
                found += map(_waiting, connection.execute(_FIRST_OF_MODEL, first))
        return tuple(sorted(found, key=lambda job: (-job.priority, job.turn, job.position)))

    def queue_position(self, job: Job) -> int:
        with self._database.read() as connection:
            ahead = connection.scalar(_AHEAD, _place(job))
        return 1 + (ahead or 0)

    def head(self, *, limit: int) -> tuple[Job, ...]:
        with self._database.read() as connection:
            return tuple(map(_job, connection.execute(_HEAD, {"number": limit})))

    def waiting_counts(self) -> dict[str, int]:
        with self._database.read() as connection:
            return {model: number for model, number in connection.execute(_WAITING_COUNTS)}

    def claim(self, job_id: JobId, *, owner: str, now: datetime, lease_until: datetime) -> Job | None:
        change = (
            update(table)
            .where(table.c.id == job_id, _IS_PENDING)
            .values(
                status=JobStatus.PROCESSING.value,
                started_at=now,
                attempts=table.c.attempts + 1,
                lease_owner=owner,
                lease_expires_at=lease_until,
            )
            .returning(table)
        )
        with self._database.write() as connection:
            row = connection.execute(change).one_or_none()
        return None if row is None else _job(row)

    def renew(self, *, owner: str, lease_until: datetime) -> int:
        change = update(table).where(_IS_PROCESSING, table.c.lease_owner == owner)
        with self._database.hint() as connection:
            return connection.execute(change.values(lease_expires_at=lease_until)).rowcount

    def record_progress(self, job_id: JobId, *, owner: str, progress: JobProgress) -> bool:
        change = update(table).where(_held(job_id, owner)).values(progress=progress_values(progress))
        with self._database.hint() as connection:
            return connection.execute(change).rowcount == 1

    def complete(
        self,
        job_id: JobId,
        *,
        owner: str,
        now: datetime,
        media: tuple[Media, ...],
        load_seconds: float,
        run_seconds: float,
        warmth: Warmth = Warmth.WARM,
        batch_size: int = 1,
    ) -> bool:
        change = _end(JobStatus.COMPLETED, now).where(_held(job_id, owner), ~table.c.cancel_requested)
        change = change.values(
            media_path=media[0].file_path if media else None,
            load_seconds=load_seconds,
            run_seconds=run_seconds,
            warmth=warmth.value,
            batch_size=batch_size,
        )
        with self._database.write() as connection:
            row = connection.execute(change.returning(table.c.client)).one_or_none()
            if row is not None:
                insert_media(connection, media, client=row.client)
        return row is not None

    def fail(self, job_id: JobId, *, owner: str, now: datetime, error: JobError) -> bool:
        change = _end(JobStatus.FAILED, now).where(_held(job_id, owner)).values(error=error_values(error))
        return self._change(change) == 1

    def release(
        self, job_id: JobId, *, owner: str, now: datetime, max_attempts: int, error: JobError
    ) -> JobStatus | None:
        change = _release(now=now, max_attempts=max_attempts, error=error).where(_held(job_id, owner))
        with self._database.write() as connection:
            status = connection.scalar(change.returning(table.c.status))
        return None if status is None else JobStatus(status)

    def request_cancel(self, job_id: JobId, *, now: datetime) -> JobStatus | None:
        with self._database.write() as connection:
            found = connection.scalar(select(table.c.status).where(table.c.id == job_id).with_for_update())
            if found == JobStatus.PENDING:
                connection.execute(_cancel_pending(now).where(table.c.id == job_id))
            elif found == JobStatus.PROCESSING:
                connection.execute(update(table).where(table.c.id == job_id).values(cancel_requested=True))
        return None if found is None else JobStatus(found)

    def finish_cancel(self, job_id: JobId, *, owner: str, now: datetime) -> bool:
        return self._change(_end(JobStatus.CANCELLED, now).where(_held(job_id, owner))) == 1

    def cancel_requests(self, *, owner: str) -> tuple[JobId, ...]:
        return self._ids(_IS_PROCESSING, table.c.lease_owner == owner, table.c.cancel_requested)

    def held(self, *, owner: str) -> tuple[JobId, ...]:
        return self._ids(_IS_PROCESSING, table.c.lease_owner == owner)

    def processing_since(self) -> datetime | None:
        with self._database.read() as connection:
            since: datetime | None = connection.scalar(_PROCESSING_SINCE)
        return since

    def recover(
        self, *, owner: str, now: datetime, max_attempts: int, error: JobError, only_expired: bool = False
    ) -> dict[JobId, JobStatus]:
        lost = and_(_IS_PROCESSING, table.c.lease_owner != owner)
        if only_expired:
            lost = and_(lost, table.c.lease_expires_at < now)
        change = _release(now=now, max_attempts=max_attempts, error=error).where(lost)
        with self._database.write() as connection:
            rows = connection.execute(change.returning(table.c.id, table.c.status)).all()
        return {JobId(row.id): JobStatus(row.status) for row in rows}

    def hand_back(self, *, now: datetime) -> None:
        attempts = table.c.attempts - case((table.c.cancel_requested, 0), else_=1)
        with self._database.write() as connection:
            connection.execute(_release(now=now).where(_IS_PROCESSING).values(attempts=attempts))

    def move(self, job_id: JobId, *, before: JobId | None) -> bool:
        with self._database.write() as connection:
            lock_queue(connection)
            job = pending_place(connection, job_id)
            target = job if before is None else pending_place(connection, before)
            if job is None or target is None:
                return False
            if before == job_id:
                return True
            if before is None:
                place = last_place(connection, job.priority)
            else:
                place = place_before(connection, before)
            change = update(table).where(table.c.id == job_id, _IS_PENDING)
            return connection.execute(change.values(place._asdict())).rowcount == 1

    def clear(self, *, now: datetime, client: str | None = None) -> tuple[JobId, ...]:
        change = _cancel_pending(now)
        if client is not None:
            change = change.where(table.c.client == client)
        with self._database.write() as connection:
            return tuple(sorted(JobId(each) for each in connection.scalars(change.returning(table.c.id))))

    def delete(self, job_id: JobId, *, with_source: bool = False) -> tuple[Media, ...] | None:
        query = select(table.c.status, table.c.settings).where(table.c.id == job_id).with_for_update()
        with self._database.write() as connection:
            if with_source:
                lock_queue(connection)  # Or a job that names the picture, too, could come or go meanwhile.
            row = connection.execute(query).one_or_none()
            if row is None or not JobStatus(row.status).ended:
                return None
            gone = delete_media_of_job(connection, job_id)
            delete_jobs(connection, [job_id])
            if with_source and (source_id := row.settings.get("source_image_id")) is not None:
                gone += delete_unused_source(connection, source_id)
            return gone

    def forget(self, *, ended_before: datetime, limit: int) -> int:
        # Looked for outside of the transaction: it takes a while, and what is found stays as it is.
        with self._database.read() as connection:
            old = connection.scalars(expendable_jobs(ended_before=ended_before, limit=limit)).all()
        if old:
            with self._database.write() as connection:
                delete_jobs(connection, old)
        return len(old)

    def forget_keys(self, *, now: datetime) -> int:
        with self._database.write() as connection:
            return connection.execute(delete(spent_keys).where(expired_keys(now))).rowcount

    def counts(self, *, since: datetime | None = None, client: str | None = None) -> dict[JobStatus, int]:
        query = select(table.c.status, func.count()).group_by(table.c.status)
        if client is not None:
            query = query.where(table.c.client == client)
        if since is not None:
            query = query.where(table.c.created_at >= since)
        with self._database.read() as connection:
            found = {status: number for status, number in connection.execute(query)}
        return {status: found.get(status.value, 0) for status in JobStatus}

    def history(self, *, since: datetime) -> dict[str, ModelHistory]:
        query = (
            select(
                table.c.model,
                func.avg(table.c.run_seconds).label("run"),
                func.avg(table.c.load_seconds).label("load"),
                *(
                    func.count().filter(table.c.status == status.value).label(status.value)
                    for status in JobStatus
                ),
            )
            .where(table.c.created_at >= since)
            .group_by(table.c.model)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return {
            row["model"]: ModelHistory(
                counts={status: row[status.value] for status in JobStatus},
                average_run_seconds=row["run"],
                average_load_seconds=row["load"],
            )
            for row in rows
        }

    def records(self, *, latest: int) -> tuple[RunRecord, ...]:
        found: list[RunRecord] = []
        model: str | None = ""
        with self._database.read() as connection:
            while (model := connection.scalar(_NEXT_COMPLETED_MODEL, {"after_model": model})) is not None:
                for warmth in Warmth:
                    of = {"of_model": model, "of_warmth": warmth.value, "number": latest}
                    found += map(record_from_row, connection.execute(_LATEST_RUNS, of).mappings())
        return tuple(found)

    @property
    def paused(self) -> bool:
        with self._database.read() as connection:
            return bool(connection.scalar(_PAUSED))

    def set_paused(self, paused: bool) -> None:
        self._change(update(state).where(state.c.key == "paused").values(value=paused))

    def _add_all(self, additions: Sequence[_Addition]) -> list[Job | StorageError]:
        with self._database.write() as connection:
            lock_queue(connection)
            return [_add(connection, addition) for addition in additions]

    def _ids(self, *conditions: ColumnElement[bool]) -> tuple[JobId, ...]:
        with self._database.read() as connection:
            return tuple(sorted(map(JobId, connection.scalars(select(table.c.id).where(*conditions)))))

    def _change(self, change: Update) -> int:
        with self._database.write() as connection:
            return connection.execute(change).rowcount


def _held(job_id: JobId, owner: str) -> ColumnElement[bool]:
    """The owner's claim on the job stands."""
    return and_(table.c.id == job_id, _IS_PROCESSING, table.c.lease_owner == owner)


def _end(status: JobStatus, now: datetime) -> Update:
    return update(table).values(
        status=status.value, completed_at=now, error=None, lease_owner=None, lease_expires_at=None
    )


def _cancel_pending(now: datetime) -> Update:
    return _end(JobStatus.CANCELLED, now).where(_IS_PENDING).values(cancel_requested=True)


def _release(*, now: datetime, max_attempts: int | None = None, error: JobError | None = None) -> Update:
    """Back to pending; but cancelled when that was asked for, and failed when the attempts are used up."""
    exhausted = false() if max_attempts is None else table.c.attempts >= max_attempts
    ends = or_(table.c.cancel_requested, exhausted)
    failure = literal(error and error_values(error), table.c.error.type)
    return update(table).values(
        status=case(
            (table.c.cancel_requested, JobStatus.CANCELLED.value),
            (exhausted, JobStatus.FAILED.value),
            else_=JobStatus.PENDING.value,
        ),
        started_at=case((ends, table.c.started_at), else_=null()),
        completed_at=case((ends, literal(now, table.c.completed_at.type)), else_=null()),
        progress=case((ends, table.c.progress), else_=null()),
        error=case((and_(exhausted, ~table.c.cancel_requested), failure), else_=null()),
        lease_owner=None,
        lease_expires_at=None,
    )


def _accepted(outcome: Job | StorageError) -> Job:
    if isinstance(outcome, StorageError):
        raise outcome
    return outcome


def _add(connection: Connection, addition: _Addition) -> Job | StorageError:
    """The job as it stands in the table, or why it is refused."""
    job, max_pending, quota, resend = addition
    if (earlier := _submitted_before(connection, job)) is not None:
        return earlier if earlier.request_hash == job.request_hash else IdempotencyConflict()
    if resend is not None and (first := sent_again(connection, job, resend)) is not None:
        return first
    if (spent := request_of_spent_key(connection, job)) is not None:
        return KeyOfDeletedJob() if spent == (job.request_hash or "") else IdempotencyConflict()
    if (connection.scalar(_PENDING_COUNT) or 0) >= max_pending:
        return QueueFull()
    if (problem := spend(connection, job, quota)) is not None:
        return problem
    placed = replace(job, **new_place(connection, job)._asdict())
    connection.execute(insert(table), job_values(placed))
    if placed.webhook_url is not None:
        insert_webhook(connection, placed)
    return placed


def _place(job: Job) -> dict[str, Any]:
    return {"of_priority": job.priority, "of_turn": job.turn, "of_position": job.position}


def _submitted_before(connection: Connection, job: Job) -> Job | None:
    if job.idempotency_key is None:
        return None
    key = {"of_client": job.client or "", "key": job.idempotency_key}
    row = connection.execute(_SUBMITTED_BEFORE, key).one_or_none()
    return None if row is None else _job(row)


def _waiting(row: Row[Any]) -> WaitingJob:
    return waiting_from_row(row._mapping)


def _job(row: Row[Any]) -> Job:
    return job_from_row(row._mapping)
