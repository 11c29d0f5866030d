"""Routes about the server itself: health and metrics."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from configs.registry import Registry
from serve_app.api import replies
from serve_app.api.services import Injected, Services
from serve_app.fleet import Overview
from storage.database import file_of
from storage.errors import StorageError
from storage.jobs import JobStatus

router = APIRouter(tags=["Server"])

#: Bytes with fewer of which a disk counts as full: a clip, its thumbnail and the database's log take some.
LEAST_FREE = 32_000_000


@router.get("/health", responses={200: {"model": replies.Health}, 503: {"model": replies.Health}})
async def health(services: Injected) -> Response:
    """200 when jobs can be taken and run, else 503."""
    view: dict[str, Any] = {
        "status": "healthy",
        "version": version("cyberimage"),
        "device": services.device,
        "demo": all(spec.demo for spec in services.registry.values()),
    }
    try:
        counts = await services.blocking(services.jobs.counts)
    except StorageError as error:
        return JSONResponse(view | {"status": "unhealthy", "reason": str(error), "queue": None}, 503)
    view["queue"] = {status.value: count for status, count in counts.items()}
    if (free := await services.blocking(_free_bytes, services)) < LEAST_FREE:
        reason = f"the disk is full: {free / 1e6:.0f} MB are free"
        return JSONResponse(view | {"status": "unhealthy", "reason": reason}, 503)
    if await services.dispatcher.overview() is None:
        return JSONResponse(view | {"status": "unhealthy", "reason": "the dispatcher does not answer"}, 503)
    return JSONResponse(view)


def _free_bytes(services: Services) -> int:
    """On the disk of the media or the database, whichever has fewer."""
    database = file_of(services.settings.resolved_database_url)
    if database is None or not database.exists():
        return services.files.free()
    return min(services.files.free(), shutil.disk_usage(database.parent).free)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: Injected) -> Response:
    """Figures for Prometheus."""
    counts = await services.blocking(services.jobs.counts)
    waiting = await services.blocking(services.jobs.waiting_counts)
    overview = await services.dispatcher.overview()
    registry = _gauges(counts, overview)
    _waiting_gauge(registry, waiting, services.registry)
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _gauges(counts: dict[JobStatus, int], overview: Overview | None) -> CollectorRegistry:
    registry = CollectorRegistry()
    jobs = Gauge("cyberimage_jobs", "Jobs in the database.", ["status"], registry=registry)
    for status, count in counts.items():
        jobs.labels(status.value).set(count)
    if overview is not None:
        _deployment_gauges(registry, overview)
    return registry


def _waiting_gauge(registry: CollectorRegistry, numbers: dict[str, int], models: Registry) -> None:
    tags = ["model", "family"]
    gauge = Gauge("cyberimage_waiting_jobs", "Jobs that wait.", tags, registry=registry)
    for name, spec in models.items():
        gauge.labels(name, spec.family).set(numbers.get(name, 0))


def _deployment_gauges(registry: CollectorRegistry, overview: Overview) -> None:
    replicas = Gauge("cyberimage_replicas", "Replicas that can serve.", ["deployment"], registry=registry)
    running = Gauge("cyberimage_running_jobs", "Jobs that run.", ["deployment"], registry=registry)
    for name, state in overview.cluster.deployments.items():
        replicas.labels(name).set(state.replicas)
        running.labels(name).set(overview.running.get(name, 0))
    Gauge("cyberimage_gpus", "GPUs to share.", registry=registry).set(overview.cluster.gpus)
