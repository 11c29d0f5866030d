"""The families and the dispatcher behind Ray Serve handles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import ray
from grpc import RpcError
from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import DeploymentStatusOverview

from deployments import FAMILIES
from deployments.contract import Event, GenerationRequest
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.dispatcher import Overview
from serve_app.families import ClusterState, DeploymentState, JobRejected, WorkerDied
from serve_app.replica import Failed
from storage.jobs import JobId, JobStatus

log = logging.getLogger("cyberimage.ray")

#: What a call to a deployment raises when its replica is gone, starting, or cannot be reached.
UNREACHABLE = (RayError, RayServeException, RpcError)

#: Seconds after which an unanswered call to the dispatcher counts as not answered.
DISPATCHER_TIMEOUT_S = 5.0
#: Seconds of silence after which the dispatcher's stream of changes repeats that it lives.
CHANGES_HEARTBEAT_S = 5.0


class RayFamilyClient:
    """One family deployment; starts from zero when called."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle
        self._streaming = handle.options(stream=True)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        response = self._streaming.generate.remote(request)
        try:
            async for event in response:
                if isinstance(event, Failed):
                    raise JobRejected(event.code, event.message, event.hint)
                yield event
        except (RayActorError, RayServeException, RpcError) as error:
            raise WorkerDied(f"the worker died: {error}") from error
        finally:
            response.cancel()

    async def unload(self) -> None:
        await self._handle.unload.remote()


class RayCluster:
    """What Ray says of the application's deployments and GPUs."""

    def __init__(self, app_name: str, gpus: float | None, blocking: Blocking) -> None:
        """`gpus` overrides what the cluster says."""
        self._app_name = app_name
        self._gpus = gpus
        self._blocking = blocking

    async def state(self) -> ClusterState:
        return await self._blocking(self._read)

    def _read(self) -> ClusterState:
        app = serve.status().applications[self._app_name]
        families = {entry.deployment for entry in FAMILIES.values()}
        gpus = self._gpus if self._gpus is not None else ray.cluster_resources().get("GPU", 0.0)
        return ClusterState(
            gpus=float(gpus),
            deployments={n: _deployment_state(d) for n, d in app.deployments.items() if n in families},
        )


def _deployment_state(overview: DeploymentStatusOverview) -> DeploymentState:
    return DeploymentState(
        replicas=overview.replica_states.get("RUNNING", 0),
        starting=overview.replica_states.get("STARTING", 0),
        condition=overview.status.value,
        message=overview.message,
    )


class RayDispatcherClient:
    """The dispatcher, as the ingress calls it. Wakes are gathered while one is under way."""

    def __init__(self, handle: DeploymentHandle[Any], news: Broadcaster) -> None:
        self._handle = handle
        self._news = news
        self._unsent: dict[str, str] = {}
        self._nudged = False
        self._sender: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()

    def wake(self, job_id: JobId, status: JobStatus) -> None:
        self._unsent[job_id] = status.value
        self.nudge()

    def nudge(self) -> None:
        self._nudged = True
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())

    def cancel(self, job_id: JobId) -> None:
        call = asyncio.create_task(self._call(self._handle.cancel.remote(job_id)))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def unload(self, deployment: str) -> bool:
        return bool(await self._handle.unload.remote(deployment))

    async def overview(self) -> Overview | None:
        try:
            async with asyncio.timeout(DISPATCHER_TIMEOUT_S):
                overview: Overview = await self._handle.overview.remote()
        except (TimeoutError, *UNREACHABLE) as error:
            log.warning("the dispatcher does not answer: %r", error)
            return None
        return overview

    async def follow_changes(self) -> None:
        """Pass the dispatcher's changes on, and begin again when its stream breaks. Runs until cancelled."""
        while True:
            try:
                async for changes in self._handle.options(stream=True).changes.remote():
                    for job_id, status in changes.items():
                        self._news.publish(job_id, status)
            except UNREACHABLE as error:
                log.warning("the dispatcher's changes broke off: %r", error)
            await asyncio.sleep(1)

    async def _send(self) -> None:
        while self._nudged:
            self._nudged = False
            changes, self._unsent = self._unsent, {}
            await self._call(self._handle.wake.remote(changes))

    async def _call(self, response: Any) -> None:
        """Best effort: the dispatcher looks at the database by itself, too."""
        try:
            await response
        except UNREACHABLE as error:
            log.warning("the dispatcher does not answer: %r", error)
