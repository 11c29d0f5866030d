"""Video jobs as this API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from configs.models import ModelSpec
from serve_app.api.openai.errors import reason_of
from serve_app.api.views import fraction_done
from storage.jobs import Job, JobStatus

#: This API knows no cancelled videos; their error's code says so.
STATUS: Mapping[JobStatus, str] = {
    JobStatus.PENDING: "queued",
    JobStatus.PROCESSING: "in_progress",
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "failed",
}


def video_view(job: Job, spec: ModelSpec | None, keep_days: float | None = None) -> dict[str, Any]:
    """`spec` is None for a model that is no longer listed."""
    settings = job.settings
    return {
        "id": job.id,
        "object": "video",
        "model": job.model,
        "status": STATUS[job.status],
        "progress": int(100 * fraction_done(job)),
        "created_at": int(job.created_at.timestamp()),
        "completed_at": _seconds(job.completed_at if job.status is JobStatus.COMPLETED else None),
        "expires_at": _seconds(_expiry(job, keep_days)),
        "error": _error(job),
        "prompt": job.prompt,
        "seconds": length(settings["num_frames"], settings["fps"], spec),
        "size": f"{settings['width']}x{settings['height']}",
        "remixed_from_video_id": None,
        "seed": job.seed,
        "num_frames": settings["num_frames"],
        "fps": settings["fps"],
    }


def frames_for(seconds: float, fps: int, spec: ModelSpec) -> int:
    """The number of frames nearest to so many seconds that the model can make, with one to begin from.

    So 5 seconds at 16 frames a second are the 81 frames that Wan was trained for.
    """
    assert spec.limits.frames is not None
    return spec.limits.frames.nearest(round(seconds * fps) + 1)


def length(num_frames: int, fps: int, spec: ModelSpec | None) -> str:
    """The whole number of seconds that asks for this many frames, else their exact length.

    Models make clips of 4k + 1 frames and the like, so 4 seconds are a frame more than 4 seconds.
    """
    exact = num_frames / fps
    whole = round(exact)
    if whole and spec is not None and frames_for(whole, fps, spec) == num_frames:
        return str(whole)
    return f"{exact:.2f}".rstrip("0").rstrip(".")


def _error(job: Job) -> dict[str, str] | None:
    if job.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
        return None
    code, message = reason_of(job)
    return {"code": code, "message": message}


def _expiry(job: Job, keep_days: float | None) -> datetime | None:
    if keep_days is None or job.completed_at is None or job.status is not JobStatus.COMPLETED:
        return None
    return job.completed_at + timedelta(days=keep_days)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
