"""The native API's routes that accept jobs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request

from configs.models import ModelSpec
from serve_app.api import replies
from serve_app.api.callers import CalledBy
from serve_app.api.schemas import GenerateBody, GenerateT2VBody, GenerateVideoBody
from serve_app.api.services import Injected, Services
from serve_app.api.submission import check_source, checked_job, idempotency, submit
from serve_app.api.validation import check_prompt, choose_model
from storage.jobs import Job

router = APIRouter(tags=["Submit"])

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="The same key and body give the same job."),
]


@router.post("/api/generate", responses={200: {"model": replies.PictureSubmitted}})
async def generate(
    body: GenerateBody, request: Request, services: Injected, caller: CalledBy, key: IdempotencyKey = None
) -> dict[str, Any]:
    """Text to image."""
    spec = choose_model(services.registry, body.model_id, "image")
    once = idempotency(key, request.url.path, body)
    job = await submit(services, caller, _job(services, spec, body, body.prompt), once)
    count = job.settings["num_images"]
    message = f"Image generation job submitted successfully for {count} image(s)"
    if body.negative_prompt and not spec.supports_negative_prompt:
        message += f"; {spec.name} takes no negative prompt, so it is ignored"
    return {"job_id": job.id, "status": job.status.value, "num_images": count, "message": message}


@router.post("/api/generate_t2v", status_code=202, responses={202: {"model": replies.Submitted}})
async def generate_t2v(
    body: GenerateT2VBody, request: Request, services: Injected, caller: CalledBy, key: IdempotencyKey = None
) -> dict[str, Any]:
    """Text to video."""
    spec = choose_model(services.registry, body.model_id, "t2v")
    once = idempotency(key, request.url.path, body)
    job = await submit(services, caller, _job(services, spec, body, body.prompt), once)
    message = "Text-to-Video generation job submitted successfully."
    return {"job_id": job.id, "status": job.status.value, "message": message}


@router.post("/api/generate_video", status_code=202, responses={202: {"model": replies.Submitted}})
async def generate_video(
    body: GenerateVideoBody,
    request: Request,
    services: Injected,
    caller: CalledBy,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Image to video. The source is a generated or uploaded picture."""
    spec = choose_model(services.registry, body.video_model_id, "i2v", "video_model_id")
    check_prompt(spec, body.video_prompt, "Video prompt")
    await check_source(services, caller, body.source_image_id)
    job = _job(services, spec, body, body.video_prompt, source_image_id=body.source_image_id)
    job = await submit(services, caller, job, idempotency(key, request.url.path, body))
    message = "Video generation job submitted successfully."
    return {"job_id": job.id, "status": job.status.value, "message": message}


def _job(
    services: Services,
    spec: ModelSpec,
    body: GenerateBody | GenerateT2VBody | GenerateVideoBody,
    prompt: str,
    *,
    source_image_id: str | None = None,
) -> Job:
    return checked_job(
        services,
        spec,
        prompt,
        body.negative_prompt,
        body.settings,
        source_image_id=source_image_id,
        priority=body.priority,
        webhook_url=body.webhook_url,
    )
