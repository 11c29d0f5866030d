"""One claimed job, from its first event to its recorded end."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from configs.models import ModelSpec
from deployments.contract import (
    Artifact,
    Event,
    Failed,
    GenerationRequest,
    Loading,
    MemoryUse,
    Preview,
    Progress,
    Saving,
)
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.estimates import Estimator, Stage
from serve_app.families import WorkerDied
from serve_app.meter import Meter, NoMeter, RunEnd
from serve_app.progress import ProgressWriter
from serve_app.shared_call import SharedCall
from serve_app.work import to_request
from storage import MediaIndex, StorageError
from storage.files import MediaFiles
from storage.jobs import Job, JobError, JobProgress, JobStatus, JobStore, Phase, Warmth
from storage.media import Media, MediaId

log = logging.getLogger("cyberimage.dispatcher")

UNEXPECTED = JobError(
    code="internal_error",
    message="The server met an error that it does not know.",
    hint="The dispatcher's log says more; please report it.",
)

#: How a worker died whose dispatcher is gone.
SERVER_ENDED = "the server had ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What every run needs: where rows, files and news go, and under whose name."""

    owner: str
    jobs: JobStore
    media: MediaIndex
    files: MediaFiles
    blocking: Blocking
    news: Broadcaster
    now: Callable[[], datetime]
    max_attempts: int
    meter: Meter = field(default_factory=NoMeter)
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what no job waits for."""
        task = asyncio.create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)


def worker_died(attempts: int, reason: str | None = None) -> JobError:
    """`reason`: how it died the last time."""
    last = f" The last time: {reason}." if reason else ""
    return JobError(
        code="worker_died",
        message=f"The worker died {attempts} times while running this job.{last}",
        hint="Out of memory is the usual reason: try a smaller size or fewer frames.",
    )


class _Rejected(Exception):
    """The job's pictures cannot be made."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.error = JobError(code=code, message=message, hint=hint)


class JobRun:
    """Runs one job. `execute` always returns with the job's end recorded, unless the dispatcher stops."""

    def __init__(
        self, job: Job, spec: ModelSpec, call: SharedCall, desk: Desk, *, load: Warmth = Warmth.COLD
    ) -> None:
        """`call` is the one in which the job has a part. `load`: what it will find, as far as is known."""
        self.job = job
        self._spec = spec
        self.call = call
        #: A WebP picture of what is being made, as soon as there is one.
        self.preview: bytes | None = None
        self._previews = 0
        #: What the worker's process holds, as soon as it has told.
        self.memory: MemoryUse | None = None
        self._desk = desk
        self._load = load
        #: The last that was heard of it; None where the model was loaded.
        self._loading: Loading | None = None
        self._progress = ProgressWriter(self._write_progress)
        self._media: list[Media] = []
        #: Put off by the time that a download takes: the next run that loads the model has none.
        self._begun = time.monotonic()
        self._downloaded_at: float | None = None
        self._first_step: float | None = None
        self._done = 0.0
        self._generating = False
        self._stopped = False
        self._cancelled = False
        self._refusal: JobError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def files(self) -> list[str]:
        """Files that are there already and get their rows when the job completes."""
        return [media.file_path for media in self._media]

    @property
    def answered(self) -> bool:
        """Whether a worker has the job."""
        return self._loading is not None or self.has_model

    @property
    def has_model(self) -> bool:
        """Whether the worker has loaded the job's model: it has told of a step."""
        return self._first_step is not None

    @property
    def load(self) -> Warmth:
        """What the run found; until that shows, what it was judged to find."""
        return self._warmth if self.answered else self._load

    def left_s(self, estimator: Estimator) -> float | None:
        """Seconds until the job ends. None: nothing is known."""
        now = time.monotonic()
        running_s = None if self._first_step is None else now - self._first_step
        stage = Stage(elapsed_s=now - self._begun, running_s=running_s, done=self._done)
        job = self.job
        return estimator.left_s(job.model, job.settings, stage, load=self.load, batch_size=self.call.size)

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self.execute(), name=f"job {self.job.id}")
        return self._task

    def cancel(self) -> None:
        """End the run within a step and record the job as cancelled. Further calls change nothing."""
        self._cancelled = True
        self._stop()

    def refuse(self, error: JobError) -> None:
        """End the run and record the job as failed, unless it was cancelled."""
        self._refusal = error
        self._stop()

    async def abandon(self) -> None:
        """End the run within a step and record nothing: the next dispatcher takes the job back."""
        self._stop()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _stop(self) -> None:
        # Never while the end is being recorded: the row and the files would part ways.
        if self._task is not None and self._generating and not self._stopped:
            self._task.cancel()
        self._stopped = True

    async def execute(self) -> None:
        try:
            await self._generate()
            await self._progress.close()
            await self._complete()
        except asyncio.CancelledError:
            if self._cancelled:
                await self._end_cancelled()
            elif self._refusal is not None:
                await self._fail(self._refusal)
            else:
                await self._discard()
                raise
        except WorkerDied as death:
            await self._release(death)
        except _Rejected as rejected:
            await self._fail(rejected.error)
        except StorageError as error:
            await self._fail(JobError(code="storage", message=str(error)))
        except Exception:
            log.exception("job %s", self.job.id)
            await self._fail(UNEXPECTED)

    async def _generate(self) -> None:
        try:
            request = await self._request()
            self._say(Phase.PREPARING, "Waiting for a worker")
            self._generating = True
            if self._stopped:
                raise asyncio.CancelledError
            async with aclosing(self.call.events(request)) as events:
                async for event in events:
                    await self._take(event)
        finally:
            self._generating = False
            await self.call.leave(self.job.id)

    async def _request(self) -> GenerationRequest:
        source_id = self.job.settings.get("source_image_id")
        if source_id is None:
            return to_request(self.job, self._spec, None)
        media = await self._desk.blocking(self._desk.media.get, MediaId(source_id))
        if media is None:
            raise _Rejected("source_image_gone", f"The source picture {source_id} has been deleted.")
        path = self._desk.files.path(media.file_path)
        try:
            data = await self._desk.blocking(path.read_bytes)
        except OSError as error:
            message = f"The source picture's file cannot be read: {error}"
            raise _Rejected("source_image_gone", message) from error
        return to_request(self.job, self._spec, data)

    async def _take(self, event: Event) -> None:
        match event:
            case Loading():
                self._loading = event
                if event.fraction is not None:
                    self._leave_out_download()
                self._say(Phase.LOADING, event.message)
            case Progress(step=step, total_steps=total):
                self._first_step = self._first_step or time.monotonic()
                self._done = step / total if total else 0.0
                self._say(Phase.GENERATING, f"Step {step} of {total}", step, total)
            case Preview(data=data):
                self.preview = data
                self._previews += 1
            case MemoryUse():
                self.memory = event
            case Saving(output=output):
                steps, outputs = self._steps
                self._say(Phase.SAVING, "Saving", (output + 1) * steps, outputs * steps)
            case Artifact():
                await self._keep(event)
            case Failed(code=code, message=message, hint=hint):
                raise _Rejected(code, message, hint)
            case _:
                assert_never(event)

    def _leave_out_download(self) -> None:
        """Begin later by what has passed since the download was last heard of."""
        now = time.monotonic()
        if self._downloaded_at is not None:
            self._begun += now - self._downloaded_at
        self._downloaded_at = now

    @property
    def _steps(self) -> tuple[int, int]:
        """Steps of an output, and the number of outputs."""
        return int(self.job.settings["num_inference_steps"]), int(self.job.settings.get("num_images", 1))

    async def _keep(self, artifact: Artifact) -> None:
        """Store an output. A cancel waits until its files are there, so that they can be removed."""
        storing = asyncio.create_task(self._desk.blocking(self._store, artifact))
        try:
            await asyncio.shield(storing)
        finally:
            self._media.append(await storing)

    def _store(self, artifact: Artifact) -> Media:
        """Write the output's file; its row is written with the job's end."""
        created_at = self._desk.now()
        media_id = MediaId(str(uuid.uuid4()))
        path = self._desk.files.write(media_id, artifact.media_type, artifact.data, created_at)
        return Media(
            id=media_id,
            job_id=self.job.id,
            media_type=artifact.media_type,
            file_path=path,
            created_at=created_at,
            width=artifact.width,
            height=artifact.height,
            metadata=artifact.metadata,
        )

    def _say(self, phase: Phase, message: str, step: int | None = None, total: int | None = None) -> None:
        preview = self._previews or None
        self._progress.put(
            JobProgress(phase=phase, message=message, step=step, total_steps=total, preview=preview)
        )

    async def _write_progress(self, progress: JobProgress) -> None:
        desk = self._desk
        if await desk.blocking(desk.jobs.record_progress, self.job.id, owner=desk.owner, progress=progress):
            desk.news.publish(self.job.id, JobStatus.PROCESSING)

    async def _complete(self) -> None:
        desk = self._desk
        load_s, run_s = self._seconds()
        done = await desk.blocking(
            desk.jobs.complete,
            self.job.id,
            owner=desk.owner,
            now=desk.now(),
            media=tuple(self._media),
            load_seconds=load_s,
            run_seconds=run_s,
            warmth=self._warmth,
            batch_size=self.call.size,
        )
        if done:
            self._publish(JobStatus.COMPLETED, load_s=load_s, run_s=run_s, warmth=self._warmth)
            desk.in_background(self._make_thumbnails())
        else:
            await self._end_cancelled()

    def _seconds(self) -> tuple[float, float]:
        """From the claim to the first step, less a download, and from there until now."""
        now = time.monotonic()
        first_step = self._first_step or now
        return first_step - self._begun, now - first_step

    @property
    def _warmth(self) -> Warmth:
        """As the worker tells: the run was judged by a reading of the cluster that may have been old."""
        if self._loading is None:
            return Warmth.WARM
        if self._loading.replaces:
            return Warmth.SWITCH
        return Warmth.SWAP if self._load is Warmth.SWAP else Warmth.COLD

    async def _make_thumbnails(self) -> None:
        """The next job does not wait for them. One that fails is made when it is asked for."""
        for media in self._media:
            try:
                await self._desk.blocking(self._desk.files.thumbnail, media.file_path)
            except (StorageError, OSError) as error:
                log.warning("job %s: no thumbnail of %s: %s", self.job.id, media.id, error)

    async def _fail(self, error: JobError) -> None:
        desk = self._desk
        await self._discard()
        log.warning("job %s failed: %s: %s", self.job.id, error.code, error.message)
        if await desk.blocking(desk.jobs.fail, self.job.id, owner=desk.owner, now=desk.now(), error=error):
            self._publish(JobStatus.FAILED)
        elif (job := await desk.blocking(desk.jobs.get, self.job.id)) is not None:
            desk.news.publish(job.id, job.status)  # Such as completed, by a commit whose reply got lost.

    async def _release(self, death: WorkerDied) -> None:
        desk = self._desk
        await self._discard()
        log.warning("job %s: the worker died: %s (attempt %d)", self.job.id, death, self.job.attempts)
        status = await desk.blocking(
            desk.jobs.release,
            self.job.id,
            owner=desk.owner,
            now=desk.now(),
            max_attempts=desk.max_attempts,
            error=worker_died(self.job.attempts, str(death)),
        )
        if status is not None:
            self._publish(status)

    async def _end_cancelled(self) -> None:
        desk = self._desk
        await self._discard()
        if await desk.blocking(desk.jobs.finish_cancel, self.job.id, owner=desk.owner, now=desk.now()):
            self._publish(JobStatus.CANCELLED)

    async def _discard(self) -> None:
        """A job that did not complete leaves no files. One that did, though it looked otherwise, keeps its.

        A database that is gone in the moment of a commit leaves open what became of it.
        """
        desk = self._desk
        await self._progress.close()
        for media in self._media:
            if await desk.blocking(desk.media.get, media.id) is None:
                await desk.blocking(desk.files.delete, media.file_path)
        self._media.clear()

    def _publish(self, status: JobStatus, **figures: Any) -> None:
        """Tell of an end that has been recorded, or that the job waits again."""
        self._desk.news.publish(self.job.id, status)
        if status.ended:
            started = self.job.started_at or self.job.created_at
            wait_s = (started - self.job.created_at).total_seconds()
            self._desk.meter.ended(RunEnd(model=self._spec, status=status, wait_s=wait_s, **figures))
