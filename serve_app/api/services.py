"""What the routes work with; the composition root fills it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Protocol

from fastapi import Depends, Request

from configs.registry import Registry
from configs.settings import Settings
from deployments.weights import DownloadSettings
from serve_app.api.estimates import Estimates
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.dispatcher import Overview
from storage import MediaIndex
from storage.files import MediaFiles
from storage.jobs import JobId, JobStatus, JobStore


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

    async def overview(self) -> Overview | None:
        """None while the dispatcher does not answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """One per ingress process."""

    settings: Settings
    registry: Registry
    jobs: JobStore
    media: MediaIndex
    files: MediaFiles
    dispatcher: DispatcherClient
    downloads: DownloadSettings
    news: Broadcaster
    device: str
    clock: Callable[[], datetime]
    blocking: Blocking = field(default_factory=Blocking)
    estimates: Estimates = field(default_factory=Estimates)


async def _services(request: Request) -> Services:
    # Async, or FastAPI would run it in a thread of its own for every request.
    services: Services = request.app.state.services
    return services


Injected = Annotated[Services, Depends(_services)]
