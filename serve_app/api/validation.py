"""A request held against its model: the complete settings of a job, or a sentence on what is wrong."""

from __future__ import annotations

import secrets
from typing import Any

from configs.models import FloatRange, IntRange, ModelSpec, ModelType
from configs.registry import Registry
from serve_app.api.errors import InvalidRequest
from serve_app.api.schemas import ImageSettings, VideoSettings

TYPE_NAMES: dict[ModelType, str] = {
    "image": "a text-to-image",
    "t2v": "a text-to-video",
    "i2v": "an image-to-video",
}


def choose_model(registry: Registry, name: str, kind: ModelType, field: str = "model_id") -> ModelSpec:
    """The model of that name and type. Raises InvalidRequest."""
    fitting = [spec.name for spec in registry.of_type(kind)]
    if name not in registry:
        raise InvalidRequest(f"Invalid {field}. Available models: {', '.join(fitting)}")
    spec = registry[name]
    if spec.type != kind:
        would_do = f"Models that would do: {', '.join(fitting)}" if fitting else "This server has none"
        raise InvalidRequest(
            f"Model {name} is of type {spec.type} and not {TYPE_NAMES[kind]} generation model. {would_do}"
        )
    return spec


def choose_default(registry: Registry, name: str | None, kind: ModelType) -> ModelSpec:
    """The model of that name and type, without a name the default of the type. Raises InvalidRequest."""
    if name:
        return choose_model(registry, name, kind, "model")
    default = registry.default(kind)
    if default is None:
        raise InvalidRequest(f"This server has no {TYPE_NAMES[kind].partition(' ')[2]} model")
    return default


def check_prompt(spec: ModelSpec, prompt: str, name: str = "Prompt") -> str:
    longest = spec.limits.prompt_length
    if len(prompt) > longest:
        raise InvalidRequest(f"{name} too long. Maximum length is {longest} characters.")
    return prompt


def choose_negative_prompt(spec: ModelSpec, *given: str | None) -> str:
    """The first that is not empty, else the model's default; empty for a model that takes none."""
    if not spec.supports_negative_prompt:
        return ""
    chosen = next((text for text in given if text), spec.default_negative_prompt)
    return check_prompt(spec, chosen, "Negative prompt")


def choose_seed(seed: int | None) -> int:
    return secrets.randbelow(2**32) if seed is None or seed < 0 else seed


def complete_settings(spec: ModelSpec, settings: ImageSettings | VideoSettings) -> dict[str, Any]:
    """Every setting of the run, the model's default where none was given. Raises InvalidRequest."""
    limits = spec.limits
    chosen: dict[str, Any] = {
        "type": spec.type,
        "width": _integer("width", limits.width, settings.width),
        "height": _integer("height", limits.height, settings.height),
        "num_inference_steps": _integer("num_inference_steps", limits.steps, settings.num_inference_steps),
        "guidance_scale": _real("guidance_scale", limits.guidance, settings.guidance_scale),
        "seed": choose_seed(settings.seed),
    }
    _check_area(spec, chosen["width"], chosen["height"])
    if isinstance(settings, VideoSettings):
        assert limits.frames is not None
        assert limits.fps is not None
        chosen["num_frames"] = _integer("num_frames", limits.frames, settings.num_frames)
        chosen["fps"] = _integer("fps", limits.fps, settings.fps)
        return chosen
    chosen["num_images"] = _count(spec, settings.num_images)
    if limits.max_sequence_length is not None:
        length = _integer("max_sequence_length", limits.max_sequence_length, settings.max_sequence_length)
        chosen["max_sequence_length"] = length
    return chosen


def _count(spec: ModelSpec, given: int | None) -> int:
    count = 1 if given is None else given
    if count > spec.limits.num_images:
        raise InvalidRequest(f"num_images must be between 1 and {spec.limits.num_images} for {spec.name}")
    return count


def _integer(name: str, limit: IntRange, given: int | None) -> int:
    if given is None:
        return limit.default
    if (problem := limit.problem(given)) is not None:
        raise InvalidRequest(f"{name} {given} {problem}")
    return given


def _real(name: str, limit: FloatRange, given: float | None) -> float:
    if given is None:
        return limit.default
    if not limit.min <= given <= limit.max:
        raise InvalidRequest(f"{name} {given:g} must be between {limit.min:g} and {limit.max:g}")
    return given


def _check_area(spec: ModelSpec, width: int, height: int) -> None:
    most = spec.limits.max_pixels
    if width * height > most:
        raise InvalidRequest(
            f"{width}x{height} is {width * height} pixels; {spec.name} makes at most {most} (such as "
            f"{spec.limits.width.default}x{spec.limits.height.default})"
        )
