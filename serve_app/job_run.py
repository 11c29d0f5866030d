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
from deployments.contract import Artifact, Event, GenerationRequest, Loading, Progress, Saving
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.families import FamilyClient, JobRejected, WorkerDied
from serve_app.progress import ProgressWriter
from serve_app.work import to_request
from storage import MediaIndex, StorageError
from storage.files import MediaFiles
from storage.jobs import Job, JobError, JobProgress, JobStatus, JobStore, Phase
from storage.media import Media, MediaId

log = logging.getLogger("cyberimage.dispatcher")

UNEXPECTED = JobError(
    code="internal_error",
    message="The server met an error that it does not know.",
    hint="The dispatcher's log says more; please report it.",
)


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
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what no job waits for."""
        task = asyncio.create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)


def worker_died(attempts: int) -> JobError:
    return JobError(
        code="worker_died",
        message=f"The worker died {attempts} times while running this job.",
        hint="Out of memory is the usual reason: try a smaller size or fewer frames.",
    )


class JobRun:
    """Runs one job. `execute` always returns with the job's end recorded, unless the dispatcher stops."""

    def __init__(self, job: Job, spec: ModelSpec, client: FamilyClient, desk: Desk) -> None:
        self.job = job
        self._spec = spec
        self._client = client
        self._desk = desk
        self._progress = ProgressWriter(self._write_progress)
        self._media: list[Media] = []
        self._begun = time.monotonic()
        self._first_step: float | None = None
        self._generating = False
        self._stopped = False
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None

    @property
    def has_model(self) -> bool:
        """Whether the worker has loaded the job's model: it has told of a step."""
        return self._first_step is not None

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self.execute(), name=f"job {self.job.id}")
        return self._task

    def cancel(self) -> None:
        """End the run at the next step and record the job as cancelled. Further calls change nothing."""
        self._cancelled = True
        self._stop()

    async def abandon(self) -> None:
        """End the run at the next step and record nothing: the next dispatcher takes the job back."""
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
            if not self._cancelled:
                await self._discard()
                raise
            await self._end_cancelled()
        except WorkerDied as death:
            await self._release(death)
        except JobRejected as error:
            await self._fail(JobError(code=error.code, message=error.message, hint=error.hint))
        except StorageError as error:
            await self._fail(JobError(code="storage", message=str(error)))
        except Exception:
            log.exception("job %s", self.job.id)
            await self._fail(UNEXPECTED)

    async def _generate(self) -> None:
        request = await self._request()
        self._say(Phase.PREPARING, "Waiting for a worker")
        events = self._client.generate(request)
        self._generating = True
        try:
            if self._stopped:
                raise asyncio.CancelledError
            async with aclosing(events):
                async for event in events:
                    await self._take(event)
        finally:
            self._generating = False

    async def _request(self) -> GenerationRequest:
        source_id = self.job.settings.get("source_image_id")
        if source_id is None:
            return to_request(self.job, self._spec, None)
        media = await self._desk.blocking(self._desk.media.get, MediaId(source_id))
        if media is None:
            raise JobRejected("source_image_gone", f"The source picture {source_id} has been deleted.")
        path = self._desk.files.path(media.file_path)
        try:
            data = await self._desk.blocking(path.read_bytes)
        except OSError as error:
            raise JobRejected(
                "source_image_gone", f"The source picture's file cannot be read: {error}"
            ) from error
        return to_request(self.job, self._spec, data)

    async def _take(self, event: Event) -> None:
        match event:
            case Loading(message=message):
                self._say(Phase.LOADING, message)
            case Progress(step=step, total_steps=total):
                self._first_step = self._first_step or time.monotonic()
                self._say(Phase.GENERATING, f"Step {step} of {total}", step, total)
            case Saving(output=output):
                steps, outputs = self._steps
                self._say(Phase.SAVING, "Saving", (output + 1) * steps, outputs * steps)
            case Artifact():
                await self._keep(event)
            case _:
                assert_never(event)

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
        self._progress.put(JobProgress(phase=phase, message=message, step=step, total_steps=total))

    async def _write_progress(self, progress: JobProgress) -> None:
        desk = self._desk
        if await desk.blocking(desk.jobs.record_progress, self.job.id, owner=desk.owner, progress=progress):
            desk.news.publish(self.job.id, JobStatus.PROCESSING)

    async def _complete(self) -> None:
        desk = self._desk
        first_step = self._first_step or time.monotonic()
        done = await desk.blocking(
            desk.jobs.complete,
            self.job.id,
            owner=desk.owner,
            now=desk.now(),
            media=tuple(self._media),
            load_seconds=first_step - self._begun,
            run_seconds=time.monotonic() - first_step,
        )
        if done:
            self._publish(JobStatus.COMPLETED)
            desk.in_background(self._make_thumbnails())
        else:
            await self._end_cancelled()

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

    async def _release(self, death: WorkerDied) -> None:
        desk = self._desk
        await self._discard()
        log.warning("job %s: %s (attempt %d)", self.job.id, death, self.job.attempts)
        status = await desk.blocking(
            desk.jobs.release,
            self.job.id,
            owner=desk.owner,
            now=desk.now(),
            max_attempts=desk.max_attempts,
            error=worker_died(self.job.attempts),
        )
        if status is not None:
            self._publish(status)

    async def _end_cancelled(self) -> None:
        desk = self._desk
        await self._discard()
        if await desk.blocking(desk.jobs.finish_cancel, self.job.id, owner=desk.owner, now=desk.now()):
            self._publish(JobStatus.CANCELLED)

    async def _discard(self) -> None:
        """A job that did not complete leaves no files."""
        await self._progress.close()
        for media in self._media:
            await self._desk.blocking(self._desk.files.delete, media.file_path)
        self._media.clear()

    def _publish(self, status: JobStatus) -> None:
        self._desk.news.publish(self.job.id, status)
