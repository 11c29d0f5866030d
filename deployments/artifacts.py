"""From a pipeline's output to the finished file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deployments.batches import Sample
from deployments.contract import Artifact, GenerationRequest
from deployments.encoding import encode_mp4, encode_png
from deployments.frames import even_sized, to_rgb
from deployments.metadata import describe


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """How outputs were made: the seconds of the pipeline's call, and how many it made at once."""

    seconds: float
    batch_size: int
    sampler: str


def finish(sample: Sample, pictures: Any, making: Making) -> Artifact:
    """The file of one output: `pictures` is one picture, or a clip's frames along the first axis.

    The call's seconds go into the artifact's metadata as `generation_time`, with `batch_size` where that is
    more than 1, and not into the file, whose metadata depend on the request alone.
    """
    request, output = sample.request, sample.output
    is_video = request.model.is_video
    first = even_sized(to_rgb(pictures[0])) if is_video else to_rgb(pictures)
    height, width, _ = first.shape
    count = len(pictures) if is_video else None
    metadata = describe(
        request, output=output, width=width, height=height, frame_count=count, sampler=making.sampler
    )
    data = _clip(request, pictures, metadata) if is_video else encode_png(first, metadata)
    return Artifact(
        output=output,
        media_type="video" if is_video else "image",
        data=data,
        width=width,
        height=height,
        seed=sample.seed,
        metadata=metadata | _told_of(making),
    )


def _told_of(making: Making) -> dict[str, Any]:
    told: dict[str, Any] = {"generation_time": round(making.seconds, 3)}
    return told | {"batch_size": making.batch_size} if making.batch_size > 1 else told


def _clip(request: GenerationRequest, frames: Any, metadata: dict[str, Any]) -> bytes:
    assert request.fps is not None
    return encode_mp4(map(to_rgb, frames), fps=request.fps, metadata=metadata)
