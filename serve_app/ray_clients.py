"""The families and the dispatcher behind Ray Serve handles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextvars import Context, copy_context
from typing import Any

import ray
from grpc import RpcError
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.context import _set_request_context
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import DeploymentStatusOverview

from deployments import FAMILIES
from deployments.contract import GenerationRequest, JobEvent
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.deaths import how_it_died
from serve_app.detached import detached
from serve_app.families import ClusterState, DeploymentState, WorkerDied
from serve_app.fleet import Overview
from serve_app.forecast import Present
from serve_app.replica import Died
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

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        """The call's Serve request id is that of its first job."""
        response = as_request(requests[0].job_id).run(self._streaming.generate.remote, requests)
        try:
            async for event in response:
                if isinstance(event, Died):
                    raise WorkerDied(event.reason)
                yield event
        except RayTaskError:
            raise  # It is the replica's own error, and another replica would meet it, too.
        except UNREACHABLE as error:
            log.warning("a call broke off: %s", error)
            raise WorkerDied(await how_it_died(error)) from error
        finally:
            response.cancel()

    async def unload(self) -> None:
        await self._handle.broadcast("unload").results_async()


def as_request(request_id: str) -> Context:
    """A context in which a handle's call has this Serve request id, in its logs and traces.

    For calls over HTTP Ray lets the client choose (`X-Request-ID`); a handle takes the id from the variable
    that a replica sets while it serves a request, and offers no public way to set it (Ray 2.60).
    """
    context = copy_context()
    context.run(_set_request_context, request_id=request_id)
    return context


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
        cannot_start=overview.status_trigger.value == "REPLICA_STARTUP_FAILED",
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
            self._sender = detached(self._send())

    def cancel(self, job_id: JobId) -> None:
        call = detached(self._cancel(job_id))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def unload(self, deployment: str) -> bool:
        return bool(await self._handle.unload.remote(deployment))

    async def overview(self) -> Overview | None:
        overview: Overview | None = await self._ask(self._handle.overview)
        return overview

    async def present(self) -> Present | None:
        present: Present | None = await self._ask(self._handle.present)
        return present

    async def preview(self, job_id: JobId) -> bytes | None:
        preview: bytes | None = await self._ask(self._handle.preview, job_id)
        return preview

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        """What it answers; None if it does not."""
        try:
            async with asyncio.timeout(DISPATCHER_TIMEOUT_S):
                return await method.remote(*arguments)
        except (TimeoutError, *UNREACHABLE) as error:
            log.warning("the dispatcher does not answer: %r", error)
            return None

    async def follow_changes(self) -> None:
        """Copy the dispatcher's news, and begin again when its stream breaks. Runs until cancelled."""
        position = None  # So that a new process has what the others have kept.
        while True:
            try:
                async for page in self._handle.options(stream=True).changes.remote(position):
                    self._news.take(page)
                    position = self._news.newest
            except Exception as error:
                log.warning("the dispatcher's changes broke off: %r", error)
            await asyncio.sleep(1)

    async def _send(self) -> None:
        while self._nudged:
            self._nudged = False
            changes, self._unsent = self._unsent, {}
            await self._call(self._handle.wake.remote(changes))

    async def _cancel(self, job_id: JobId) -> None:
        await self._call(self._handle.cancel.remote(job_id))

    async def _call(self, response: Any) -> None:
        """Best effort: the dispatcher looks at the database by itself, too."""
        try:
            await response
        except UNREACHABLE as error:
            log.warning("the dispatcher does not answer: %r", error)
