"""A job store that forgets everything at exit: for tests, and for trying things out."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import product
from threading import RLock

from storage import positions, turns
from storage.cursors import Mark, decode_cursor, encode_cursor
from storage.errors import ClientQueueFull, IdempotencyConflict, QueueFull, StorageError
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
from storage.media import Media
from storage.memory_keys import MemoryKeys
from storage.memory_media import MemoryMediaIndex
from storage.memory_webhooks import MemoryWebhookStore
from storage.resends import sent_before
from storage.usage import Usage, with_outputs_of


class MemoryJobStore:
    """The twin of SqlJobStore. Its jobs' outputs appear in `media`, and its jobs' ends in `webhooks`."""

    def __init__(
        self, media: MemoryMediaIndex | None = None, webhooks: MemoryWebhookStore | None = None
    ) -> None:
        self._lock = RLock()
        self._jobs: dict[JobId, Job] = {}
        self._media = media or MemoryMediaIndex()
        self._media.needed = self._sources_of_unfinished
        self._webhooks = webhooks or MemoryWebhookStore()
        self._webhooks.status_of = self._status_of
        self._spent = MemoryKeys()
        self._paused = False
        self._usage: dict[str | None, Usage] = {}

    def add(
        self, job: Job, *, max_pending: int, quota: Quota = NO_QUOTA, resend: Resend | None = None
    ) -> Job:
        with self._lock:
            if (earlier := self._submitted_before(job)) is not None:
                if earlier.request_hash != job.request_hash:
                    raise IdempotencyConflict
                return earlier
            if resend is not None and (first := self._sent_again(job, resend)) is not None:
                return first
            self._spent.check(job)
            pending = self._of_status(JobStatus.PENDING)
            if len(pending) >= max_pending:
                raise QueueFull
            mine = [each for each in pending if each.client == job.client]
            if quota.waiting is not None and len(mine) >= quota.waiting:
                raise ClientQueueFull
            if quota.outputs_per_day is not None:
                used = self._usage.get(job.client)
                self._usage[job.client] = with_outputs_of(job, used, most=quota.outputs_per_day)
            turn = self._next_turn(job)
            self._webhooks.insert(job)
            return self._put(replace(job, turn=turn, position=self._end_of_turn(job.priority, turn)))

    def add_all(
        self,
        jobs: Sequence[Job],
        *,
        max_pending: int,
        quota: Quota = NO_QUOTA,
        resend: Resend | None = None,
    ) -> tuple[Job, ...]:
        with self._lock:
            known, usage = dict(self._jobs), dict(self._usage)
            try:
                return tuple(
                    self.add(job, max_pending=max_pending, quota=quota, resend=resend) for job in jobs
                )
            except StorageError:
                for job_id in self._jobs.keys() - known.keys():
                    self._webhooks.delete(job_id)
                self._jobs, self._usage = known, usage
                raise

    def adopt(self, job: Job, media: Media) -> bool:
        with self._lock:
            if job.id in self._jobs:
                return False
            self._put(job)
            self._media.insert((media,), client=job.client)
            return True

    def first_sent(self, client: str | None, request_hash: str, resend: Resend) -> Job | None:
        equal = [
            job
            for job in self._all()
            if (job.client, job.request_hash, job.idempotency_key) == (client, request_hash, None)
            and job.created_at >= resend.since
        ]
        return sent_before(sorted(equal, key=_mark, reverse=True), resend)

    def get(self, job_id: JobId) -> Job | None:
        return self._jobs.get(job_id)

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
        found = [
            job
            for job in self._all()
            if status in (None, job.status) and model in (None, job.model) and client in (None, job.client)
            if not clips or job.type != "image"
        ]
        found.sort(key=_mark, reverse=not oldest_first)
        mark = None if cursor is None else decode_cursor(cursor)
        follows = operator.gt if oldest_first else operator.lt
        rest = [job for job in found if mark is None or follows(_mark(job), mark)]
        return JobPage(
            jobs=tuple(rest[:limit]),
            next_cursor=encode_cursor(_mark(rest[limit - 1])) if len(rest) > limit else None,
        )

    def waiting(self, *, per_model: int) -> tuple[WaitingJob, ...]:
        taken: dict[str, int] = {}
        waiting = []
        for job in sorted(self._of_status(JobStatus.PENDING), key=_running_order):
            taken[job.model] = taken.get(job.model, 0) + 1
            if taken[job.model] <= per_model:
                waiting.append(_waiting(job))
        return tuple(waiting)

    def queue_position(self, job: Job) -> int:
        pending = self._of_status(JobStatus.PENDING)
        return 1 + sum(_running_order(other) < _running_order(job) for other in pending)

    def head(self, *, limit: int) -> tuple[Job, ...]:
        return tuple(sorted(self._of_status(JobStatus.PENDING), key=_running_order)[:limit])

    def waiting_counts(self) -> dict[str, int]:
        return dict(Counter(job.model for job in self._of_status(JobStatus.PENDING)))

    def claim(self, job_id: JobId, *, owner: str, now: datetime, lease_until: datetime) -> Job | None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.status is not JobStatus.PENDING:
                return None
            return self._put(
                replace(
                    job,
                    status=JobStatus.PROCESSING,
                    started_at=now,
                    attempts=job.attempts + 1,
                    lease_owner=owner,
                    lease_expires_at=lease_until,
                )
            )

    def renew(self, *, owner: str, lease_until: datetime) -> int:
        with self._lock:
            held = [job for job in self._of_status(JobStatus.PROCESSING) if job.lease_owner == owner]
            for job in held:
                self._put(replace(job, lease_expires_at=lease_until))
            return len(held)

    def record_progress(self, job_id: JobId, *, owner: str, progress: JobProgress) -> bool:
        with self._lock:
            job = self._held(job_id, owner)
            return job is not None and bool(self._put(replace(job, progress=progress)))

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
        with self._lock:
            job = self._held(job_id, owner)
            if job is None or job.cancel_requested:
                return False
            self._put(
                replace(
                    _ended(job, JobStatus.COMPLETED, now),
                    media_path=media[0].file_path if media else None,
                    load_seconds=load_seconds,
                    run_seconds=run_seconds,
                    warmth=warmth,
                    batch_size=batch_size,
                )
            )
            self._media.insert(media, client=job.client)
            return True

    def fail(self, job_id: JobId, *, owner: str, now: datetime, error: JobError) -> bool:
        with self._lock:
            job = self._held(job_id, owner)
            if job is None:
                return False
            self._put(_ended(job, JobStatus.FAILED, now, error))
            return True

    def release(
        self, job_id: JobId, *, owner: str, now: datetime, max_attempts: int, error: JobError
    ) -> JobStatus | None:
        with self._lock:
            job = self._held(job_id, owner)
            return None if job is None else self._put(_released(job, now, max_attempts, error)).status

    def request_cancel(self, job_id: JobId, *, now: datetime) -> JobStatus | None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            if job.status is JobStatus.PENDING:
                self._put(replace(_ended(job, JobStatus.CANCELLED, now), cancel_requested=True))
            elif job.status is JobStatus.PROCESSING:
                self._put(replace(job, cancel_requested=True))
            return job.status

    def finish_cancel(self, job_id: JobId, *, owner: str, now: datetime) -> bool:
        with self._lock:
            job = self._held(job_id, owner)
            if job is None:
                return False
            self._put(_ended(job, JobStatus.CANCELLED, now))
            return True

    def cancel_requests(self, *, owner: str) -> tuple[JobId, ...]:
        held = [job for job in self._of_status(JobStatus.PROCESSING) if job.lease_owner == owner]
        return tuple(sorted(job.id for job in held if job.cancel_requested))

    def held(self, *, owner: str) -> tuple[JobId, ...]:
        held = [job for job in self._of_status(JobStatus.PROCESSING) if job.lease_owner == owner]
        return tuple(sorted(job.id for job in held))

    def processing_since(self) -> datetime | None:
        begun = (job.started_at for job in self._of_status(JobStatus.PROCESSING))
        return min((each for each in begun if each is not None), default=None)

    def recover(
        self, *, owner: str, now: datetime, max_attempts: int, error: JobError, only_expired: bool = False
    ) -> dict[JobId, JobStatus]:
        with self._lock:
            lost = [
                job
                for job in self._of_status(JobStatus.PROCESSING)
                if job.lease_owner != owner and (not only_expired or _lapsed(job, now))
            ]
            return {job.id: self._put(_released(job, now, max_attempts, error)).status for job in lost}

    def hand_back(self, *, now: datetime) -> None:
        with self._lock:
            for job in self._of_status(JobStatus.PROCESSING):
                released = _released(job, now)
                given_back = 0 if released.status.ended else 1
                self._put(replace(released, attempts=job.attempts - given_back))

    def move(self, job_id: JobId, *, before: JobId | None) -> bool:
        with self._lock:
            job = self._pending(job_id)
            target = job if before is None else self._pending(before)
            if job is None or target is None:
                return False
            if before == job_id:
                return True
            if before is None:
                turn = self._last_turn(job.priority)
                position = self._end_of_turn(job.priority, turn)
            else:
                turn, position = target.turn, self._position_before(target)
            moved = self._jobs[job_id]
            self._put(replace(moved, priority=target.priority, turn=turn, position=position))
            return True

    def clear(self, *, now: datetime, client: str | None = None) -> tuple[JobId, ...]:
        with self._lock:
            cleared = [job for job in self._of_status(JobStatus.PENDING) if client in (None, job.client)]
            for job in cleared:
                self.request_cancel(job.id, now=now)
            return tuple(sorted(job.id for job in cleared))

    def delete(self, job_id: JobId, *, with_source: bool = False) -> tuple[Media, ...] | None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or not job.status.ended:
                return None
            outputs = self._media.of_job(job_id)
            self._delete(job)
            gone = outputs + (self._unused_source(job) if with_source else ())
            for media in gone:
                self._media.delete(media.id)
            return gone

    def forget(self, *, ended_before: datetime, limit: int) -> int:
        with self._lock:
            ended = [job for job in self._all() if job.completed_at and job.completed_at < ended_before]
            old = [job for job in ended if not self._media.of_job(job.id)][:limit]
            for job in old:
                self._delete(job)
            return len(old)

    def forget_keys(self, *, now: datetime) -> int:
        return self._spent.forget(now)

    def counts(self, *, since: datetime | None = None, client: str | None = None) -> dict[JobStatus, int]:
        jobs = [job for job in self._all() if client in (None, job.client)]
        return _count([job for job in jobs if since is None or job.created_at >= since])

    def history(self, *, since: datetime) -> dict[str, ModelHistory]:
        by_model: dict[str, list[Job]] = {}
        for job in self._all():
            if job.created_at >= since:
                by_model.setdefault(job.model, []).append(job)
        return {
            model: ModelHistory(
                counts=_count(jobs),
                average_run_seconds=_average(job.run_seconds for job in jobs),
                average_load_seconds=_average(job.load_seconds for job in jobs),
            )
            for model, jobs in by_model.items()
        }

    def records(self, *, latest: int) -> tuple[RunRecord, ...]:
        completed = self._of_status(JobStatus.COMPLETED)
        kinds = product(sorted({job.model for job in completed}), Warmth)
        found = []
        for kind in kinds:
            alike = [job for job in completed if (job.model, job.warmth) == kind]
            found += sorted(alike, key=_completed_at, reverse=True)[:latest]
        return tuple(map(_record, found))

    @property
    def paused(self) -> bool:
        return self._paused

    def set_paused(self, paused: bool) -> None:
        self._paused = paused

    def _all(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def _of_status(self, status: JobStatus) -> list[Job]:
        return [job for job in self._all() if job.status is status]

    def _put(self, job: Job) -> Job:
        self._jobs[job.id] = job
        return job

    def _held(self, job_id: JobId, owner: str) -> Job | None:
        job = self._jobs.get(job_id)
        held = job is not None and job.status is JobStatus.PROCESSING and job.lease_owner == owner
        return job if held else None

    def _delete(self, job: Job) -> None:
        del self._jobs[job.id]
        self._spent.keep(job)
        self._webhooks.delete(job.id)

    def _status_of(self, job_id: JobId) -> JobStatus:
        return self._jobs[job_id].status

    def _sources_of_unfinished(self) -> frozenset[str]:
        unfinished = [job for job in self._all() if not job.status.ended and job.type == "i2v"]
        return frozenset(str(job.settings.get("source_image_id")) for job in unfinished)

    def _unused_source(self, job: Job) -> tuple[Media, ...]:
        """The picture that was sent along with a deleted job, if no other names it."""
        source_id = job.settings.get("source_image_id")
        source = None if source_id is None else self._media.get(source_id)
        named = any(each.settings.get("source_image_id") == source_id for each in self._all())
        return () if source is None or named or not source.sent_along else (source,)

    def _pending(self, job_id: JobId) -> Job | None:
        job = self._jobs.get(job_id)
        return job if job is not None and job.status is JobStatus.PENDING else None

    def _submitted_before(self, job: Job) -> Job | None:
        if job.idempotency_key is None:
            return None
        key = (job.client, job.idempotency_key)
        return next((each for each in self._all() if (each.client, each.idempotency_key) == key), None)

    def _sent_again(self, job: Job, resend: Resend) -> Job | None:
        if job.idempotency_key is not None or job.request_hash is None:
            return None
        first = self.first_sent(job.client, job.request_hash, resend)
        return None if first is None else self._put(replace(first, resent=max(first.resent, resend.count)))

    def _next_turn(self, job: Job) -> int:
        peers = [each for each in self._all() if each.priority == job.priority and not each.status.ended]
        own = [each.turn for each in peers if each.client == job.client]
        waiting = [each.turn for each in peers if each.status is JobStatus.PENDING]
        running = [each.turn for each in peers if each.status is JobStatus.PROCESSING]
        current = turns.current(min(waiting, default=None), max(running, default=None))
        return turns.turn_of(current, max(own, default=None))

    def _last_turn(self, priority: int) -> int:
        return max(job.turn for job in self._of_status(JobStatus.PENDING) if job.priority == priority)

    def _of_turn(self, priority: int, turn: int) -> list[Job]:
        return [job for job in self._all() if (job.priority, job.turn) == (priority, turn)]

    def _end_of_turn(self, priority: int, turn: int) -> float:
        taken = [job.position for job in self._of_turn(priority, turn)]
        return positions.after(max(taken, default=None))

    def _position_before(self, target: Job) -> float:
        peers = [job.position for job in self._of_turn(target.priority, target.turn)]
        low = max((place for place in peers if place < target.position), default=None)
        position = positions.between(low, target.position)
        if position is not None:
            return position
        self._renumber(target)
        return self._position_before(self._jobs[target.id])

    def _renumber(self, target: Job) -> None:
        peers = [job for job in self._of_turn(target.priority, target.turn) if not job.status.ended]
        start = self._end_of_turn(target.priority, target.turn)
        for index, job in enumerate(sorted(peers, key=lambda job: job.position)):
            self._put(replace(job, position=start + index))


def _mark(job: Job) -> Mark:
    return Mark(job.created_at, job.id)


def _running_order(job: Job) -> tuple[int, int, float]:
    return (-job.priority, job.turn, job.position)


def _waiting(job: Job) -> WaitingJob:
    return WaitingJob(
        id=job.id,
        model=job.model,
        priority=job.priority,
        turn=job.turn,
        position=job.position,
        created_at=job.created_at,
        client=job.client,
        attempts=job.attempts,
        settings=job.settings,
    )


def _completed_at(job: Job) -> datetime:
    assert job.completed_at is not None
    return job.completed_at


def _record(job: Job) -> RunRecord:
    assert job.load_seconds is not None
    assert job.run_seconds is not None
    assert job.warmth is not None
    return RunRecord(
        model=job.model,
        settings=job.settings,
        load_seconds=job.load_seconds,
        run_seconds=job.run_seconds,
        warmth=job.warmth,
        batch_size=job.batch_size or 1,
    )


def _ended(job: Job, status: JobStatus, now: datetime, error: JobError | None = None) -> Job:
    return replace(job, status=status, completed_at=now, error=error, lease_owner=None, lease_expires_at=None)


def _released(job: Job, now: datetime, max_attempts: int | None = None, error: JobError | None = None) -> Job:
    if job.cancel_requested:
        return _ended(job, JobStatus.CANCELLED, now)
    if max_attempts is not None and job.attempts >= max_attempts:
        return _ended(job, JobStatus.FAILED, now, error)
    return replace(
        job,
        status=JobStatus.PENDING,
        started_at=None,
        progress=None,
        lease_owner=None,
        lease_expires_at=None,
    )


def _lapsed(job: Job, now: datetime) -> bool:
    return job.lease_expires_at is None or job.lease_expires_at < now


def _count(jobs: list[Job]) -> dict[JobStatus, int]:
    return {status: sum(job.status is status for job in jobs) for status in JobStatus}


def _average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
