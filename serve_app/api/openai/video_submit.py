"""POST /v1/videos."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request

from configs.models import ModelSpec
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.media import store_upload
from serve_app.api.openai import replies
from serve_app.api.openai.choice import choose_clip_model
from serve_app.api.openai.errors import naming_parameters
from serve_app.api.openai.forms import read_video_body
from serve_app.api.openai.references import Reference, read_reference
from serve_app.api.openai.repeats import sending_of
from serve_app.api.openai.routing import TellingRoute
from serve_app.api.openai.schemas import VideoBody, parse_size
from serve_app.api.openai.video_views import frames_for, video_view
from serve_app.api.schemas import VideoSettings
from serve_app.api.services import Injected, Services
from serve_app.api.submission import Idempotency, check_source, new_job, submit
from serve_app.api.submit import IdempotencyKey
from serve_app.api.validation import check_prompt, choose_negative_prompt, complete_settings
from storage.jobs import Job
from storage.media import SENT_ALONG, Media

router = APIRouter(tags=["OpenAI"], route_class=TellingRoute)


@router.post("/v1/videos", responses={200: {"model": replies.Video}})
async def create(
    request: Request, services: Injected, caller: CalledBy, key: IdempotencyKey = None
) -> dict[str, Any]:
    """Text to video; with an `input_reference`, image to video.

    `seconds` times `fps` gives the number of frames: the nearest that the model can make, within its limits.
    Without a `model` the server's first of its kind is taken. With an `input_reference`, the name of a
    text-to-video model means the image-to-video model of the same family.
    """
    body, file = await read_video_body(request, services)
    reference = await services.blocking(read_reference, body.input_reference, file)
    body = body.model_copy(update={"input_reference": None})
    with naming_parameters():
        spec = choose_clip_model(services, body.model, animates=reference is not None)
        job = _job(services, spec, body)
    sent = None if reference is None else reference.content
    once = sending_of(request, key, body, now=services.clock(), file=sent)
    if reference is None:
        added = await submit(services, caller, job, once)
    else:
        # Whoever goes away now must not leave a job without its picture.
        added = await asyncio.shield(_submit_animation(services, caller, job, reference, once))
    return video_view(added, services.registry.get(added.model))


def _job(services: Services, spec: ModelSpec, body: VideoBody) -> Job:
    prompt = check_prompt(spec, body.prompt)
    negative = choose_negative_prompt(spec, body.negative_prompt)
    return new_job(services, spec, prompt, negative, complete_settings(spec, _settings(spec, body)))


def _settings(spec: ModelSpec, body: VideoBody) -> VideoSettings:
    size = parse_size(body.size)
    num_frames = body.num_frames
    if num_frames is None and body.seconds is not None:
        assert spec.limits.fps is not None
        num_frames = frames_for(body.seconds, body.fps or spec.limits.fps.default, spec)
    return VideoSettings(
        width=size and size[0],
        height=size and size[1],
        num_frames=num_frames,
        fps=body.fps,
        num_inference_steps=body.num_inference_steps,
        guidance_scale=body.guidance_scale,
        seed=body.seed,
    )


async def _submit_animation(
    services: Services, caller: Caller, job: Job, reference: Reference, once: Idempotency
) -> Job:
    """Submit the job, with the picture kept; a picture for no job goes again."""
    if reference.media_id is not None:
        await check_source(services, caller, reference.media_id)
        return await submit(services, caller, _of_source(job, reference.media_id), once)
    if once.resend is not None and once.key is None:
        find = services.jobs.first_sent
        first = await services.blocking(find, caller.client, once.request_hash, once.resend)
        if first is not None:
            return await submit(services, caller, _of_source(job, first.settings["source_image_id"]), once)
    assert reference.data is not None
    async with services.decoding:
        source = await services.blocking(
            store_upload, services, reference.data, caller.client, source=SENT_ALONG
        )
    added = None
    try:
        added = await submit(services, caller, _of_source(job, source.id), once)
        return added
    finally:
        if added is None or added.id != job.id:
            await services.blocking(_forget, services, source)


def _of_source(job: Job, source_id: str) -> Job:
    return replace(job, settings=job.settings | {"source_image_id": source_id})


def _forget(services: Services, source: Media) -> None:
    if services.media.delete(source.id) is not None:
        services.files.delete(source.file_path)
