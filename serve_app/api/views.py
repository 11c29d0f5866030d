"""Jobs and media as the API shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from serve_app.api.outlook import Outlook
from serve_app.forecast import Expected
from serve_app.reasons import Reason
from storage.jobs import Job, JobStatus, Phase
from storage.media import Media
from storage.webhooks import Webhook


def timestamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with Z and microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def job_view(
    job: Job,
    *,
    media: tuple[Media, ...],
    position: int | None = None,
    outlook: Outlook | None = None,
    root: str = "",
    webhook: Webhook | None = None,
) -> dict[str, Any]:
    """The body of GET /api/status/{id}. `root` is the path under which the API is mounted."""
    expected = None if outlook is None else outlook.of(job, position)
    reason = outlook.reasons.get(job.id) if outlook and job.status is JobStatus.PENDING else None
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
        "message": _message(job, position, reason),
        "error": _error(job),
        "queue_position": position,
        "eta_seconds": expected and round(expected.end_s, 1),
        "waiting": reason and reason_view(reason, expected),
        "attempts": job.attempts,
        "priority": job.priority,
        "load_seconds": job.load_seconds,
        "run_seconds": job.run_seconds,
        "warmth": job.warmth,
        "batch_size": job.batch_size,
        "webhook": webhook and webhook_view(webhook),
        "progress": _progress(job, root),
        "image_ids": [item.id for item in media],
        "images": [media_view(item, root) for item in media],
    }


def reason_view(reason: Reason, expected: Expected | None) -> dict[str, Any]:
    """Why a job waits, and for how long."""
    return {
        "reason": reason.why.value,
        "message": reason.message,
        "leaving": reason.leaving,
        "eta_start_seconds": expected and round(expected.start_s, 1),
    }


def end_view(job: Job, media: tuple[Media, ...]) -> dict[str, Any]:
    """An ended job, as its webhook is told."""
    return job_view(job, media=media)


def webhook_view(webhook: Webhook) -> dict[str, Any]:
    """How telling the job's end goes."""
    return {
        "url": webhook.url,
        "status": webhook.status,
        "attempts": webhook.attempts,
        "next_attempt_at": timestamp(webhook.next_at) if webhook.attempts else None,
        "delivered_at": timestamp(webhook.delivered_at),
        "problem": webhook.problem,
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
        "tags": media.tags,
    }


def media_url(media: Media, root: str) -> str:
    return f"{root}/api/{media.media_type}/{media.id}"


def _message(job: Job, position: int | None, reason: Reason | None) -> str:
    match job.status:
        case JobStatus.PENDING:
            if reason is not None:
                return reason.message
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


def _progress(job: Job, root: str) -> dict[str, Any]:
    progress = job.progress if job.status is JobStatus.PROCESSING else None
    phase = progress.phase if progress else None
    preview = progress.preview if progress else None
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
        "preview_url": preview and f"{root}/api/jobs/{job.id}/preview?number={preview}",
        "preview": preview,
    }


def fraction_done(job: Job) -> float:
    """Share of the job's steps that are done, 0 to 1."""
    if job.status is JobStatus.COMPLETED:
        return 1.0
    progress = job.progress
    if progress is None or not progress.step or not progress.total_steps:
        return 0.0
    return progress.step / progress.total_steps
