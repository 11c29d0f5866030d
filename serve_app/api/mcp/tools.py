"""The tools: what a language model can have done here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from mcp.types import CallToolResult, Tool, ToolAnnotations
from pydantic import BaseModel

from configs.models import MODEL_TYPES, ModelType
from serve_app.api import job_access
from serve_app.api.callers import Caller
from serve_app.api.endings import states
from serve_app.api.errors import Conflict
from serve_app.api.mcp import arguments
from serve_app.api.mcp.results import facts, shown, summary
from serve_app.api.models import model_view
from serve_app.api.services import Services
from serve_app.api.submission import check_source, checked_job, submit
from serve_app.api.validation import choose_default
from serve_app.api.views import fraction_done, gallery_view
from storage.jobs import Job, JobStatus
from storage.media import MediaQuery

LAST_STEP_PERCENT = 99.0

Report = Callable[[float, float | None, str | None], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """Who calls a tool, and what it works with."""

    services: Services
    caller: Caller
    #: The address under which the caller reaches this server.
    root: str
    #: Tells the caller's program of progress, of how much, and in words, where it asked for that.
    report: Report


async def list_models(call: Call, asked: arguments.ListModels) -> CallToolResult:
    """The models of this server: what each makes, its limits, and whether it can be used now."""
    registry = call.services.registry
    views = await call.services.blocking(
        lambda: [model_view(spec, call.services.downloads, False) for spec in registry.values()]
    )
    told = ("name", "type", "description", "supports_negative_prompt", "available", "reason")
    models = [{key: view[key] for key in told} | {"limits": view["step_config"]} for view in views]
    defaults = {kind: spec.name for kind in MODEL_TYPES if (spec := registry.default(kind)) is not None}
    return facts({"models": models, "defaults": defaults})


async def generate_image(call: Call, asked: arguments.GenerateImage) -> CallToolResult:
    """Paint pictures from a prompt."""
    return await _made(call, asked, "image")


async def generate_video(call: Call, asked: arguments.GenerateVideo) -> CallToolResult:
    """Make a clip from a prompt. It may take minutes."""
    return await _made(call, asked, "t2v")


async def animate_image(call: Call, asked: arguments.AnimateImage) -> CallToolResult:
    """Make a clip that begins with a picture of this server. It may take minutes."""
    await check_source(call.services, call.caller, asked.image_id)
    return await _made(call, asked, "i2v", asked.image_id)


async def job_status(call: Call, asked: arguments.JobStatus) -> CallToolResult:
    """How far a job is and why it waits; when it is completed, what it has made."""
    job = await job_access.find_job(call.services, call.caller, asked.job_id)
    return await _outcome(call, job, asked.wait_seconds)


async def cancel_job(call: Call, asked: arguments.CancelJob) -> CallToolResult:
    """Cancel a job that waits or runs."""
    job = await job_access.find_job(call.services, call.caller, asked.job_id)
    before = await job_access.cancel_job(call.services, job.id)
    if before.ended:
        raise Conflict(f"The job has already ended: it is {before.value}")
    running = before is JobStatus.PROCESSING
    return facts({"job_id": job.id, "message": "It ends at its next step" if running else "Cancelled"})


async def list_recent(call: Call, asked: arguments.ListRecent) -> CallToolResult:
    """The newest pictures and clips of the gallery, or those with these words and tags."""
    query = MediaQuery(
        words=tuple(asked.search.split()),
        media_type=asked.type,
        favorite=asked.favorites or None,
        tags=tuple(asked.tags),
        client=call.caller.scope,
    )
    page = await call.services.blocking(call.services.media.page, query, limit=asked.limit)
    told = (
        *("id", "url", "media_type", "model_id", "prompt", "created_at", "width", "height"),
        *("tags", "favorite"),
    )
    views = (gallery_view(item, call.root) for item in page.media)
    return facts({"images": [{key: view[key] for key in told} for view in views], "total": page.total})


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One tool: the function, whose first line describes it, and the model of its arguments."""

    run: Callable[[Call, Any], Awaitable[CallToolResult]]
    arguments: type[BaseModel]
    title: str
    changes: bool = True
    destroys: bool = False

    def described(self, name: str) -> Tool:
        return Tool(
            name=name,
            title=self.title,
            description=self.run.__doc__,
            input_schema=self.arguments.model_json_schema(),
            annotations=ToolAnnotations(
                read_only_hint=not self.changes, destructive_hint=self.destroys, open_world_hint=False
            ),
        )


TOOLS: dict[str, Entry] = {
    "list_models": Entry(run=list_models, arguments=arguments.ListModels, title="List models", changes=False),
    "generate_image": Entry(run=generate_image, arguments=arguments.GenerateImage, title="Generate pictures"),
    "generate_video": Entry(run=generate_video, arguments=arguments.GenerateVideo, title="Generate a clip"),
    "animate_image": Entry(run=animate_image, arguments=arguments.AnimateImage, title="Animate a picture"),
    "job_status": Entry(run=job_status, arguments=arguments.JobStatus, title="Look at a job", changes=False),
    "cancel_job": Entry(run=cancel_job, arguments=arguments.CancelJob, title="Cancel a job", destroys=True),
    "list_recent": Entry(
        run=list_recent, arguments=arguments.ListRecent, title="Search the gallery", changes=False
    ),
}


async def _made(
    call: Call,
    asked: arguments.GenerateImage | arguments.GenerateVideo | arguments.AnimateImage,
    kind: ModelType,
    source_image_id: str | None = None,
) -> CallToolResult:
    """What has become of the job that was asked for, within the time that the caller waits."""
    spec = choose_default(call.services.registry, asked.model, kind)
    job = checked_job(
        call.services,
        spec,
        asked.prompt,
        asked.negative_prompt,
        asked,
        source_image_id=source_image_id,
    )
    job = await submit(call.services, call.caller, job)
    return await _outcome(call, job, asked.wait_seconds)


async def _outcome(call: Call, job: Job, wait_s: float) -> CallToolResult:
    """What has become of the job within that time: its pictures, or how far it is. A failure is an error."""
    job = await _watched(call, job, wait_s)
    view = await job_access.view_of(call.services, job, call.root)
    pictures = []
    if job.status is JobStatus.COMPLETED:
        media = await call.services.blocking(call.services.media.of_job, job.id)
        pictures = await call.services.blocking(shown, call.services, media)
    result = facts(summary(view), *pictures)
    result.is_error = job.status is JobStatus.FAILED
    return result


async def _watched(call: Call, job: Job, wait_s: float) -> Job:
    """The job as it is after that time, or ended. Each change is reported, as a number that only grows."""
    reported = -1.0
    seen = states(call.services, call.caller, job.id, within_s=wait_s)
    async with aclosing(seen):
        async for job in seen:
            # The last step is not the end: decoding and saving follow.
            reached = 100.0 if job.status.ended else min(100 * fraction_done(job), LAST_STEP_PERCENT)
            reported = max(reached, reported + 0.01)
            message = job.progress.message if job.progress else job.status.value
            await call.report(reported, 100, message or None)
    return job
