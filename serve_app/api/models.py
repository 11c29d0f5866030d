"""Routes about models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter

from configs.models import MODEL_TYPES, FloatRange, GgufSource, IntRange, ModelSpec
from deployments import FAMILIES
from deployments.weights import DownloadSettings, status
from serve_app.api import replies
from serve_app.api.callers import CalledBy
from serve_app.api.errors import Conflict, NotFound
from serve_app.api.schemas import Name
from serve_app.api.services import Injected

router = APIRouter(prefix="/api/models", tags=["Models"])


@router.get("", responses={200: {"model": replies.Models}})
async def models(services: Injected) -> dict[str, Any]:
    """Every model with its limits, and whether it is loaded and can be used."""
    overview = await services.dispatcher.overview()
    loaded = set(overview.loaded.values()) if overview else set()
    registry = services.registry
    defaults = {kind: spec.name for kind in MODEL_TYPES if (spec := registry.default(kind)) is not None}
    views = await services.blocking(
        lambda: {
            name: model_view(spec, services.downloads, name in loaded) for name, spec in registry.items()
        }
    )
    return {"default": defaults.get("image", next(iter(registry))), "defaults": defaults, "models": views}


@router.post("/{name}/unload", responses={200: {"model": replies.Done}})
async def unload(name: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Stop the model's idle replicas: no process, no GPU memory."""
    caller.must_be_admin()
    if name not in services.registry:
        raise NotFound(f"Model not found: {name}. Available models: {', '.join(services.registry)}")
    deployment = FAMILIES[services.registry[name].family].deployment
    overview = await services.dispatcher.overview()
    if overview is not None and overview.loaded.get(deployment, name) != name:
        return {"status": "success", "message": f"{name} is not loaded"}
    if not await services.dispatcher.unload(deployment):
        raise Conflict(f"{deployment} is running a job; cancel it or wait")
    return {"status": "success", "message": f"{deployment} unloads"}


def model_view(spec: ModelSpec, downloads: DownloadSettings, loaded: bool) -> dict[str, Any]:
    available, reason = _availability(spec, downloads)
    return {
        "id": spec.repo if not spec.demo else spec.name,
        "name": spec.name,
        "repo": spec.repo if not spec.demo else spec.name,
        "description": spec.description,
        "example_prompts": list(spec.example_prompts),
        "source": "gguf_url" if isinstance(spec.transformer, GgufSource) else spec.source.kind,
        "requires_auth": spec.requires_auth,
        "download_enabled": spec.download_enabled,
        "type": spec.type,
        "family": spec.family,
        "files": _files(spec),
        "step_config": _step_config(spec),
        "supports_negative_prompt": spec.supports_negative_prompt,
        "default_negative_prompt": spec.default_negative_prompt,
        "loaded": loaded,
        "available": available,
        "reason": reason,
        "demo": spec.demo,
        "licence": {"name": spec.licence.name, "url": spec.licence.url},
        "memory_gb": spec.memory_gb,
        "download_gb": spec.download_gb,
        "num_gpus": spec.num_gpus,
    }


def _files(spec: ModelSpec) -> list[str]:
    """Single files that the model is made of, as the earlier server listed them."""
    if not isinstance(spec.transformer, GgufSource):
        return []
    return [spec.transformer.file or Path(spec.transformer.path or "").name]


def _availability(spec: ModelSpec, downloads: DownloadSettings) -> tuple[bool, str | None]:
    """Whether a job of the model can be expected to run, and if not, or not at once, why."""
    if status(spec, downloads).present:
        return True, None
    if not spec.download_enabled:
        return False, "its download is turned off (download_enabled, or DOWNLOAD_MODEL_<N>)"
    if spec.source.kind == "local":
        return False, f"its folder is missing or incomplete: {spec.repo}"
    if downloads.offline:
        return False, "it is not downloaded and the Hub is switched off (HF_HUB_OFFLINE)"
    if spec.requires_auth and downloads.token is None:
        return False, f"it is gated: accept the licence at {spec.licence.url} and set HF_TOKEN"
    return True, f"its first job downloads {spec.download_gb:g} GB"


def _step_config(spec: ModelSpec) -> dict[str, Any]:
    limits = spec.limits
    config: dict[str, Any] = {
        "guidance": _real(limits.guidance),
        "width": _integer(limits.width),
        "height": _integer(limits.height),
        "max_pixels": limits.max_pixels,
        "num_images": {"min": 1, "max": limits.num_images if not spec.is_video else 1, "default": 1},
        "prompt_length": limits.prompt_length,
    }
    if limits.steps.min == limits.steps.max:
        config["fixed_steps"] = limits.steps.default
    else:
        config["steps"] = _integer(limits.steps)
    if limits.frames is not None and limits.fps is not None:
        config |= {"frames": _integer(limits.frames), "fps": _integer(limits.fps)}
    return config


def _integer(limit: IntRange) -> dict[str, int]:
    return {"min": limit.min, "max": limit.max, "step": limit.multiple, "default": limit.default}


def _real(limit: FloatRange) -> dict[str, float]:
    return {"min": limit.min, "max": limit.max, "step": limit.step, "default": limit.default}
