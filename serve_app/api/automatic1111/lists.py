"""What programs ask for when they connect. Most of it is what this server does not have."""

from __future__ import annotations

from typing import Any

import psutil
from fastapi import APIRouter

from serve_app.api.automatic1111 import schemas

router = APIRouter()

#: The sampler of every text-to-image model here; models are trained for one, and bring it along.
SAMPLER = "Euler"

Empty = list[dict[str, Any]]


@router.get("/samplers", responses={200: {"model": list[schemas.Sampler]}})
def samplers() -> list[dict[str, Any]]:
    """The one that is used. Other names are accepted and ignored."""
    return [{"name": SAMPLER, "aliases": ["k_euler", "euler"], "options": {}}]


@router.get("/schedulers", responses={200: {"model": list[schemas.Scheduler]}})
def schedulers() -> list[dict[str, Any]]:
    """The one that is used: the model's."""
    only = {"name": "automatic", "label": "Automatic", "aliases": None}
    return [only | {"default_rho": -1.0, "need_inner_model": False}]


@router.get("/upscalers", responses={200: {"model": list[schemas.Upscaler]}})
def upscalers() -> list[dict[str, Any]]:
    """None, which programs expect in the first place of the list."""
    return [{"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 1.0}]


@router.get("/latent-upscale-modes")
def latent_upscale_modes() -> Empty:
    """This server enlarges nothing."""
    return []


@router.get("/sd-vae")
def sd_vae() -> Empty:
    """Models bring their own."""
    return []


@router.get("/sd-modules")
def sd_modules() -> Empty:
    """Models bring their own."""
    return []


@router.get("/loras")
def loras() -> Empty:
    """A fine-tune is a model of its own here."""
    return []


@router.get("/prompt-styles")
def prompt_styles() -> Empty:
    """There are none."""
    return []


@router.get("/cmd-flags")
def cmd_flags() -> dict[str, bool]:
    """The flags with which that web UI would behave like this server."""
    return {"api": True, "nowebui": True}


@router.get("/memory", responses={200: {"model": schemas.Memory}})
def memory() -> dict[str, Any]:
    """Main memory, in bytes. GPUs belong to other processes; /api/queue?detailed=true tells of them."""
    facts = psutil.virtual_memory()
    ram = {"free": facts.available, "used": facts.total - facts.available, "total": facts.total}
    return {"ram": ram, "cuda": {"error": "not known to this process"}}
