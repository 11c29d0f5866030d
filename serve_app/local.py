"""The families and the dispatcher without Ray: all in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from deployments.contract import GenerationRequest, Generator, JobEvent
from deployments.errors import ProcessDied
from serve_app.changes import Broadcaster
from serve_app.dispatcher import Dispatcher
from serve_app.families import ClusterState, DeploymentState, WorkerDied
from serve_app.fleet import Overview
from serve_app.forecast import Present
from storage.jobs import JobId, JobStatus


class LocalFamilyClient:
    """Implements FamilyClient: one replica, which is a Generator of this process. Starts from zero."""

    def __init__(self, family: Generator) -> None:
        self._family = family
        self._up = False

    @property
    def replicas(self) -> int:
        return int(self._up)

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        self._up = True
        try:
            async with aclosing(self._family.generate(requests)) as events:
                async for event in events:
                    yield event
        except ProcessDied as death:
            self._up = False
            raise WorkerDied(str(death)) from death

    async def unload(self) -> None:
        self._up = False


class LocalCluster:
    """Implements Cluster: `gpus` logical GPUs under local clients, which are given by deployment name."""

    def __init__(self, clients: Mapping[str, LocalFamilyClient], *, gpus: float = 1.0) -> None:
        self._clients = clients
        self._gpus = gpus

    async def state(self) -> ClusterState:
        return ClusterState(
            gpus=self._gpus,
            deployments={n: DeploymentState(replicas=c.replicas) for n, c in self._clients.items()},
        )


class LocalDispatcherClient:
    """Implements DispatcherClient over a dispatcher that runs in this event loop."""

    def __init__(self, dispatcher: Dispatcher, news: Broadcaster) -> None:
        self._dispatcher = dispatcher
        self._news = news

    def wake(self, job_id: JobId, status: JobStatus) -> None:
        self._news.publish(job_id, status)
        self._dispatcher.wake()

    def nudge(self) -> None:
        self._dispatcher.wake()

    def cancel(self, job_id: JobId) -> None:
        self._dispatcher.cancel(job_id)

    async def unload(self, deployment: str) -> bool:
        return await self._dispatcher.unload(deployment)

    async def preview(self, job_id: JobId) -> bytes | None:
        return self._dispatcher.preview(job_id)

    async def overview(self) -> Overview | None:
        return await self._dispatcher.overview()

    async def present(self) -> Present | None:
        return await self._dispatcher.present()
