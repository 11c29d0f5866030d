"""Routes about the queue as a whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter

from deployments.contract import MemoryUse
from serve_app.api import replies
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.outlook import Outlook
from serve_app.api.services import Injected, Services
from serve_app.api.views import reason_view
from serve_app.arbiter import Waiting
from serve_app.fleet import Overview
from serve_app.job_run import worker_died
from storage.jobs import JobStatus, ModelHistory

#: Waiting jobs in the detailed view.
MOST_WAITING = 100

router = APIRouter(prefix="/api", tags=["Queue"])


@router.get("/queue", responses={200: {"model": replies.Queue}})
async def queue(services: Injected, caller: CalledBy, detailed: bool = False) -> dict[str, Any]:
    """How many jobs are in which state; with `detailed`, the last day, models, deployments and GPUs."""
    counts = await services.blocking(services.jobs.counts, client=caller.scope)
    everyones = counts if caller.scope is None else await services.blocking(services.jobs.counts)
    view = _counts(counts) | {
        "queue_size": everyones[JobStatus.PENDING],
        "paused": await services.blocking(lambda: services.jobs.paused),
    }
    return view | await _details(services, caller, counts) if detailed else view


async def _details(services: Services, caller: Caller, counts: dict[JobStatus, int]) -> dict[str, Any]:
    since = services.clock() - timedelta(hours=24)
    recent = await services.blocking(services.jobs.counts, since=since, client=caller.scope)
    history = await services.blocking(services.jobs.history, since=since)
    runs = [h.average_run_seconds for h in history.values() if h.average_run_seconds is not None]
    tried = counts[JobStatus.COMPLETED] + counts[JobStatus.FAILED]
    return {
        "recent_24h": _counts(recent),
        "avg_processing_time_seconds": round(sum(runs) / len(runs), 3) if runs else 0.0,
        "models": {name: _counts(h.counts) | _times(h) for name, h in history.items()},
        "failure_rate": round(100 * counts[JobStatus.FAILED] / tried, 2) if tried else 0.0,
        "waiting": waiting_view(await services.outlooks.read(services.dispatcher, services.blocking), caller),
        **deployments_view(await services.dispatcher.overview()),
        "dashboard_url": await services.blocking(services.dashboard_url) if caller.admin else None,
    }


def waiting_view(outlook: Outlook, caller: Caller) -> list[dict[str, Any]]:
    """The first waiting jobs that the caller may see, with the reasons why they wait."""
    present = outlook.present
    if present is None:
        return []
    return [
        _waiting(job, place, outlook)
        for place, job in enumerate(present.line[:MOST_WAITING], start=1)
        if caller.scope in (None, present.clients[job.id])
    ]


def _waiting(job: Waiting, place: int, outlook: Outlook) -> dict[str, Any]:
    expected = outlook.expected(job.id, place)
    return {
        "id": job.id,
        "model_id": job.model,
        "position": place,
        **reason_view(outlook.reasons[job.id], expected),
        "eta_seconds": expected and round(expected.end_s, 1),
    }


def _counts(counts: dict[JobStatus, int]) -> dict[str, Any]:
    by_name = {status.value: counts.get(status, 0) for status in JobStatus}
    return by_name | {"total": sum(by_name.values())}


def _times(history: ModelHistory) -> dict[str, Any]:
    return {
        "avg_run_seconds": history.average_run_seconds,
        "avg_load_seconds": history.average_load_seconds,
    }


def deployments_view(overview: Overview | None) -> dict[str, Any]:
    """What each deployment holds; empty while the dispatcher does not answer."""
    if overview is None:
        return {"deployments": {}, "gpus": {"total": None, "used": None}}
    deployments = {}
    for name, state in sorted(overview.cluster.deployments.items()):
        deployments[name] = {
            "replicas": state.replicas,
            "starting": state.starting,
            "running_jobs": overview.running.get(name, 0),
            "state": state.condition,
            "message": state.message,
            "loaded_model": overview.loaded.get(name),
            "idle_seconds": _rounded(overview.idle_seconds.get(name)),
            "memory": _memory(overview.memory.get(name)),
        }
    used = sum(
        state.replicas * overview.shares.get(n, 1.0) for n, state in overview.cluster.deployments.items()
    )
    return {"deployments": deployments, "gpus": {"total": overview.cluster.gpus, "used": used}}


def _memory(use: MemoryUse | None) -> dict[str, Any] | None:
    if use is None:
        return None
    kind = "gpu" if use.gpu else "main"
    return {"kind": kind, "used_gb": round(use.used / 1e9, 2), "total_gb": round(use.total / 1e9, 1)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


@router.post("/queue/pause", responses={200: {"model": replies.Paused}})
async def pause(services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Start no further jobs until resumed. Running ones go on."""
    caller.must_be_admin()
    await services.blocking(services.jobs.set_paused, True)
    services.outlooks.outdate()
    return {"status": "success", "paused": True, "message": "The queue is paused; running jobs go on"}


@router.post("/queue/resume", responses={200: {"model": replies.Paused}})
async def resume(services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Start waiting jobs again."""
    caller.must_be_admin()
    await services.blocking(services.jobs.set_paused, False)
    services.dispatcher.nudge()
    services.outlooks.outdate()
    return {"status": "success", "paused": False, "message": "The queue runs"}


@router.post("/queue/clear", responses={200: {"model": replies.Cleared}})
async def clear(services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Cancel every waiting job that the caller may see."""
    cleared = await services.blocking(services.jobs.clear, now=services.clock(), client=caller.scope)
    for job_id in cleared:
        services.dispatcher.wake(job_id, JobStatus.CANCELLED)
    services.outlooks.outdate()
    count = len(cleared)
    return {"status": "success", "cleared": count, "message": f"Cancelled {count} waiting job(s)"}


@router.post("/reset_queue", responses={200: {"model": replies.Reset}})
async def reset_queue(services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Queue again the jobs whose worker is gone; never a live one."""
    caller.must_be_admin()
    attempts = services.settings.max_attempts
    taken_back = await services.blocking(
        services.jobs.recover,
        owner="",
        now=services.clock(),
        max_attempts=attempts,
        error=worker_died(attempts),
        only_expired=True,
    )
    for job_id, status in taken_back.items():
        services.dispatcher.wake(job_id, status)
    services.outlooks.outdate()
    count = len(taken_back)
    message = f"Reset {count} stalled jobs to pending status"
    return {"status": "success", "reset_count": count, "message": message}
