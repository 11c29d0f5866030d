"""Routes about the server itself: health, metrics, and the docs."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from serve_app.api.services import Injected
from serve_app.dispatcher import Overview
from storage.errors import StorageError
from storage.jobs import JobStatus

router = APIRouter(tags=["Server"])


@router.get("/", include_in_schema=False)
def root(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


# FastAPI's own routes for these two would be open to everyone, whatever the API keys.
@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    openapi_url = f"{request.scope.get('root_path', '')}/openapi.json"
    return get_swagger_ui_html(openapi_url=openapi_url, title=request.app.title)


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/health")
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
    if await services.dispatcher.overview() is None:
        return JSONResponse(view | {"status": "unhealthy", "reason": "the dispatcher does not answer"}, 503)
    return JSONResponse(view)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: Injected) -> Response:
    """Figures for Prometheus."""
    counts = await services.blocking(services.jobs.counts)
    overview = await services.dispatcher.overview()
    return Response(_exposition(counts, overview), media_type="text/plain; version=0.0.4; charset=utf-8")


def _exposition(counts: dict[JobStatus, int], overview: Overview | None) -> bytes:
    registry = CollectorRegistry()
    jobs = Gauge("cyberimage_jobs", "Jobs in the database.", ["status"], registry=registry)
    for status, count in counts.items():
        jobs.labels(status.value).set(count)
    if overview is not None:
        _deployment_gauges(registry, overview)
    return generate_latest(registry)


def _deployment_gauges(registry: CollectorRegistry, overview: Overview) -> None:
    replicas = Gauge("cyberimage_replicas", "Replicas that can serve.", ["deployment"], registry=registry)
    running = Gauge("cyberimage_running_jobs", "Jobs that run.", ["deployment"], registry=registry)
    for name, state in overview.cluster.deployments.items():
        replicas.labels(name).set(state.replicas)
        running.labels(name).set(overview.running.get(name, 0))
    Gauge("cyberimage_gpus", "GPUs to share.", registry=registry).set(overview.cluster.gpus)
