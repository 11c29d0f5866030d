"""Jobs and media as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from serve_app.api.estimates import fraction_done
from storage.jobs import Job, JobStatus, Phase
from storage.media import Media


def timestamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with Z and microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def job_view(
    job: Job, *, media: tuple[Media, ...], position: int | None, eta_seconds: float | None, root: str
) -> dict[str, Any]:
    """The body of GET /api/status/{id}. `root` is the path under which the API is mounted."""
    return {
        "id": job.id,
        "status": job.status.value,
        "type": job.type,
        "model_id": job.model,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "settings": job.settings,
        "created_at": timestamp(job.created_at),
        "started_at": timestamp(job.started_at),
        "completed_at": timestamp(job.completed_at),
        "message": _message(job, position),
        "error": _error(job),
        "queue_position": position,
        "eta_seconds": eta_seconds,
        "attempts": job.attempts,
        "priority": job.priority,
        "progress": _progress(job),
        "image_ids": [item.id for item in media],
        "images": [media_view(item, root) for item in media],
    }


def media_view(media: Media, root: str) -> dict[str, Any]:
    return {
        "id": media.id,
        "job_id": media.job_id,
        "file_path": media.file_path,
        "media_type": media.media_type,
        "url": media_url(media, root),
        "thumbnail_url": f"{root}/api/image/{media.id}/thumbnail",
        "width": media.width,
        "height": media.height,
        "created_at": timestamp(media.created_at),
        "metadata": media.metadata,
    }


def gallery_view(media: Media, root: str) -> dict[str, Any]:
    return {
        "id": media.id,
        "model_id": media.metadata.get("model_id"),
        "file_path": media.file_path,
        "prompt": media.metadata.get("prompt", ""),
        "created_at": timestamp(media.created_at),
        "settings": media.metadata,
        "media_type": media.media_type,
        "url": media_url(media, root),
        "thumbnail_url": f"{root}/api/image/{media.id}/thumbnail",
        "width": media.width,
        "height": media.height,
        "favorite": media.favorite,
    }


def media_url(media: Media, root: str) -> str:
    return f"{root}/api/{media.media_type}/{media.id}"


def _message(job: Job, position: int | None) -> str:
    match job.status:
        case JobStatus.PENDING:
            return f"Waiting at position {position}" if position else "Waiting"
        case JobStatus.PROCESSING:
            return (
                "Cancelling"
                if job.cancel_requested
                else (job.progress.message if job.progress else "Starting")
            )
        case JobStatus.COMPLETED:
            count = job.settings.get("num_images", 1)
            return "Generated the video" if job.type != "image" else f"Generated {count} image(s)"
        case JobStatus.FAILED:
            return job.error.message if job.error else "Failed"
        case JobStatus.CANCELLED:
            return "Cancelled"


def _error(job: Job) -> dict[str, Any] | None:
    error = job.error
    return {"code": error.code, "message": error.message, "hint": error.hint} if error else None


def _progress(job: Job) -> dict[str, Any]:
    progress = job.progress if job.status is JobStatus.PROCESSING else None
    phase = progress.phase if progress else None
    return {
        "preparing": job.status is JobStatus.PROCESSING and phase in (None, Phase.PREPARING),
        "loading_model": phase is Phase.LOADING,
        "generating": phase is Phase.GENERATING,
        "saving": phase is Phase.SAVING,
        "completed": job.status is JobStatus.COMPLETED,
        "failed": job.status is JobStatus.FAILED,
        "step": progress.step if progress else None,
        "total_steps": progress.total_steps if progress else None,
        "percent": round(100 * fraction_done(job), 1),
        "preview_url": None,
    }
