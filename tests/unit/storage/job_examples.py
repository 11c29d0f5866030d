"""Jobs and media to test with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from storage.jobs import Job, JobError, JobId
from storage.media import Media, MediaId, MediaType
from storage.tags import Tag

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
WORKER_DIED = JobError(code="worker_died", message="the worker died 3 times while running this job")


def job(name: str, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": JobId(name),
        "type": "image",
        "model": "flux",
        "prompt": f"a picture of {name}",
        "settings": {"type": "image", "width": 64, "guidance_scale": 3.5},
        "seed": 7,
        "created_at": NOON,
    }
    return Job(**values | changes)


def media(
    name: str,
    *,
    job_id: str | None,
    media_type: MediaType = "image",
    created_at: datetime = NOON,
    favorite: bool = False,
    tags: tuple[str, ...] = (),
    **metadata: Any,
) -> Media:
    return Media(
        id=MediaId(name),
        job_id=job_id,
        media_type=media_type,
        file_path=f"2026/03/01/{name}.png",
        created_at=created_at,
        width=64,
        height=48,
        metadata={"model_id": "flux", "prompt": "a cat", "seed": 7} | metadata,
        favorite=favorite,
        tags=tuple(map(Tag, tags)),
    )
