"""Checkpoints and options: which models there are, and which one a client has chosen.

Choosing loads nothing: the model is loaded when a job wants it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from configs.models import ModelSpec
from serve_app.api.automatic1111 import schemas
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.errors import NotFound, did_you_mean
from serve_app.api.models import unload
from serve_app.api.services import Injected, Services

router = APIRouter()


@router.get("/sd-models", responses={200: {"model": list[schemas.Checkpoint]}})
def sd_models(services: Injected) -> list[dict[str, Any]]:
    """The text-to-image models."""
    return [
        {
            "title": spec.name,
            "model_name": spec.name,
            "hash": None,
            "sha256": None,
            "filename": spec.name if spec.source.kind == "local" else spec.repo,
            "config": None,
        }
        for spec in services.registry.of_type("image")
    ]


@router.get("/options", responses={200: {"model": schemas.CurrentOptions}})
def get_options(services: Injected, caller: CalledBy) -> dict[str, Any]:
    """What is chosen for this client, which is its API key or its address."""
    chosen = current(services, caller)
    return {
        "sd_model_checkpoint": chosen.name if chosen else None,
        "sd_checkpoint_hash": "",
        "sd_vae": "Automatic",
        "CLIP_stop_at_last_layers": 1,
        "samples_format": "png",
    }


@router.post("/options", response_model=None)
def set_options(body: schemas.Options, services: Injected, caller: CalledBy) -> None:
    """Choose the model of this client. Everything else in the object is taken back as it is."""
    if body.sd_model_checkpoint:
        services.automatic1111.choose(caller.client, named(services, body.sd_model_checkpoint).name)


@router.post("/unload-checkpoint")
async def unload_checkpoint(services: Injected, caller: CalledBy) -> dict[str, str]:
    """Unload the current model, unless it runs. Concerns every client."""
    caller.must_be_admin()
    if (chosen := await services.blocking(current, services, caller)) is not None:
        await unload(chosen.name, services, caller)
    return {}


def choose(services: Services, caller: Caller, name: str | None) -> ModelSpec:
    """The model of that name, else the client's current one. Raises NotFound."""
    if name:
        return named(services, name)
    chosen = current(services, caller)
    if chosen is None:
        raise NotFound("This server has no text-to-image model")
    return chosen


def current(services: Services, caller: Caller) -> ModelSpec | None:
    """The client's choice, else the default; None on a server without text-to-image models."""
    name = services.automatic1111.checkpoint(caller.client)
    chosen = services.registry.get(name) if name else None
    return chosen or services.registry.default("image")


def named(services: Services, name: str) -> ModelSpec:
    """Raises NotFound."""
    known = [spec.name for spec in services.registry.of_type("image")]
    if name not in known:
        raise NotFound(f"Checkpoint not found: {name}; {did_you_mean(name, known)}")
    return services.registry[name]
