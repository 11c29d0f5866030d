"""Routes about jobs: status, list, cancel, retry, move, delete."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from serve_app.api import replies
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.endings import states
from serve_app.api.errors import Conflict, NotFound
from serve_app.api.job_access import cancel_job, delete_job, find_job, view_of
from serve_app.api.schemas import MoveBody, Name, Text
from serve_app.api.services import Injected, Services
from serve_app.api.submission import idempotency, resubmit
from serve_app.api.submit import IdempotencyKey
from storage.jobs import Job, JobId, JobStatus

router = APIRouter(tags=["Jobs"])

Wait = Annotated[
    float, Query(ge=0, le=60, description="Hold the reply until the job changes, at most so long.")
]


@router.get("/api/status/{job_id}", responses={200: {"model": replies.JobReply}})
@router.get("/api/jobs/{job_id}", responses={200: {"model": replies.JobReply}})
async def status(
    job_id: Name, request: Request, services: Injected, caller: CalledBy, wait: Wait = 0
) -> dict[str, Any]:
    """A job with its progress, and its media when it is done."""
    if wait <= 0:
        return await _view(services, request, await find_job(services, caller, job_id))
    return await _view(services, request, await _changed(services, caller, job_id, wait))


async def _changed(services: Services, caller: Caller, job_id: str, wait_s: float) -> Job:
    """The job as soon as it differs from now, or after `wait_s` seconds. An ended job does not change."""
    seen = states(services, caller, job_id, within_s=wait_s)
    async with aclosing(seen):
        before = await anext(seen)
        return await anext(seen, before)


async def _view(services: Services, request: Request, job: Job) -> dict[str, Any]:
    return await view_of(services, job, request.scope.get("root_path", ""))


@router.get(
    "/api/jobs/{job_id}/preview",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}, "description": "A small picture"}},
)
async def preview(job_id: Name, services: Injected, caller: CalledBy) -> Response:
    """What a running job is going to make, as far as that shows. 404 where nothing does."""
    job = await find_job(services, caller, job_id)
    data = None
    if job.status is JobStatus.PROCESSING:
        data = await services.dispatcher.preview(job.id)
    if data is None:
        raise NotFound(f"There is no preview of job {job_id} now")
    return Response(data, media_type="image/webp", headers={"Cache-Control": "no-store"})


@router.get("/api/jobs", responses={200: {"model": replies.Jobs}})
async def list_jobs(
    request: Request,
    services: Injected,
    caller: CalledBy,
    status: JobStatus | None = None,
    model: Text | None = None,
    cursor: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Jobs, newest first."""
    page = await services.blocking(
        services.jobs.page,
        limit=limit,
        cursor=cursor or None,
        status=status,
        model=model,
        client=caller.scope,
    )
    views = [await _view(services, request, job) for job in page.jobs]
    return {"jobs": views, "next_cursor": page.next_cursor, "has_more": page.next_cursor is not None}


@router.post("/api/jobs/{job_id}/cancel", responses={200: {"model": replies.JobDone}})
async def cancel(job_id: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Cancel a waiting job at once, a running one at its next step."""
    job = await find_job(services, caller, job_id)
    before = await cancel_job(services, job.id)
    if before.ended:
        raise Conflict(f"The job has already ended: it is {before.value}")
    if before is JobStatus.PROCESSING:
        return {"status": "success", "job_id": job_id, "message": "Cancelling: the run ends at its next step"}
    return {"status": "success", "job_id": job_id, "message": "Cancelled"}


async def request_cancel(services: Services, job_id: JobId) -> JobStatus | None:
    """Have the job cancelled, unless it has ended; what it was before, None if there is no such job."""
    before = await services.blocking(services.jobs.request_cancel, job_id, now=services.clock())
    if before is JobStatus.PROCESSING:
        services.dispatcher.cancel(job_id)
    elif before is JobStatus.PENDING:
        services.dispatcher.wake(job_id, JobStatus.CANCELLED)
    return before


@router.post("/api/jobs/{job_id}/retry", status_code=202, responses={202: {"model": replies.Submitted}})
async def retry(
    job_id: Name, request: Request, services: Injected, caller: CalledBy, key: IdempotencyKey = None
) -> dict[str, Any]:
    """A new job with the settings of an ended one."""
    job = await find_job(services, caller, job_id)
    if not job.status.ended:
        raise Conflict(f"The job has not ended: it is {job.status.value}")
    again = await resubmit(services, caller, job, idempotency(key, request.url.path))
    return {"job_id": again.id, "status": again.status.value, "message": f"Submitted again as {again.id}"}


@router.post("/api/jobs/{job_id}/move", responses={200: {"model": replies.JobDone}})
async def move(job_id: Name, body: MoveBody, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Put a waiting job before another, or last."""
    await find_job(services, caller, job_id)
    before = JobId(body.before) if body.before is not None else None
    if before is not None:
        await find_job(services, caller, before)
    if not await services.blocking(services.jobs.move, JobId(job_id), before=before):
        raise Conflict("Only waiting jobs can be moved, and only before a waiting job")
    services.dispatcher.wake(JobId(job_id), JobStatus.PENDING)
    services.outlooks.outdate()
    return {"status": "success", "job_id": job_id, "message": "Moved"}


@router.delete("/api/jobs/{job_id}", responses={200: {"model": replies.Done}})
async def delete(job_id: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Delete an ended job with its media."""
    job = await find_job(services, caller, job_id)
    media = await delete_job(services, job.id)
    if media is None:
        raise Conflict(f"The job has not ended: it is {job.status.value}; cancel it first")
    return {"status": "success", "message": f"Job deleted with {len(media)} file(s)"}
