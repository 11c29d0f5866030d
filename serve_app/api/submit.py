"""Routes that accept jobs."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel

from configs.models import ModelSpec
from configs.settings import Settings
from deployments.weights import status
from serve_app.api import replies
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.errors import Conflict, InvalidRequest, NotFound
from serve_app.api.schemas import GenerateBody, GenerateT2VBody, GenerateVideoBody
from serve_app.api.services import Injected, Services
from serve_app.api.validation import (
    check_prompt,
    choose_model,
    choose_negative_prompt,
    complete_settings,
)
from serve_app.webhooks import AddressRefused, check_address
from storage.jobs import NO_QUOTA, Job, JobId, Quota
from storage.media import MediaId

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
    job = await _submit(services, request, caller, _text_job(services, spec, body), key=key, body=body)
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
    job = await _submit(services, request, caller, _text_job(services, spec, body), key=key, body=body)
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
    await _check_source(services, caller, body.source_image_id)
    negative = choose_negative_prompt(spec, body.negative_prompt, body.settings.negative_prompt)
    settings = complete_settings(spec, body.settings) | {"source_image_id": body.source_image_id}
    job = _job(services, spec, body.video_prompt, negative, settings, webhook_url=body.webhook_url)
    job = await _submit(services, request, caller, job, key=key, body=body)
    message = "Video generation job submitted successfully."
    return {"job_id": job.id, "status": job.status.value, "message": message}


async def _check_available(services: Services, spec: ModelSpec) -> None:
    """A model that must not be downloaded can be used if its files are here."""
    if spec.download_enabled:
        return
    found = await services.blocking(status, spec, services.downloads)
    if not found.present:
        raise InvalidRequest(
            f"Model {spec.name} is not here, and its DOWNLOAD_MODEL variable forbids to fetch it"
        )


async def _check_source(services: Services, caller: Caller, source_id: str) -> None:
    media = await services.blocking(services.media.get, MediaId(source_id), client=caller.scope)
    if media is None:
        raise NotFound(f"Source image not found: {source_id}")
    if media.media_type == "video":
        raise Conflict(f"{source_id} is a video; the source must be a picture", code="source_is_video")


def _text_job(services: Services, spec: ModelSpec, body: GenerateBody | GenerateT2VBody) -> Job:
    """The job of a prompt alone, for a picture or a clip."""
    check_prompt(spec, body.prompt)
    negative = choose_negative_prompt(spec, body.negative_prompt, body.settings.negative_prompt)
    settings = complete_settings(spec, body.settings)
    return _job(services, spec, body.prompt, negative, settings, webhook_url=body.webhook_url)


def _job(
    services: Services,
    spec: ModelSpec,
    prompt: str,
    negative_prompt: str,
    settings: dict[str, Any],
    *,
    webhook_url: str | None,
) -> Job:
    if webhook_url is not None:
        _check_webhook(services, webhook_url)
    return Job(
        id=JobId(str(uuid.uuid4())),
        type=spec.type,
        model=spec.name,
        prompt=prompt,
        negative_prompt=negative_prompt,
        settings=settings,
        seed=settings["seed"],
        created_at=services.clock(),
        webhook_url=webhook_url,
    )


def _check_webhook(services: Services, url: str) -> None:
    try:
        check_address(url, services.settings.webhook_hosts)
    except AddressRefused as error:
        raise InvalidRequest(str(error), code="webhook_refused") from error


async def _submit(
    services: Services,
    request: Request,
    caller: Caller,
    job: Job,
    *,
    key: str | None,
    body: BaseModel | None = None,
) -> Job:
    job = replace(
        job,
        client=caller.client,
        idempotency_key=key or None,
        request_hash=_hash(request.url.path, body) if key else None,
    )
    await _check_available(services, services.registry[job.model])
    settings = services.settings
    added = await services.blocking(
        services.jobs.add, job, max_pending=settings.max_pending, quota=_quota(settings, caller)
    )
    services.dispatcher.wake(added.id, added.status)
    return added


def _quota(settings: Settings, caller: Caller) -> Quota:
    keys = settings.api_keys or settings.admin_keys
    if keys and caller.admin:
        return NO_QUOTA
    return Quota(waiting=settings.max_pending_per_client, outputs_per_day=settings.max_outputs_per_day)


def _hash(path: str, body: BaseModel | None) -> str:
    text = json.dumps([path, body and body.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


async def resubmit(services: Services, request: Request, caller: Caller, job: Job, *, key: str | None) -> Job:
    """A new job with the settings and the seed of an ended one."""
    spec = choose_model(services.registry, job.model, job.type)
    if (source_id := job.settings.get("source_image_id")) is not None:
        await _check_source(services, caller, source_id)
    url = job.webhook_url
    again = _job(services, spec, job.prompt, job.negative_prompt, dict(job.settings), webhook_url=url)
    return await _submit(services, request, caller, again, key=key)
