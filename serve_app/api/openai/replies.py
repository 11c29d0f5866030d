"""Bodies of this API's replies, for its description. Routes build dicts; tests hold those against it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from configs.models import ModelType


class _Reply(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class Model(_Reply):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    type: ModelType


class Models(_Reply):
    object: Literal["list"]
    data: list[Model]


class Image(_Reply):
    """`b64_json` or `url`, as it was asked for. `id` is the picture's in the gallery."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: None
    id: str
    seed: int


class Images(_Reply):
    created: int
    data: list[Image]
    background: Literal["opaque"]
    output_format: Literal["png", "jpeg", "webp"]
    quality: Literal["auto"]
    size: str


class VideoError(_Reply):
    code: str
    message: str


class Video(_Reply):
    id: str
    object: Literal["video"]
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int = Field(ge=0, le=100)
    created_at: int
    completed_at: int | None
    expires_at: int | None
    error: VideoError | None
    prompt: str
    seconds: str
    size: str
    remixed_from_video_id: None
    seed: int
    num_frames: int
    fps: int


class Videos(_Reply):
    object: Literal["list"]
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(_Reply):
    id: str
    object: Literal["video.deleted"]
    deleted: Literal[True]


#: A reply that is a stream of server-sent events.
EVENTS: dict[str, Any] = {"text/event-stream": {}}
