"""Server-sent events: which jobs have changed. A client looks them up; polling alone always suffices."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from serve_app.api.callers import CalledBy
from serve_app.api.services import Injected, Services
from serve_app.changes import Broadcaster, Subscription
from storage.jobs import JobId

router = APIRouter(tags=["Jobs"])

#: Changes kept for clients that come back with Last-Event-ID.
KEPT = 1000
#: Seconds of silence after which a comment keeps the connection open.
HEARTBEAT_S = 15.0


#: Whether a listener may hear of the job with that id.
Sees = Callable[[str], Awaitable[bool]]


async def everything(job_id: str) -> bool:
    return True


class EventLog:
    """Numbers the changes of this process and keeps the last of them."""

    def __init__(self, news: Broadcaster) -> None:
        self._news = news
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._kept: deque[tuple[int, str, str]] = deque(maxlen=KEPT)
        self._grown = asyncio.Condition()

    async def follow(self) -> None:
        """Record changes until cancelled."""
        with self._news.subscribe() as subscription:
            while True:
                await self._record(subscription)

    async def _record(self, subscription: Subscription) -> None:
        for job_id, status in (await subscription.next()).items():
            self._kept.append((next(self._numbers), job_id, status))
        async with self._grown:
            self._grown.notify_all()

    async def stream(self, last_event_id: str | None, sees: Sees = everything) -> AsyncIterator[str]:
        """Events of the jobs that `sees` lets pass, after that one, without end.

        An id that is not known any more gives `event: resync`.
        """
        after = self._number(last_event_id)
        if after is None:
            after = self._newest
            yield f"id: {self._run}-{after}\nevent: {'resync' if last_event_id else 'hello'}\ndata: {{}}\n\n"
        while True:
            for number, job_id, status in [kept for kept in self._kept if kept[0] > after]:
                after = number
                if not await sees(job_id):
                    continue
                data = json.dumps({"id": job_id, "status": status})
                yield f"id: {self._run}-{number}\nevent: job\ndata: {data}\n\n"
            if not await self._wait(after):
                yield ": still here\n\n"

    @property
    def _newest(self) -> int:
        return self._kept[-1][0] if self._kept else 0

    def _number(self, event_id: str | None) -> int | None:
        """The number in an id of this process, if all events after it are still kept."""
        run, _, number = (event_id or "").partition("-")
        if run != self._run or not (number.isdecimal() and len(number) < 20):
            return None
        oldest = self._kept[0][0] if self._kept else 1
        return int(number) if oldest - 1 <= int(number) <= self._newest else None

    async def _wait(self, after: int) -> bool:
        try:
            async with asyncio.timeout(HEARTBEAT_S), self._grown:
                await self._grown.wait_for(lambda: self._newest > after)
        except TimeoutError:
            return False
        return True


@router.get(
    "/api/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}},
)
def events(
    request: Request,
    services: Injected,
    caller: CalledBy,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> StreamingResponse:
    """`event: job`, `data: {"id", "status"}`: this job has changed, look again."""
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    sees = everything if caller.scope is None else of_client(services, caller.scope)
    stream = request.app.state.events.stream(last_event_id, sees)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


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
