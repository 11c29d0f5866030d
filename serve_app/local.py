"""The families and the dispatcher without Ray: all in this process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from deployments.contract import Event, GenerationRequest, Generator
from deployments.errors import GenerationError
from deployments.fake import ProcessDied
from serve_app.changes import Broadcaster
from serve_app.dispatcher import Dispatcher, Overview
from serve_app.families import ClusterState, DeploymentState, JobRejected, WorkerDied
from storage.jobs import JobId, JobStatus


class LocalFamilyClient:
    """Implements FamilyClient: one replica, which is a Generator of this process. Starts from zero."""

    def __init__(self, family: Generator) -> None:
        self._family = family
        self._up = False

    @property
    def replicas(self) -> int:
        return int(self._up)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        self._up = True
        try:
            async with aclosing(self._family.generate(request)) as events:
                async for event in events:
                    yield event
        except GenerationError as error:
            raise JobRejected(error.code, str(error), error.hint) from error
        except ProcessDied as death:
            self._up = False
            raise WorkerDied(f"the worker died: {death}") from death

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

    async def overview(self) -> Overview | None:
        return await self._dispatcher.overview()
