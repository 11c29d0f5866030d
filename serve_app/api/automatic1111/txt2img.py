"""Text to image, as one call that answers when the pictures are there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from configs.models import ModelSpec
from serve_app.api.automatic1111 import schemas
from serve_app.api.automatic1111.clients import Task
from serve_app.api.automatic1111.fitting import Adjustment, Fitted, fit
from serve_app.api.automatic1111.infotext import told
from serve_app.api.automatic1111.lists import SAMPLER
from serve_app.api.automatic1111.options import choose
from serve_app.api.automatic1111.progress import stamp
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.endings import ended
from serve_app.api.errors import JobFailed, NotFound
from serve_app.api.job_access import cancel_job
from serve_app.api.schemas import ImageSettings
from serve_app.api.services import Injected, Services
from serve_app.api.submission import checked_job, idempotency, submit_all
from serve_app.api.submit import IdempotencyKey
from serve_app.api.validation import choose_seed
from storage.jobs import Job, JobStatus
from storage.media import Media

router = APIRouter()

#: The most pictures of one job, where the model allows as many.
JOB_PICTURES = 8


@router.post("/txt2img", responses={200: {"model": schemas.Pictures}})
async def txt2img(
    body: schemas.Txt2Img, request: Request, services: Injected, caller: CalledBy, key: IdempotencyKey = None
) -> Response:
    """Make batch_size times n_iter pictures. They are in the gallery, too, also if the caller goes away.

    What the model cannot do becomes the nearest that it can, as `info` tells in `adjusted`.
    """
    spec = await services.blocking(_choose, services, caller, body)
    fitted = fit(spec, body)
    wanted = tuple(_jobs(services, spec, body, fitted))
    jobs = await submit_all(services, caller, wanted, idempotency(key, request.url.path, body))
    task = Task(id=body.force_task_id or f"task({jobs[0].id})", jobs=tuple(job.id for job in jobs))
    # Until its jobs have ended, not until this call has: a client that goes away may still interrupt.
    await services.blocking(services.automatic1111.begin, caller.client, task)
    media = await _made(services, caller, jobs)
    await services.blocking(services.automatic1111.finish, caller.client, task)
    info = _info(body, jobs, media, fitted.adjustments(body))
    facts = {"parameters": body.model_dump(mode="json"), "info": json.dumps(info)}
    content = await services.blocking(_content, services, media if body.send_images else [], facts)
    return Response(content, media_type="application/json")


def _choose(services: Services, caller: Caller, body: schemas.Txt2Img) -> ModelSpec:
    spec = choose(services, caller, body.checkpoint)
    if body.checkpoint and not body.override_settings_restore_afterwards:
        services.automatic1111.choose(caller.client, spec.name)
    return spec


@router.post("/img2img")
def img2img() -> None:
    """There is no model for it."""
    raise NotFound(
        "This server has no image-to-image model. txt2img makes pictures from prompts, and "
        "POST /api/generate_video makes clips from pictures"
    )


def _jobs(services: Services, spec: ModelSpec, body: schemas.Txt2Img, fitted: Fitted) -> Iterator[Job]:
    """The jobs that make the pictures together: picture k has the seed of the first plus k."""
    seed = choose_seed(body.seed)
    most = min(JOB_PICTURES, spec.limits.num_images)
    for start in range(0, body.pictures, most):
        settings = ImageSettings(
            num_images=min(most, body.pictures - start),
            num_inference_steps=fitted.steps,
            guidance_scale=fitted.guidance,
            width=fitted.width,
            height=fitted.height,
            seed=seed + start,
        )
        yield checked_job(services, spec, body.prompt, body.negative_prompt, settings)


async def _cancel(services: Services, jobs: Sequence[Job]) -> None:
    for job in jobs:
        await cancel_job(services, job.id)


async def _made(services: Services, caller: Caller, jobs: Sequence[Job]) -> list[Media]:
    """What the jobs have made once all have ended; cancelled ones make nothing. Raises JobFailed."""
    media: list[Media] = []
    for number, job in enumerate(jobs):
        job = await ended(services, caller, job.id)
        if job.status is JobStatus.FAILED:
            await _cancel(services, jobs[number + 1 :])
            assert job.error is not None
            raise JobFailed(" ".join(filter(None, (job.error.message, job.error.hint))), code=job.error.code)
        media += await services.blocking(services.media.of_job, job.id)
    return media


def _content(services: Services, media: list[Media], facts: dict[str, Any]) -> bytes:
    """The reply as JSON, with the files in base64. Raises the storage's errors for one that is gone.

    The pictures are put in one by one: writing a hundred megabytes of JSON at once would hold up everyone.
    """
    files = (services.files.whole(item.file_path).read_bytes() for item in media)
    images = b",".join(b'"%b"' % base64.b64encode(file) for file in files)
    return b'{"images": [%b], %b' % (images, json.dumps(facts).encode().removeprefix(b"{"))


def _info(
    body: schemas.Txt2Img, jobs: Sequence[Job], media: list[Media], adjustments: tuple[Adjustment, ...]
) -> dict[str, Any]:
    """What was made, by that web UI's names. Lists have an entry a picture."""
    first, seeds = jobs[0], [item.metadata["seed"] for item in media]
    settings, count = first.settings, len(media)
    return {
        "prompt": first.prompt,
        "all_prompts": [first.prompt] * count,
        "negative_prompt": first.negative_prompt,
        "all_negative_prompts": [first.negative_prompt] * count,
        "seed": first.seed,
        "all_seeds": seeds,
        "subseed": first.seed,
        "all_subseeds": seeds,
        "subseed_strength": 0,
        "width": settings["width"],
        "height": settings["height"],
        "sampler_name": media[0].metadata["sampler"] if media else SAMPLER,
        "cfg_scale": settings["guidance_scale"],
        "steps": settings["num_inference_steps"],
        "batch_size": body.batch_size,
        "restore_faces": False,
        "sd_model_name": first.model,
        "sd_model_hash": "",
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [told(item.metadata, adjustments) for item in media],
        "styles": [],
        "job_timestamp": stamp(first.created_at),
        "clip_skip": 1,
        "adjusted": [str(adjustment) for adjustment in adjustments],
        "job_ids": [job.id for job in jobs],
        "image_ids": [item.id for item in media],
    }
