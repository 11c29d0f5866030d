"""Routes about jobs: status, list, cancel, retry, move, delete."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from serve_app.api.errors import Conflict, NotFound
from serve_app.api.schemas import MoveBody
from serve_app.api.services import Injected, Services
from serve_app.api.submit import resubmit
from serve_app.api.views import job_view
from storage.jobs import Job, JobId, JobStatus
from storage.media import Media

router = APIRouter(tags=["Jobs"])

#: While waiting for a change, the row is read this often even without news of it.
RECHECK_S = 1.0

Wait = Annotated[
    float, Query(ge=0, le=60, description="Hold the reply until the job changes, at most so long.")
]


@router.get("/api/status/{job_id}")
@router.get("/api/jobs/{job_id}")
async def status(job_id: str, request: Request, services: Injected, wait: Wait = 0) -> dict[str, Any]:
    """A job with its progress, and its media when it is done."""
    if wait <= 0:
        return await _view(services, request, await _find(services, job_id))
    return await _view(services, request, await _changed(services, JobId(job_id), wait))


async def _changed(services: Services, job_id: JobId, wait_s: float) -> Job:
    """The job as soon as it differs from now, or after `wait_s` seconds. An ended job does not change."""
    deadline = time.monotonic() + wait_s
    with services.news.subscribe() as subscription:
        before = job = await _find(services, job_id)
        while job == before and not job.status.ended and (left := deadline - time.monotonic()) > 0:
            news = await subscription.next(min(left, RECHECK_S))
            if job_id in news or not news:
                job = await _find(services, job_id)
    return job


async def _find(services: Services, job_id: str) -> Job:
    job = await services.blocking(services.jobs.get, JobId(job_id))
    if job is None:
        raise NotFound(f"Job not found: {job_id}")
    return job


async def _view(services: Services, request: Request, job: Job) -> dict[str, Any]:
    media: tuple[Media, ...] = ()
    position, eta = None, None
    if job.status is JobStatus.COMPLETED:
        media = await services.blocking(services.media.of_job, job.id)
    elif not job.status.ended:
        await services.estimates.refresh(services.jobs, services.blocking, services.clock())
        if job.status is JobStatus.PENDING:
            position = await services.blocking(services.jobs.queue_position, job)
        eta = services.estimates.eta_seconds(job, position)
    root = request.scope.get("root_path", "")
    return job_view(job, media=media, position=position, eta_seconds=eta, root=root)


@router.get("/api/jobs")
async def list_jobs(
    request: Request,
    services: Injected,
    status: JobStatus | None = None,
    model: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Jobs, newest first."""
    page = await services.blocking(services.jobs.page, limit=limit, cursor=cursor, status=status, model=model)
    views = [await _view(services, request, job) for job in page.jobs]
    return {"jobs": views, "next_cursor": page.next_cursor, "has_more": page.next_cursor is not None}


@router.post("/api/jobs/{job_id}/cancel")
async def cancel(job_id: str, services: Injected) -> dict[str, Any]:
    """Cancel a waiting job at once, a running one at its next step."""
    before = await services.blocking(services.jobs.request_cancel, JobId(job_id), now=services.clock())
    if before is None:
        raise NotFound(f"Job not found: {job_id}")
    if before.ended:
        raise Conflict(f"The job has already ended: it is {before.value}")
    if before is JobStatus.PROCESSING:
        services.dispatcher.cancel(JobId(job_id))
        return {"status": "success", "job_id": job_id, "message": "Cancelling: the run ends at its next step"}
    services.dispatcher.wake(JobId(job_id), JobStatus.CANCELLED)
    return {"status": "success", "job_id": job_id, "message": "Cancelled"}


@router.post("/api/jobs/{job_id}/retry", status_code=202)
async def retry(job_id: str, request: Request, services: Injected) -> dict[str, Any]:
    """A new job with the settings of an ended one."""
    job = await _find(services, job_id)
    if not job.status.ended:
        raise Conflict(f"The job has not ended: it is {job.status.value}")
    again = await resubmit(services, request, job)
    return {"job_id": again.id, "status": again.status.value, "message": f"Submitted again as {again.id}"}


@router.post("/api/jobs/{job_id}/move")
async def move(job_id: str, body: MoveBody, services: Injected) -> dict[str, Any]:
    """Put a waiting job before another, or last."""
    await _find(services, job_id)
    before = JobId(body.before) if body.before is not None else None
    if before is not None:
        await _find(services, before)
    if not await services.blocking(services.jobs.move, JobId(job_id), before=before):
        raise Conflict("Only waiting jobs can be moved, and only before a waiting job")
    services.dispatcher.wake(JobId(job_id), JobStatus.PENDING)
    return {"status": "success", "job_id": job_id, "message": "Moved"}


@router.delete("/api/jobs/{job_id}")
async def delete(job_id: str, services: Injected) -> dict[str, Any]:
    """Delete an ended job with its media."""
    job = await _find(services, job_id)
    media = await services.blocking(services.jobs.delete, JobId(job_id))
    if media is None:
        raise Conflict(f"The job has not ended: it is {job.status.value}; cancel it first")
    for item in media:
        await services.blocking(services.files.delete, item.file_path)
    return {"status": "success", "message": f"Job deleted with {len(media)} file(s)"}
