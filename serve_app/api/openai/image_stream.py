"""Pictures as server-sent events: what they are going to be, and what they are."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from io import BytesIO
from typing import Any

from serve_app.api.dialects import Problem, openai_error
from serve_app.api.errors import ApiError, status_of
from serve_app.api.events import HEARTBEAT_S
from serve_app.api.openai.errors import end_of
from serve_app.api.openai.following import follow
from serve_app.api.openai.image_files import as_base64, encoded, read_as
from serve_app.api.openai.schemas import ImagesBody, OutputFormat
from serve_app.api.services import Services
from serve_app.api.views import fraction_done
from storage.errors import StorageError
from storage.jobs import Job, JobId, JobStatus

PARTIAL = "image_generation.partial_image"
COMPLETED = "image_generation.completed"
#: Nothing is counted in tokens here, and nothing is charged.
USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


async def stream(services: Services, job_ids: Sequence[JobId], body: ImagesBody) -> AsyncGenerator[str, None]:
    """The events of a request until its end, which may be an `error`."""
    try:
        async with aclosing(_events(services, job_ids, body)) as events:
            async for event in events:
                yield event
    except (ApiError, StorageError) as error:
        code = getattr(error, "code", None) or "failed"
        problem = Problem(status=status_of(error), message=str(error), code=code)
        yield _event({"type": "error", **openai_error(problem)})


async def _events(
    services: Services, job_ids: Sequence[JobId], body: ImagesBody
) -> AsyncGenerator[str, None]:
    partials = _Partials(services, body)
    heard = time.monotonic()
    async with aclosing(follow(services, job_ids)) as states:
        async for jobs in states:
            event = await partials.next(jobs)
            if event is not None:
                yield event
            elif time.monotonic() - heard > HEARTBEAT_S:
                yield ": still here\n\n"
            else:
                continue
            heard = time.monotonic()
    for job in jobs:
        if job.status is not JobStatus.COMPLETED:
            raise end_of(job)
    for job in jobs:
        for media in await services.blocking(services.media.of_job, job.id):
            yield await services.blocking(_completed, services, job, media, body)


class _Partials:
    """Shows previews: as many as were asked for at most, spread over the run, the first at once."""

    def __init__(self, services: Services, body: ImagesBody) -> None:
        self._services = services
        self._most = body.partial_images or 0
        self._format: OutputFormat = body.file_format
        self._shown: set[tuple[JobId, int]] = set()

    async def next(self, jobs: tuple[Job, ...]) -> str | None:
        """An event, if it is time for one and there is a preview that was not shown yet."""
        index = len(self._shown)
        done = sum(map(fraction_done, jobs)) / len(jobs)
        if index >= self._most or done < index / self._most:
            return None
        for job in jobs:
            number = _preview_number(job)
            if number is None or (job.id, number) in self._shown:
                continue
            data = await self._services.dispatcher.preview(job.id)
            if data is not None:
                self._shown.add((job.id, number))
                return await self._services.blocking(self._partial, job, data, index)
        return None

    def _partial(self, job: Job, webp: bytes, index: int) -> str:
        data = encoded(BytesIO(webp), self._format)
        return _event(_view(PARTIAL, job, data, self._format) | {"partial_image_index": index})


def _preview_number(job: Job) -> int | None:
    running = job.status is JobStatus.PROCESSING and job.progress is not None
    return job.progress.preview if running and job.progress else None


def _completed(services: Services, job: Job, media: Any, body: ImagesBody) -> str:
    output_format = body.file_format
    data = read_as(services, media, output_format, body.quality)
    more = {"usage": USAGE, "id": media.id, "seed": media.metadata["seed"]}
    return _event(_view(COMPLETED, job, data, output_format) | more)


def _view(kind: str, job: Job, data: bytes, output_format: OutputFormat) -> dict[str, Any]:
    return {
        "type": kind,
        "b64_json": as_base64(data),
        "created_at": int(time.time()),
        "size": f"{job.settings['width']}x{job.settings['height']}",
        "quality": "auto",
        "background": "opaque",
        "output_format": output_format,
    }


def _event(view: dict[str, Any]) -> str:
    return f"event: {view['type']}\ndata: {json.dumps(view)}\n\n"
