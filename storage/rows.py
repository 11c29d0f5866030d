"""Values to rows and back."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import RowMapping

from storage.jobs import Job, JobError, JobId, JobProgress, JobStatus, Phase, RunRecord, WaitingJob, Warmth
from storage.media import Media, MediaId
from storage.tags import Tag, in_order

_JOB_FIELDS = tuple(field.name for field in fields(Job))


def job_values(job: Job) -> dict[str, Any]:
    """Column values of a job."""
    values = {name: getattr(job, name) for name in _JOB_FIELDS}
    values["status"] = job.status.value
    values["client"] = job.client or ""
    values["warmth"] = job.warmth and job.warmth.value
    values["error"] = None if job.error is None else error_values(job.error)
    values["progress"] = None if job.progress is None else progress_values(job.progress)
    return values


def error_values(error: JobError) -> dict[str, Any]:
    return asdict(error)


def progress_values(progress: JobProgress) -> dict[str, Any]:
    return asdict(progress)


def job_from_row(row: RowMapping) -> Job:
    """The job of a row that has every column."""
    values = dict(row)
    values["status"] = JobStatus(values["status"])
    values["client"] = values["client"] or None
    values["warmth"] = values["warmth"] and Warmth(values["warmth"])
    if values["error"] is not None:
        values["error"] = JobError(**values["error"])
    if (progress := values["progress"]) is not None:
        values["progress"] = JobProgress(**{**progress, "phase": Phase(progress["phase"])})
    return Job(**values)


def waiting_from_row(row: RowMapping) -> WaitingJob:
    return WaitingJob(
        id=JobId(row["id"]),
        model=row["model"],
        priority=row["priority"],
        turn=row["turn"],
        position=row["position"],
        created_at=row["created_at"],
        client=row["client"] or None,
        attempts=row["attempts"],
        settings=row["settings"],
    )


def record_from_row(row: RowMapping) -> RunRecord:
    return RunRecord(
        model=row["model"],
        settings=row["settings"],
        load_seconds=row["load_seconds"],
        run_seconds=row["run_seconds"],
        warmth=Warmth(row["warmth"]),
        batch_size=row["batch_size"],
    )


def media_values(media: Media, *, client: str | None) -> dict[str, Any]:
    """Column values of a job's output, or of an upload."""
    return {
        "id": media.id,
        "job_id": media.job_id,
        "media_type": media.media_type,
        "file_path": media.file_path,
        "created_at": media.created_at,
        "width": media.width,
        "height": media.height,
        "metadata": media.metadata,
        "favorite": media.favorite,
        "number": output_number(media),
        "model": media_model(media),
        "client": client or "",
        "search_text": search_text(media),
    }


def output_number(media: Media) -> int:
    """Which of its job's outputs this is, counted from 1."""
    return int(media.metadata.get("image_number", 1))


def media_model(media: Media) -> str:
    """The model's name as the gallery filters by it; empty for an upload."""
    return str(media.metadata.get("model_id", ""))


def search_text(media: Media) -> str:
    """What the gallery's words are looked up in, in one case. The seed is its last line."""
    parts = (media.metadata.get("prompt", ""), media_model(media), media.metadata.get("seed", ""))
    return "\n".join(str(part).casefold() for part in parts)


def whole_seed(word: str) -> str | None:
    """The line that a word like "seed:42" asks for, with its beginning; None for other words."""
    name, colon, seed = word.partition(":")
    return f"\n{seed}" if (name, colon) == ("seed", ":") and seed.isdecimal() else None


def media_from_row(row: RowMapping) -> Media:
    """The medium of a row that has every column; with its tags where they are among the columns, too."""
    names: str = row.get("tags") or ""
    return Media(
        id=MediaId(row["id"]),
        job_id=row["job_id"],
        media_type=row["media_type"],
        file_path=row["file_path"],
        created_at=row["created_at"],
        width=row["width"],
        height=row["height"],
        metadata=row["metadata"],
        favorite=row["favorite"],
        tags=in_order(map(Tag, names.splitlines())),
    )
