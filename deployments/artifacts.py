"""From a pipeline's output to the finished file."""

from __future__ import annotations

from typing import Any

from deployments.contract import Artifact, GenerationRequest
from deployments.encoding import encode_mp4, encode_png
from deployments.frames import even_sized, to_rgb
from deployments.metadata import describe


def finish(
    request: GenerationRequest, pictures: Any, *, output: int, seconds: float, sampler: str
) -> Artifact:
    """The file of one output: `pictures` is one picture, or a clip's frames along the first axis.

    `seconds` goes into the artifact's metadata as `generation_time` and not into the file, whose bytes
    depend on the request alone.
    """
    is_video = request.model.is_video
    first = even_sized(to_rgb(pictures[0])) if is_video else to_rgb(pictures)
    height, width, _ = first.shape
    count = len(pictures) if is_video else None
    metadata = describe(
        request, output=output, width=width, height=height, frame_count=count, sampler=sampler
    )
    data = _clip(request, pictures, metadata) if is_video else encode_png(first, metadata)
    return Artifact(
        output=output,
        media_type="video" if is_video else "image",
        data=data,
        width=width,
        height=height,
        seed=request.seed + output,
        metadata=metadata | {"generation_time": round(seconds, 3)},
    )


def _clip(request: GenerationRequest, frames: Any, metadata: dict[str, Any]) -> bytes:
    assert request.fps is not None
    return encode_mp4(map(to_rgb, frames), fps=request.fps, metadata=metadata)
