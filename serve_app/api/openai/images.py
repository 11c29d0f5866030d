"""POST /v1/images/generations.

The reply comes when the pictures are there. A client that goes away before loses nothing: its jobs run on,
the pictures are in the gallery, and the same request sent again by its SDK gets them.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from serve_app.api.callers import CalledBy
from serve_app.api.openai import replies
from serve_app.api.openai.errors import end_of
from serve_app.api.openai.following import wait
from serve_app.api.openai.image_files import address_of, as_base64, read_as
from serve_app.api.openai.image_jobs import submit_images
from serve_app.api.openai.image_stream import stream
from serve_app.api.openai.repeats import sending_of
from serve_app.api.openai.routing import TellingRoute
from serve_app.api.openai.schemas import ImagesBody
from serve_app.api.services import Injected, Services
from serve_app.api.submit import IdempotencyKey
from storage.jobs import Job, JobStatus
from storage.media import Media

router = APIRouter(tags=["OpenAI"], route_class=TellingRoute)

#: The status in the log for a reply that nobody waits for.
CLIENT_GONE = 499


@router.post(
    "/v1/images/generations",
    response_class=Response,
    responses={
        200: {
            "model": replies.Images,
            "content": replies.EVENTS,
            "description": "The pictures; with `stream`, events: previews, then the pictures",
        }
    },
)
async def generations(
    body: ImagesBody, request: Request, services: Injected, caller: CalledBy, key: IdempotencyKey = None
) -> Response:
    """Text to image, with the pictures in the reply."""
    once = sending_of(request, key, body, now=services.clock())
    submitted = await submit_images(services, caller, body, once)
    job_ids = [job.id for job in submitted]
    if body.stream:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        events = stream(services, job_ids, body)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)
    jobs = await wait(services, request, job_ids)
    if jobs is None:
        return Response(status_code=CLIENT_GONE)
    media = await pictures_of(services, jobs)
    return Response(
        await services.blocking(_reply, services, request, body, jobs, media), media_type="application/json"
    )


async def pictures_of(services: Services, jobs: tuple[Job, ...]) -> list[Media]:
    """What the ended jobs have made, in order. Raises ApiError if one has not completed."""
    for job in jobs:
        if job.status is not JobStatus.COMPLETED:
            raise end_of(job)
    return [media for job in jobs for media in await services.blocking(services.media.of_job, job.id)]


def _reply(
    services: Services, request: Request, body: ImagesBody, jobs: tuple[Job, ...], media: list[Media]
) -> bytes:
    """The body of the reply, which may have megabytes. Blocking."""
    settings = jobs[0].settings
    view = {
        "created": int(jobs[0].created_at.timestamp()),
        "data": [_picture(services, request, body, each) for each in media],
        "background": "opaque",
        "output_format": body.file_format,
        "quality": "auto",
        "size": f"{settings['width']}x{settings['height']}",
    }
    return json.dumps(view).encode()


def _picture(services: Services, request: Request, body: ImagesBody, media: Media) -> dict[str, Any]:
    output_format = body.file_format
    view = {"revised_prompt": None, "id": media.id, "seed": media.metadata["seed"]}
    if body.response_format == "url":
        return {"url": address_of(request, media, output_format, body.quality), **view}
    data = read_as(services, media, output_format, body.quality)
    return {"b64_json": as_base64(data), **view}
