"""GET /v1/videos and what stands below it: look, list, fetch, delete."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from serve_app.api.callers import CalledBy, Caller
from serve_app.api.errors import Conflict, NotFound
from serve_app.api.job_access import cancel_job, delete_job, find_job
from serve_app.api.media import CLIP, NOT_MODIFIED, THUMBNAIL, Responses, send_file, send_thumbnail
from serve_app.api.openai import replies
from serve_app.api.openai.errors import end_of, invalid
from serve_app.api.openai.following import follow
from serve_app.api.openai.routing import TellingRoute
from serve_app.api.openai.video_views import video_view
from serve_app.api.schemas import Name
from serve_app.api.services import Injected, Services
from storage.cursors import Mark, encode_cursor
from storage.jobs import Job, JobStatus

router = APIRouter(prefix="/v1/videos", tags=["OpenAI"], route_class=TellingRoute)

#: Milliseconds after which a client is to look again.
POLL_MS = 500
#: Seconds that a run may take to end once it must, beyond the time it has for it.
GRACE_S = 5.0

Variant = Literal["video", "thumbnail", "spritesheet"]
CONTENT: Responses = {
    status: {
        "description": CLIP[status]["description"],
        "content": CLIP[status].get("content", {}) | THUMBNAIL[status].get("content", {}),
    }
    for status in (200, 206)
}
CONTENT |= NOT_MODIFIED


@router.get("", responses={200: {"model": replies.Videos}})
async def videos(
    services: Injected,
    caller: CalledBy,
    after: Annotated[Name | None, Query(description="The `last_id` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """Videos by the time they were asked for."""
    cursor = None
    if after:
        last = await _find(services, caller, after)
        cursor = encode_cursor(Mark(last.created_at, last.id))
    page = await services.blocking(
        services.jobs.page,
        limit=limit,
        cursor=cursor,
        client=caller.scope,
        clips=True,
        oldest_first=order == "asc",
    )
    return {
        "object": "list",
        "data": [_view(services, job) for job in page.jobs],
        "first_id": page.jobs[0].id if page.jobs else None,
        "last_id": page.jobs[-1].id if page.jobs else None,
        "has_more": page.next_cursor is not None,
    }


@router.get("/{video_id}", responses={200: {"model": replies.Video}})
async def video(video_id: Name, response: Response, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """A video, and in `openai-poll-after-ms` when to look again."""
    job = await _find(services, caller, video_id)
    if not job.status.ended:
        response.headers["openai-poll-after-ms"] = str(_poll_ms(services))
    return _view(services, job)


@router.get("/{video_id}/content", response_class=FileResponse, responses=CONTENT)
async def content(
    video_id: Name, request: Request, services: Injected, caller: CalledBy, variant: Variant = "video"
) -> Response:
    """The MP4 with Range, or a WebP of its first frame."""
    job = await _find(services, caller, video_id)
    if variant == "spritesheet":
        raise invalid("There are no sprite sheets here; variant is video or thumbnail", "variant")
    if job.status is not JobStatus.COMPLETED:
        raise end_of(job) if job.status.ended else _not_ready(job)
    media = await services.blocking(services.media.of_job, job.id)
    if not media:
        raise NotFound(f"The video was deleted: {video_id}")
    send = send_file if variant == "video" else send_thumbnail
    return await send(request, services, media[0])


@router.delete("/{video_id}", responses={200: {"model": replies.VideoDeleted}})
async def delete(video_id: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Delete a video with its file; one that waits or runs is cancelled first.

    The picture that was sent with it goes too, unless another job names it.
    """
    job = await _find(services, caller, video_id)
    if not job.status.ended:
        await _stop(services, job)
    await delete_job(services, job.id, with_source=True)
    return {"id": job.id, "object": "video.deleted", "deleted": True}


async def _stop(services: Services, job: Job) -> None:
    """Cancel the job and wait until it has ended, for no longer than a run may take to stop."""
    await cancel_job(services, job.id)
    try:
        async with asyncio.timeout(services.settings.stop_within_s + GRACE_S):
            async with aclosing(follow(services, [job.id])) as states:
                async for _ in states:
                    pass
    except TimeoutError:
        message = "The video is being cancelled; delete it again in a moment"
        raise Conflict(message, code="still_stopping", details={"final": False}) from None


async def _find(services: Services, caller: Caller, video_id: str) -> Job:
    """Raises NotFound, for pictures too."""
    job = await find_job(services, caller, video_id)
    if job.type == "image":
        raise NotFound(f"This is no video: {video_id}")
    return job


def _view(services: Services, job: Job) -> dict[str, Any]:
    return video_view(job, services.registry.get(job.model), services.settings.keep_days)


def _poll_ms(services: Services) -> int:
    """Half of what a client may ask in a minute is left for other things."""
    most = services.settings.requests_per_minute
    return POLL_MS if most is None else max(POLL_MS, 120_000 // most)


def _not_ready(job: Job) -> Conflict:
    return Conflict(f"The video is not ready yet: it is {job.status.value}", code="video_not_ready")
