"""How far the caller's current task is, and stopping it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from serve_app.api.automatic1111 import schemas
from serve_app.api.automatic1111.clients import Task
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.job_access import cancel_job, view_of
from serve_app.api.services import Injected, Services
from serve_app.api.views import fraction_done
from storage.jobs import Job, JobStatus

router = APIRouter()


@dataclass(frozen=True, kw_only=True, slots=True)
class Current:
    """A task that has not ended, with its jobs as they are."""

    task: Task
    jobs: tuple[Job, ...]

    @property
    def running(self) -> Job | None:
        return next((job for job in self.jobs if job.status is JobStatus.PROCESSING), None)

    @property
    def open(self) -> tuple[Job, ...]:
        """Those that wait or run."""
        return tuple(job for job in self.jobs if not job.status.ended)

    @property
    def now(self) -> Job:
        """The job that runs, else the next to run."""
        return self.running or self.open[0]

    @property
    def cancelled(self) -> bool:
        """Whether a job of it is, or is going to be."""
        return any(job.cancel_requested or job.status is JobStatus.CANCELLED for job in self.jobs)

    @property
    def fraction(self) -> float:
        done = sum(1.0 if job.status.ended else fraction_done(job) for job in self.jobs)
        return done / len(self.jobs)


async def current_of(services: Services, caller: Caller) -> Current | None:
    """The caller's task that runs, else the oldest that waits; those that have ended are forgotten."""
    waiting: Current | None = None
    for task in await services.blocking(services.automatic1111.tasks, caller.client):
        current = Current(task=task, jobs=await services.blocking(_read, services, task))
        if current.running:
            return current
        if not current.open:
            await services.blocking(services.automatic1111.finish, caller.client, task)
        elif waiting is None:
            waiting = current
    return waiting


def _read(services: Services, task: Task) -> tuple[Job, ...]:
    jobs = (services.jobs.get(job_id) for job_id in task.jobs)
    return tuple(job for job in jobs if job is not None)


@router.get("/progress", responses={200: {"model": schemas.Progress}})
async def progress(
    request: Request,
    services: Injected,
    caller: CalledBy,
    skip_current_image: Annotated[bool, Query(description="Leave out `current_image`.")] = False,
) -> dict[str, Any]:
    """The true progress of the caller's own current task; `progress` and `job_count` are 0 without one."""
    current = await current_of(services, caller)
    if current is None:
        return _idle(services)
    job = current.now
    view = await view_of(services, job, request.scope.get("root_path", ""))
    preview = None
    if not skip_current_image and job.status is JobStatus.PROCESSING:
        preview = await services.dispatcher.preview(job.id)
    state = _state(services.clock()) | {
        "interrupted": current.cancelled,
        "stopping_generation": current.cancelled,
        "job": "txt2img",
        "job_count": len(current.jobs),
        "job_timestamp": stamp(current.jobs[0].created_at),
        "job_no": len(current.jobs) - len(current.open),
        "sampling_step": view["progress"]["step"] or 0,
        "sampling_steps": view["progress"]["total_steps"] or job.settings["num_inference_steps"],
    }
    return {
        "progress": current.fraction,
        "eta_relative": view["eta_seconds"] or 0.0,
        "state": state,
        "current_image": base64.b64encode(preview).decode() if preview else None,
        "current_task": current.task.id,
        "textinfo": view["message"],
    }


def _idle(services: Services) -> dict[str, Any]:
    return {
        "progress": 0.0,
        "eta_relative": 0.0,
        "state": _state(services.clock()),
        "current_image": None,
        "current_task": None,
        "textinfo": None,
    }


def _state(now: datetime) -> dict[str, Any]:
    return {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": stamp(now),
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    }


def stamp(moment: datetime) -> str:
    """As that web UI writes times."""
    return moment.strftime("%Y%m%d%H%M%S")


@router.post("/interrupt")
async def interrupt(services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Stop the caller's current task. txt2img answers with the pictures that are finished."""
    if (current := await current_of(services, caller)) is not None:
        for job in current.open:
            await cancel_job(services, job.id)
    return {}


@router.post("/skip", response_model=None)
async def skip(services: Injected, caller: CalledBy) -> None:
    """Stop the job that runs, and go on with the rest of the caller's current task."""
    if (current := await current_of(services, caller)) is not None:
        await cancel_job(services, current.now.id)
