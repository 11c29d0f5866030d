"""Routes about models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from configs.models import ModelSpec
from serve_app.api.errors import NotFound
from serve_app.api.openai import replies
from serve_app.api.openai.routing import TellingRoute
from serve_app.api.schemas import Name
from serve_app.api.services import Injected, Services

router = APIRouter(prefix="/v1/models", tags=["OpenAI"], route_class=TellingRoute)


@router.get("", responses={200: {"model": replies.Models}})
async def models(services: Injected) -> dict[str, Any]:
    """Every model, for pictures and for clips."""
    created = await _created(services)
    return {"object": "list", "data": [model_view(spec, created) for spec in services.registry.values()]}


@router.get("/{model}", responses={200: {"model": replies.Model}})
async def model(model: Name, services: Injected) -> dict[str, Any]:
    if model not in services.registry:
        raise unknown_model(services, model)
    return model_view(services.registry[model], await _created(services))


def unknown_model(services: Services, name: str) -> NotFound:
    """Says which there are."""
    names = ", ".join(services.registry)
    message = f"The model {name!r} does not exist here. Available models: {names}"
    return NotFound(message, code="model_not_found", details={"param": "model"})


def model_view(spec: ModelSpec, created: int) -> dict[str, Any]:
    owner = "cyberimage" if spec.demo or spec.source.kind == "local" else spec.repo.partition("/")[0]
    return {"id": spec.name, "object": "model", "created": created, "owned_by": owner, "type": spec.type}


async def _created(services: Services) -> int:
    """Nobody knows when a model was made; it is as old here as the database."""
    return int((await services.blocking(lambda: services.media.born)).timestamp())
