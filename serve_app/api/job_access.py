"""A job as its caller may see, stop and delete it, whatever API it came by."""

from __future__ import annotations

from typing import Any

from serve_app.api.callers import Caller
from serve_app.api.errors import NotFound
from serve_app.api.services import Services
from serve_app.api.views import job_view
from storage.jobs import Job, JobId, JobStatus
from storage.media import Media


async def find_job(services: Services, caller: Caller, job_id: str) -> Job:
    """The job, if the caller may see it. Raises NotFound."""
    job = await services.blocking(services.jobs.get, JobId(job_id))
    if job is None or caller.scope not in (None, job.client):
        raise NotFound(f"Job not found: {job_id}")
    return job


async def view_of(services: Services, job: Job, root: str) -> dict[str, Any]:
    """The body of GET /api/status/{id}. `root` is the path under which the API is mounted."""
    media: tuple[Media, ...] = ()
    position, outlook = None, None
    if job.status is JobStatus.COMPLETED:
        media = await services.blocking(services.media.of_job, job.id)
    elif not job.status.ended:
        outlook = await services.outlooks.read(services.dispatcher, services.blocking, job.id)
        if job.status is JobStatus.PENDING:
            position = await services.blocking(services.jobs.queue_position, job)
    webhook = None
    if job.webhook_url is not None:
        webhook = await services.blocking(services.webhooks.get, job.id)
    return job_view(job, media=media, position=position, outlook=outlook, root=root, webhook=webhook)


async def cancel_job(services: Services, job_id: JobId) -> JobStatus:
    """Cancel a waiting job at once, a running one at its next step; the status that it had before.

    An ended job is left alone. Raises NotFound.
    """
    before = await services.blocking(services.jobs.request_cancel, job_id, now=services.clock())
    if before is None:
        raise NotFound(f"Job not found: {job_id}")
    if before is JobStatus.PROCESSING:
        services.dispatcher.cancel(job_id)
    elif before is JobStatus.PENDING:
        services.dispatcher.wake(job_id, JobStatus.CANCELLED)
    return before


async def delete_job(
    services: Services, job_id: JobId, *, with_source: bool = False
) -> tuple[Media, ...] | None:
    """Delete an ended job with its media; None if it is not there or has not ended.

    `with_source`: and with the picture that was sent along with it, unless another job names that.
    """
    media = await services.blocking(services.jobs.delete, job_id, with_source=with_source)
    for item in media or ():
        await services.blocking(services.files.delete, item.file_path)
    return media
