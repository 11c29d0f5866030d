"""Bodies of the native API's replies, for its description.

Routes build plain dicts; nothing is validated or left out on the way. Tests hold the replies against these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.reasons import Why
from storage.jobs import JobStatus, JobType, Warmth
from storage.media import MediaType
from storage.webhooks import WebhookStatus


class _Reply(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class ErrorReply(_Reply):
    """Every 4xx and 5xx."""

    status: Literal["error"]
    message: str = Field(description="What is wrong and what would be right, for people.")
    code: str = Field(description="The same for programs.")
    details: Any = None


class Done(_Reply):
    """The request was carried out."""

    status: Literal["success"]
    message: str


class JobDone(Done):
    job_id: str


class Paused(Done):
    paused: bool


class Cleared(Done):
    cleared: int = Field(ge=0)


class Reset(Done):
    reset_count: int = Field(ge=0)


class Submitted(_Reply):
    """The job is on disk."""

    job_id: str
    status: JobStatus
    message: str


class PictureSubmitted(Submitted):
    num_images: int = Field(ge=1)


class Error(_Reply):
    code: str
    message: str
    hint: str | None


class Progress(_Reply):
    preparing: bool
    loading_model: bool
    generating: bool
    saving: bool
    completed: bool
    failed: bool
    step: int | None
    total_steps: int | None
    percent: float = Field(ge=0, le=100)
    preview_url: str | None = Field(description="Changes with every preview.")
    preview: int | None = Field(description="The number of the latest preview.")


class MediaReply(_Reply):
    """A picture or a clip."""

    id: str
    job_id: str | None
    file_path: str
    media_type: MediaType
    url: str
    thumbnail_url: str
    width: int
    height: int
    created_at: datetime
    metadata: dict[str, Any]


class WhyWaiting(_Reply):
    """`leaving`: the model, or deployment, that has to go before the job starts."""

    reason: Why
    message: str
    leaving: str | None
    eta_start_seconds: float | None


class WebhookReply(_Reply):
    """`failing` is tried again, at `next_attempt_at`; `failed` is not."""

    url: str
    status: WebhookStatus
    attempts: int = Field(ge=0)
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    problem: str | None


class JobReply(_Reply):
    """A job; `images` holds videos, too."""

    id: str
    status: JobStatus
    type: JobType
    model_id: str
    prompt: str
    negative_prompt: str
    settings: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    message: str
    error: Error | None
    queue_position: int | None
    eta_seconds: float | None
    waiting: WhyWaiting | None = Field(default=None, description="Of a pending job.")
    attempts: int = Field(ge=0)
    priority: int
    load_seconds: float | None = None
    run_seconds: float | None = None
    warmth: Warmth | None = None
    batch_size: int | None = Field(default=None, ge=1, description="Jobs that shared its pipeline call.")
    webhook: WebhookReply | None = None
    progress: Progress
    image_ids: list[str]
    images: list[MediaReply]


class Jobs(_Reply):
    jobs: list[JobReply]
    next_cursor: str | None
    has_more: bool


class GalleryItem(_Reply):
    id: str
    model_id: str | None
    file_path: str
    prompt: str
    created_at: datetime
    settings: dict[str, Any]
    media_type: MediaType
    url: str
    thumbnail_url: str
    width: int
    height: int
    favorite: bool
    tags: list[str]


class Gallery(_Reply):
    images: list[GalleryItem]
    page: int
    limit: int = Field(ge=1, le=50)
    has_more: bool
    total: int = Field(ge=0)
    next_cursor: str | None


class GalleryIds(_Reply):
    ids: list[str]


class Deleted(Done):
    deleted: int = Field(ge=0)


class Uploaded(_Reply):
    id: str
    width: int
    height: int
    url: str


class Favorite(_Reply):
    status: Literal["success"]
    id: str
    favorite: bool


class TagUse(_Reply):
    """A tag as it is spelt most often."""

    name: str
    count: int = Field(ge=1, description="Pictures and clips in the gallery that have it.")


class TagsInUse(_Reply):
    tags: list[TagUse]


class TagsOf(_Reply):
    id: str
    tags: list[str]


class Tagged(TagsOf):
    status: Literal["success"]


class BatchTagged(Done):
    tagged: int = Field(ge=0)


class Counts(_Reply):
    pending: int = Field(ge=0)
    processing: int = Field(ge=0)
    completed: int = Field(ge=0)
    failed: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    total: int = Field(ge=0)


class ModelCounts(Counts):
    """A model's jobs of the last day, and what their runs and loads took on average."""

    avg_run_seconds: float | None
    avg_load_seconds: float | None


class Memory(_Reply):
    """What a deployment's model process holds."""

    kind: Literal["gpu", "main"]
    used_gb: float
    total_gb: float


class Deployment(_Reply):
    replicas: int = Field(ge=0)
    starting: int = Field(ge=0)
    running_jobs: int = Field(ge=0)
    state: str
    message: str
    loaded_model: str | None
    idle_seconds: float | None
    memory: Memory | None = Field(description="By its latest run; null before the first.")


class Gpus(_Reply):
    total: float | None
    used: float | None


class WaitingJob(WhyWaiting):
    id: str
    model_id: str
    position: int = Field(ge=1)
    eta_seconds: float | None


class Queue(Counts):
    """The caller's jobs by status; what stands from `recent_24h` on comes with `detailed`."""

    queue_size: int = Field(ge=0, description="Everyone's waiting jobs.")
    paused: bool
    recent_24h: Counts | None = None
    avg_processing_time_seconds: float | None = None
    models: dict[str, ModelCounts] | None = None
    failure_rate: float | None = None
    waiting: list[WaitingJob] | None = Field(default=None, description="The first 100 that wait.")
    deployments: dict[str, Deployment] | None = None
    gpus: Gpus | None = None
    dashboard_url: str | None = Field(default=None, description="Ray's dashboard, for admins where known.")


class Licence(_Reply):
    name: str
    url: str | None


class Model(_Reply):
    id: str
    name: str
    repo: str
    description: str
    example_prompts: list[str]
    source: str
    requires_auth: bool
    download_enabled: bool
    type: JobType
    family: str
    files: list[str]
    step_config: dict[str, Any]
    supports_negative_prompt: bool
    default_negative_prompt: str
    loaded: bool
    available: bool
    reason: str | None = Field(description="Why it is not available, or what its first job has to do.")
    demo: bool
    licence: Licence
    memory_gb: float = Field(description="GPU memory of a run with all weights resident, GiB.")
    download_gb: float = Field(description="10^9 bytes.")
    num_gpus: float = Field(description="Of one replica.")


class Models(_Reply):
    default: str
    defaults: dict[str, str]
    models: dict[str, Model]


class Health(_Reply):
    status: Literal["healthy", "unhealthy"]
    version: str
    device: str
    demo: bool
    queue: dict[str, int] | None
    reason: str | None = None
