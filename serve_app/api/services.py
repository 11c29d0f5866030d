"""What the routes work with; the composition root fills it in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request

from configs.registry import Registry
from configs.settings import Settings
from deployments.weights import DownloadSettings
from serve_app.api.automatic1111.clients import Clients
from serve_app.api.openai.refused import Refused
from serve_app.api.outlook import Outlooks
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.fleet import Overview
from serve_app.forecast import Present
from storage import MediaIndex
from storage.files import MediaFiles
from storage.jobs import JobId, JobStatus, JobStore
from storage.webhooks import WebhookStore

#: In one of the two ingress processes.
UPLOADS_AT_ONCE = 1


class DispatcherClient(Protocol):
    """The dispatcher as the ingress sees it. Calls are best effort: the database is what counts."""

    def wake(self, job_id: JobId, status: JobStatus) -> None:
        """Tell it that a job is new or changed. Returns at once."""
        ...

    def nudge(self) -> None:
        """Tell it to look at the queue. Returns at once."""
        ...

    def cancel(self, job_id: JobId) -> None:
        """Tell it to stop a running job. Returns at once."""
        ...

    async def unload(self, deployment: str) -> bool: ...

    async def preview(self, job_id: JobId) -> bytes | None:
        """A running job's latest, as WebP. None: there is none, or the dispatcher does not answer."""
        ...

    async def overview(self) -> Overview | None:
        """None while the dispatcher does not answer."""
        ...

    async def present(self) -> Present | None:
        """The queue as it is now. None while the dispatcher does not answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """One per ingress process."""

    settings: Settings
    registry: Registry
    jobs: JobStore
    media: MediaIndex
    webhooks: WebhookStore
    files: MediaFiles
    automatic1111: Clients
    refused: Refused
    dispatcher: DispatcherClient
    downloads: DownloadSettings
    news: Broadcaster
    device: str
    clock: Callable[[], datetime]
    #: The address of Ray's dashboard, as far as it is known. May read a file.
    dashboard_url: Callable[[], str | None] = lambda: None
    blocking: Blocking = field(default_factory=Blocking)
    #: A picture of 50 megapixels takes seconds and 700 MB to decode; reads must not wait for such threads.
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_AT_ONCE))
    outlooks: Outlooks = field(default_factory=Outlooks)


async def _services(request: Request) -> Services:
    # Async, or FastAPI would run it in a thread of its own for every request.
    services: Services = request.app.state.services
    return services


Injected = Annotated[Services, Depends(_services)]
