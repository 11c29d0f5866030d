"""A job, its life, and what a job store promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, NewType, Protocol

from storage.media import Media

JobId = NewType("JobId", str)
JobType = Literal["image", "t2v", "i2v"]

#: How long after its submit an idempotency key holds at least, though its job be deleted.
KEY_LIFETIME = timedelta(hours=24)


class JobStatus(StrEnum):
    """`pending -> processing -> completed | failed | cancelled`; back to pending when the worker died."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobError:
    """Why a job failed: a code for programs, a sentence for people, and what to try."""

    code: str
    message: str
    hint: str | None = None


class Phase(StrEnum):
    """Where a processing job is. The order is the order of a run."""

    PREPARING = "preparing"
    LOADING = "loading_model"
    GENERATING = "generating"
    SAVING = "saving"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobProgress:
    """What a processing job last reported. Steps count over all outputs; they are None before the first.

    `preview` is the number of the latest preview, which the dispatcher keeps; None before the first.
    """

    phase: Phase
    step: int | None = None
    total_steps: int | None = None
    message: str = ""
    preview: int | None = None


class Warmth(StrEnum):
    """What a run found: its model loaded; a replica of its family with another model; room on a GPU for a
    new replica; or GPUs from which another replica had to go first."""

    WARM = "warm"
    SWITCH = "switch"
    COLD = "cold"
    SWAP = "swap"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One row of the jobs table."""

    id: JobId
    status: JobStatus = JobStatus.PENDING
    type: JobType
    model: str
    prompt: str
    negative_prompt: str = ""
    #: The complete settings of the run, with `type`, and `source_image_id` for i2v.
    settings: dict[str, Any] = field(default_factory=dict)
    #: Seed of output 0; output k uses seed + k.
    seed: int
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    #: Path of the first output, relative to the media root.
    media_path: str | None = None
    #: Number of times the job has been claimed.
    attempts: int = 0
    #: The dispatcher that runs the job, and until when its claim holds.
    lease_owner: str | None = None
    lease_expires_at: datetime | None = None
    #: Higher runs first.
    priority: int = 0
    #: Order within a priority, ascending; assigned by the store so that clients alternate (turns.py).
    turn: int = 0
    #: Order within a turn, ascending; assigned by the store.
    position: float = 0.0
    error: JobError | None = None
    progress: JobProgress | None = None
    cancel_requested: bool = False
    #: Who submitted: an API key's id, or a client address.
    client: str | None = None
    idempotency_key: str | None = None
    #: Hash of the request, by which it is known when it comes again.
    request_hash: str | None = None
    #: How often its client has sent the request again (see Resend).
    resent: int = 0
    #: Seconds spent loading the model and generating, once ended.
    load_seconds: float | None = None
    run_seconds: float | None = None
    #: What the completed run found, and how many jobs shared its pipeline call.
    warmth: Warmth | None = None
    batch_size: int | None = None
    #: Where the job's end is to be told.
    webhook_url: str | None = None

    @property
    def outputs(self) -> int:
        """How many pictures or clips it asks for."""
        return int(self.settings.get("num_images", 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingJob:
    """A pending job, as far as its place in the queue goes."""

    id: JobId
    model: str
    priority: int
    turn: int
    position: float
    created_at: datetime
    client: str | None
    attempts: int
    settings: dict[str, Any]

    @property
    def outputs(self) -> int:
        """How many pictures or clips it asks for."""
        return int(self.settings.get("num_images", 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPage:
    """Some jobs, newest first. `next_cursor` is None on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelHistory:
    """Figures of one model's jobs since some time."""

    counts: dict[JobStatus, int]
    average_run_seconds: float | None
    average_load_seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """How long one completed job took, in seconds. Both times are those of the call that it shared."""

    model: str
    settings: dict[str, Any]
    load_seconds: float
    run_seconds: float
    warmth: Warmth
    batch_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """What one client may have; None is without limit."""

    #: Jobs waiting at once.
    waiting: int | None = None
    #: Pictures and clips asked for on one day (UTC), whatever became of them.
    outputs_per_day: int | None = None


NO_QUOTA = Quota()


@dataclass(frozen=True, kw_only=True, slots=True)
class Resend:
    """A submit that its client sends again, without a key, for it has not heard what came of the first."""

    #: How often it has been sent before, at least 1.
    count: int
    #: When it was sent first, at the earliest.
    since: datetime


class JobStore(Protocol):
    """Durable jobs. A method that returns has committed; each transition happens once or not at all.

    Blocking; call it from a thread. All times are aware datetimes in UTC, given by the caller.
    Methods that name an `owner` change a job only while that owner's claim on it stands, and say by
    their result whether they did.
    """

    def add(
        self, job: Job, *, max_pending: int, quota: Quota = NO_QUOTA, resend: Resend | None = None
    ) -> Job:
        """Insert a pending job at the end of its priority, or of its client's turn there, and return it so.

        With an idempotency key that this client has used before, return that earlier job instead. A key
        holds as long as its job is kept, and at least KEY_LIFETIME.

        A job without a key that is a `resend` is the one that `first_sent` finds, if it finds one: that comes
        back, with the count in `resent`.

        Raises:
            QueueFull: `max_pending` jobs are waiting already; ClientQueueFull: so many of this client.
            QuotaUsedUp: the client has asked for as many outputs today as it may.
            IdempotencyConflict: the key was used with another request hash; KeyOfDeletedJob: with the same,
                but that job has been deleted since.
        """
        ...

    def adopt(self, job: Job, media: Media) -> bool:
        """Insert a job that has ended, with its output, as they are. False if there is one of that id."""
        ...

    def add_all(
        self,
        jobs: Sequence[Job],
        *,
        max_pending: int,
        quota: Quota = NO_QUOTA,
        resend: Resend | None = None,
    ) -> tuple[Job, ...]:
        """`add` each of them in one transaction: all of them, or none and what `add` raises."""
        ...

    def first_sent(self, client: str | None, request_hash: str, resend: Resend) -> Job | None:
        """The job that this request has become when it was sent before.

        It is among the client's jobs of that hash, without a key, that were made since then. Equal requests
        may have become several jobs: it is the newest that was not sent again as often yet, else the newest,
        so that two of them that are both sent again do not get one job.
        """
        ...

    def get(self, job_id: JobId) -> Job | None: ...

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
        """Newest first by (created_at, id), or the other way round. `clips`: jobs that make videos only.

        Raises InvalidCursor.
        """
        ...

    def waiting(self, *, per_model: int) -> tuple[WaitingJob, ...]:
        """The first `per_model` pending jobs of each model, in running order.

        That is: priority down, then turn and position up.
        """
        ...

    def queue_position(self, job: Job) -> int:
        """1 for the pending job that is next in running order."""
        ...

    def head(self, *, limit: int) -> tuple[Job, ...]:
        """The first pending jobs in running order, whole: queue positions 1 to `limit`."""
        ...

    def waiting_counts(self) -> dict[str, int]:
        """The number of pending jobs of each model that has any."""
        ...

    def claim(self, job_id: JobId, *, owner: str, now: datetime, lease_until: datetime) -> Job | None:
        """pending -> processing, attempts + 1. None if the job is not pending (any more)."""
        ...

    def renew(self, *, owner: str, lease_until: datetime) -> int:
        """Extend all of the owner's leases; the number extended."""
        ...

    def hand_back(self, *, now: datetime) -> None:
        """The server ends in order: whatever is processing waits again, and that run counts as no attempt.

        A job whose cancel was requested becomes cancelled.
        """
        ...

    def record_progress(self, job_id: JobId, *, owner: str, progress: JobProgress) -> bool:
        """Best effort: cheap, and may be lost with the machine."""
        ...

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
        """processing -> completed with its media rows, in one transaction.

        False, and nothing written, if the claim is gone or a cancel was requested.
        """
        ...

    def fail(self, job_id: JobId, *, owner: str, now: datetime, error: JobError) -> bool:
        """processing -> failed."""
        ...

    def release(
        self, job_id: JobId, *, owner: str, now: datetime, max_attempts: int, error: JobError
    ) -> JobStatus | None:
        """The worker died: back to pending, or failed with `error` when `max_attempts` are used up.

        A job whose cancel was requested becomes cancelled. None if the claim is gone.
        """
        ...

    def request_cancel(self, job_id: JobId, *, now: datetime) -> JobStatus | None:
        """pending -> cancelled at once; a processing job is marked for its dispatcher.

        Returns the status the job had before, None for an unknown job. An ended job is left alone.
        """
        ...

    def finish_cancel(self, job_id: JobId, *, owner: str, now: datetime) -> bool:
        """processing -> cancelled."""
        ...

    def cancel_requests(self, *, owner: str) -> tuple[JobId, ...]:
        """Jobs of this owner that are processing and marked for cancellation."""
        ...

    def held(self, *, owner: str) -> tuple[JobId, ...]:
        """The processing jobs on which this owner has a claim."""
        ...

    def processing_since(self) -> datetime | None:
        """When the first of the processing jobs began, whoever runs them; None if there are none."""
        ...

    def recover(
        self, *, owner: str, now: datetime, max_attempts: int, error: JobError, only_expired: bool = False
    ) -> dict[JobId, JobStatus]:
        """`release` every processing job whose lease is not `owner`'s, or only those whose lease lapsed.

        Returns the jobs that were released, with what they are now.
        """
        ...

    def move(self, job_id: JobId, *, before: JobId | None) -> bool:
        """Put a pending job before another one (taking its priority), or last of its priority for None.

        False if either is not pending.
        """
        ...

    def clear(self, *, now: datetime, client: str | None = None) -> tuple[JobId, ...]:
        """pending -> cancelled for all (of a client); those that were cancelled."""
        ...

    def delete(self, job_id: JobId, *, with_source: bool = False) -> tuple[Media, ...] | None:
        """Remove an ended job with its media rows and return those, so that the files can go too.

        `with_source`: and its source picture's, if that was sent along with a job and no other job names it.
        None if the job is unknown or has not ended.
        """
        ...

    def forget(self, *, ended_before: datetime, limit: int) -> int:
        """Remove ended jobs of that age that have no media (any more), `limit` at most; the number."""
        ...

    def forget_keys(self, *, now: datetime) -> int:
        """Remove the keys of deleted jobs whose lifetime is over; the number."""
        ...

    def counts(self, *, since: datetime | None = None, client: str | None = None) -> dict[JobStatus, int]:
        """Jobs by status (of a client), every status present; with `since`, only those created later."""
        ...

    def history(self, *, since: datetime) -> dict[str, ModelHistory]:
        """Per model, of the jobs created since then."""
        ...

    def records(self, *, latest: int) -> tuple[RunRecord, ...]:
        """Of each model and each warmth the `latest` completed jobs, latest first."""
        ...

    @property
    def paused(self) -> bool:
        """Whether starting jobs is suspended. Survives restarts."""
        ...

    def set_paused(self, paused: bool) -> None: ...
