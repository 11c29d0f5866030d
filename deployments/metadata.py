"""What is known about an output: the metadata object, and its A1111 infotext."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deployments.contract import GenerationRequest

SAMPLERS = {"FlowMatchEulerDiscreteScheduler": "Euler", "UniPCMultistepScheduler": "UniPC"}
"""The names by which image tools know diffusers' scheduler classes."""


def describe(
    request: GenerationRequest, *, output: int, width: int, height: int, frame_count: int | None, sampler: str
) -> dict[str, Any]:
    """The metadata of one output, all but `generation_time`: equal requests have equal metadata.

    `width`, `height` and `frame_count` are those of the finished file.
    """
    metadata: dict[str, Any] = {
        "model_id": request.model.name,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "settings": request.settings,
        "seed": request.seed + output,
        "type": "video" if request.model.is_video else "image",
        "image_number": output + 1,
        "total_images": request.num_outputs,
        "width": width,
        "height": height,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "sampler": SAMPLERS.get(sampler, sampler),
    }
    if frame_count is not None and request.fps is not None:
        duration = round(frame_count / request.fps, 3)
        metadata |= {"fps": request.fps, "duration_seconds": duration, "frame_count": frame_count}
    if request.model.type == "i2v":
        metadata["source_image_id"] = request.source_image_id
    return metadata


def infotext(metadata: Mapping[str, Any]) -> str:
    """The text that AUTOMATIC1111's web UI writes into its pictures, and other tools read."""
    fields = {
        "Steps": metadata["num_inference_steps"],
        "Sampler": metadata["sampler"],
        "CFG scale": metadata["guidance_scale"],
        "Seed": metadata["seed"],
        "Size": f"{metadata['width']}x{metadata['height']}",
        "Model": metadata["model_id"],
    }
    lines = [metadata["prompt"]]
    if metadata["negative_prompt"]:
        lines.append(f"Negative prompt: {metadata['negative_prompt']}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in fields.items()))
    return "\n".join(lines)


def _quoted(value: object) -> str:
    """As A1111 quotes: only a text that holds one of its own separators."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if {",", ":", "\n"} & set(text) else text
