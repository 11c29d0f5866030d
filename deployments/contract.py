"""What goes into a family and what comes out: requests, events, and the seam between them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from configs.models import ModelSpec

MediaType = Literal["image", "video"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """One job, complete and validated: nothing in it is left to a default.

    Output k uses the seed `seed + k`. `width` and `height` are pixels; for image-to-video they are
    the largest frame, into which the source picture is fitted with its own shape.
    """

    job_id: str
    model: ModelSpec
    prompt: str
    negative_prompt: str = ""
    seed: int
    num_outputs: int = 1
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    max_sequence_length: int | None = None
    num_frames: int | None = None
    fps: int | None = None
    source_image: bytes | None = None
    source_image_id: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings as recorded with the job, repeated in each output's metadata."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading:
    """Weights are being downloaded or loaded.

    `fraction`: how much of a download is done, 0 to 1; None while that is unknown, and when there is none.
    `replaces`: whether another model was loaded before.
    """

    message: str
    fraction: float | None = None
    replaces: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """`step` of `total_steps` denoising steps are done, over all outputs of the job. `step` 0 means begun."""

    step: int
    total_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A small picture, as WebP, of what one output is going to be. Comes before the Progress of its step."""

    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Saving:
    """The last step is done; the result is being decoded and encoded."""

    output: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryUse:
    """Bytes that the model's process holds after its last step, and those that there are."""

    #: Of its GPUs, all together; else of the machine's main memory.
    gpu: bool
    used: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One finished output: a whole PNG or MP4 file with its metadata inside, and the same as a dict."""

    output: int
    media_type: MediaType
    data: bytes
    width: int
    height: int
    seed: int
    metadata: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The last event of a job that could not be made: a GenerationError as a value, for other processes."""

    code: str
    message: str
    hint: str | None = None


Event = Loading | Progress | Preview | MemoryUse | Saving | Artifact | Failed


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEvent:
    """What happened to one job of a call."""

    job_id: str
    event: Event


class Generator(Protocol):
    """A family: loads one model at a time and runs one call at a time.

    A call is one or more jobs of one model, which run together as far as their shapes and the model's
    `max_batch` allow. A job's events come in order and end with the last of its Artifacts or with Failed,
    whatever becomes of the others. When the caller stops iterating (aclose, or cancellation of its task) the
    call ends before the next layer of its model and the generator is ready for the next one.
    """

    def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]: ...

    @property
    def loaded_model(self) -> str | None:
        """Name of the model that a request would find loaded."""
        ...
