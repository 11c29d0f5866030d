"""Server-sent events: which jobs have changed. A client looks them up; polling alone always suffices."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from serve_app.api.callers import CalledBy
from serve_app.api.services import Injected, Services
from serve_app.changes import KEPT, Broadcaster, Change, Position
from storage.jobs import JobId

router = APIRouter(tags=["Jobs"])

#: Seconds of silence after which a comment keeps the connection open.
HEARTBEAT_S = 15.0

#: Whether a listener may hear of the job with that id.
Sees = Callable[[str], Awaitable[bool]]


async def everything(job_id: str) -> bool:
    return True


async def stream(news: Broadcaster, last_event_id: str | None, sees: Sees = everything) -> AsyncIterator[str]:
    """Events of the jobs that `sees` lets pass, after that one, without end.

    `event: resync` where it is not known what has changed: after an id that is not known (any more), and
    when the process that counts has died meanwhile.
    """
    position = Position.parse(last_event_id or "")
    if position is None or not news.knows(position):
        position = news.newest
        yield _event(position, "resync" if last_event_id else "hello", {})
    spoken = time.monotonic()
    async for page in news.pages(position, HEARTBEAT_S):
        said = []
        if page.since != position:
            said.append(_event(page.since, "resync", {}))
        position = page.since
        for change in page.changes:
            position = Position(position.run, change.number)
            if await sees(change.job_id):
                said.append(_event(position, "job", _view(change)))
        if not said and (not page.changes or time.monotonic() - spoken >= HEARTBEAT_S):
            said.append(": still here\n\n")
        for text in said:
            yield text
            spoken = time.monotonic()


def _event(position: Position, kind: str, data: dict[str, str]) -> str:
    return f"id: {position}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"


def _view(change: Change) -> dict[str, str]:
    return {"id": change.job_id, "status": change.status}


@router.get(
    "/api/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}},
)
def events(
    services: Injected,
    caller: CalledBy,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> StreamingResponse:
    """`event: job`, `data: {"id", "status"}`: this job has changed, look again."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    sees = everything if caller.scope is None else of_client(services, caller.scope)
    content = stream(services.news, last_event_id, sees)
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)


def of_client(services: Services, client: str) -> Sees:
    """Lets the client's own jobs pass. Whose a job is never changes, so each is looked up once."""
    owners: OrderedDict[str, str | None] = OrderedDict()

    async def sees(job_id: str) -> bool:
        if job_id not in owners:
            job = await services.blocking(services.jobs.get, JobId(job_id))
            owners[job_id] = job.client if job else None
            if len(owners) > KEPT:
                owners.popitem(last=False)
        return owners[job_id] == client

    return sees
