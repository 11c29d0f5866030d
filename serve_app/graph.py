"""The composition root: settings and registry in, a Ray Serve application out."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from configs.hardware import visible_gpus
from configs.models import FamilyName
from configs.registry import Registry, load_registry
from configs.settings import Settings, load_settings
from deployments import FAMILIES
from deployments.weights import DownloadSettings
from serve_app.api import Services, create_app
from serve_app.api.automatic1111.clients import Clients
from serve_app.api.openai.refused import Refused
from serve_app.api.views import end_view
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster, Page, Position
from serve_app.dispatcher import Dispatcher
from serve_app.fleet import Overview, gpu_shares
from serve_app.forecast import Present
from serve_app.job_run import Desk
from serve_app.logs import join_serve_log
from serve_app.neighbours import APP_NAME
from serve_app.nodes import Nodes, zygote_socket
from serve_app.ray_clients import CHANGES_HEARTBEAT_S, RayCluster, RayDispatcherClient, RayFamilyClient
from serve_app.ray_meter import RayMeter
from serve_app.replica import FamilyReplica
from serve_app.server import find
from serve_app.upkeep import Upkeep, limits_of
from serve_app.webhooks import Webhooks, open_sender
from storage import Stores, open_stores
from storage.files import LocalMediaFiles
from storage.jobs import JobId
from storage.retention import Retention

#: The database and the media folder are on the head node, so their users must be there.
ON_HEAD = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}

#: How soon the death of a replica is noticed; Ray's own period is 10 s.
SOON = {"health_check_period_s": 1}

#: How long a replica that is told to stop may still be at its last job. Ray tells a busy one where it has
#: lost sight of its call: after ten seconds without news of it, say, while a node dies. A call whose
#: dispatcher is gone, or that is cancelled, ends by itself.
LAST_CALL_S = 3600

#: When one dies, the other answers: a new one takes seconds to start, and each has 200 MB of memory.
INGRESSES = 2

#: Reaction of a family deployment to demand; how long it stays warm is the policy's business.
FROM_ZERO = {
    "min_replicas": 0,
    "initial_replicas": 0,
    "max_replicas": 64,
    "target_ongoing_requests": 1,
    "upscale_delay_s": 0,
    "downscale_delay_s": 0,
    "downscale_to_zero_delay_s": 0,
    "look_back_period_s": 0.5,
    # How often a replica reports to the policy. Deprecated in Ray 2.60 in favour of an environment
    # variable that its replicas do not read yet (they would report every 10 s).
    "metrics_interval_s": 0.25,
    "aggregation_function": "max",
}


def now() -> datetime:
    return datetime.now(UTC)


def build_app(args: dict[str, Any]) -> Application:
    """The whole graph: ingress, dispatcher, and one deployment for each family.

    `args` of serve_config.yaml are settings by name; they override the environment's.
    """
    settings = load_settings(**args)
    registry = load_registry(settings)
    shares = gpu_shares(registry)
    families = {
        name: _family(name, family, shares[name], settings) for name, family in _deployments().items()
    }
    dispatcher = serve.deployment(DispatcherReplica).options(
        name="Dispatcher", num_replicas=1, max_ongoing_requests=1000, ray_actor_options=ON_HEAD, **SOON
    )
    ingress = serve.deployment(serve.ingress()(IngressReplica)).options(
        name="Ingress",
        num_replicas=INGRESSES,
        max_ongoing_requests=10_000,
        ray_actor_options=ON_HEAD,
        **SOON,
    )
    return ingress.bind(settings, registry, dispatcher.bind(settings, registry, families))


def _deployments() -> dict[str, FamilyName]:
    """Each deployment with one family of its class."""
    return {entry.deployment: family for family, entry in FAMILIES.items()}


def _family(name: str, family: FamilyName, share: float, settings: Settings) -> Application:
    deployment = serve.deployment(FamilyReplica).options(
        name=name,
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": 0, "num_gpus": share},
        autoscaling_config=FROM_ZERO,
        logging_config={"encoding": "JSON", "enable_access_log": True},
        graceful_shutdown_wait_loop_s=0.05,
        graceful_shutdown_timeout_s=LAST_CALL_S,
        health_check_period_s=10,
    )
    zygote = partial(zygote_socket, preload=settings.preload)
    return deployment.bind(
        family, download_settings(settings), zygote, settings.stop_within_s, settings.previews
    )


def download_settings(settings: Settings) -> DownloadSettings:
    return DownloadSettings(
        cache_dir=settings.weights_dir,
        token=settings.hf_token.get_secret_value() if settings.hf_token else None,
        offline=settings.hub_offline,
        endpoint=settings.hub_endpoint,
    )


def dashboard_url(settings: Settings) -> str | None:
    """What `cyberimage up` has announced; None where another command has deployed the graph."""
    server = find(settings)
    return server.dashboard_url if server is not None else None


class DispatcherReplica:
    """The dispatcher in its replica. One per application."""

    def __init__(
        self, settings: Settings, registry: Registry, families: dict[str, DeploymentHandle[Any]]
    ) -> None:
        join_serve_log()
        stores = open_stores(settings.resolved_database_url)
        blocking = Blocking()
        self._news = Broadcaster()
        desk = Desk(
            owner=str(uuid.uuid4()),
            jobs=stores.jobs,
            media=stores.media,
            files=LocalMediaFiles(settings.media_dir),
            blocking=blocking,
            news=self._news,
            now=now,
            max_attempts=settings.max_attempts,
            meter=RayMeter(),
        )
        nodes = Nodes(
            download_settings(settings),
            blocking,
            preload=settings.preload,
            without_gpu=0 in gpu_shares(registry).values(),
        )
        self._dispatcher = Dispatcher(
            desk=desk,
            registry=registry,
            clients={name: RayFamilyClient(handle) for name, handle in families.items()},
            # Without the Serve controller, readings hang: they must not keep a job's end from being recorded.
            cluster=RayCluster(APP_NAME, settings.gpus, Blocking(threads=1)),
            max_overtake_s=settings.max_overtake_s,
            lease_s=settings.lease_s,
            no_capacity_s=settings.no_capacity_s,
            prefetch=nodes.prefetch,
        )
        loop = asyncio.get_running_loop()
        self._keeping = loop.create_task(nodes.keep())
        self._loop = loop.create_task(self._dispatcher.run())
        retention = Retention(stores.jobs, stores.media, desk.files)
        upkeep = Upkeep(retention, limits_of(settings), blocking=Blocking(threads=1), now=now)
        self._upkeep = loop.create_task(upkeep.keep())
        self._webhooks = loop.create_task(_tell_ends(settings, stores, self._news))

    def check_health(self) -> None:
        """Called by Ray Serve: a dispatcher whose loop has ended must be replaced."""
        if self._loop.done():
            raise RuntimeError("the dispatcher's loop has ended") from self._loop.exception()

    async def wake(self, changes: dict[str, str]) -> None:
        for job_id, status in changes.items():
            self._news.publish(job_id, status)
        self._dispatcher.wake()

    async def cancel(self, job_id: JobId) -> bool:
        return self._dispatcher.cancel(job_id)

    async def unload(self, deployment: str) -> bool:
        return await self._dispatcher.unload(deployment)

    async def overview(self) -> Overview:
        return await self._dispatcher.overview()

    async def present(self) -> Present:
        return await self._dispatcher.present()

    async def preview(self, job_id: JobId) -> bytes | None:
        return self._dispatcher.preview(job_id)

    async def changes(self, position: Position | None) -> AsyncIterator[Page]:
        async for page in self._news.pages(position, CHANGES_HEARTBEAT_S):
            yield page


async def _tell_ends(settings: Settings, stores: Stores, news: Broadcaster) -> None:
    sender = open_sender(settings)
    if sender is None:
        return
    webhooks = Webhooks(
        webhooks=stores.webhooks,
        jobs=stores.jobs,
        media=stores.media,
        sender=sender,
        view=end_view,
        news=news,
        blocking=Blocking(threads=4),
        now=now,
    )
    await webhooks.keep()


class IngressReplica:
    """The HTTP API in its replica."""

    def __init__(self, settings: Settings, registry: Registry, dispatcher: DeploymentHandle[Any]) -> None:
        join_serve_log()
        stores = open_stores(settings.resolved_database_url)
        news = Broadcaster()
        client = RayDispatcherClient(dispatcher, news)
        self._services = Services(
            settings=settings,
            registry=registry,
            jobs=stores.jobs,
            media=stores.media,
            webhooks=stores.webhooks,
            files=LocalMediaFiles(settings.media_dir),
            automatic1111=Clients(settings.data_dir / "automatic1111.sqlite3"),
            refused=Refused(settings.data_dir / "refused.sqlite3"),
            dispatcher=client,
            downloads=download_settings(settings),
            news=news,
            device="cuda" if visible_gpus() else "cpu",
            clock=now,
            dashboard_url=partial(dashboard_url, settings),
        )
        self._follower = asyncio.get_running_loop().create_task(client.follow_changes())

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services)
