"""A request for pictures as jobs.

It may ask for more than a job of that model makes (`limits.num_images`, 8 at most): then it becomes several
jobs, alike but for their seeds, which are accepted together or not at all. Picture k has seed + k throughout.
"""

from __future__ import annotations

from collections.abc import Iterator

from configs.models import ModelSpec
from serve_app.api.callers import Caller
from serve_app.api.openai.choice import choose_image_model
from serve_app.api.openai.errors import naming_parameters
from serve_app.api.openai.schemas import ImagesBody, parse_size
from serve_app.api.schemas import ImageSettings
from serve_app.api.services import Services
from serve_app.api.submission import Idempotency, new_job, submit_all
from serve_app.api.validation import check_prompt, choose_negative_prompt, choose_seed, complete_settings
from storage.jobs import Job


async def submit_images(
    services: Services, caller: Caller, body: ImagesBody, once: Idempotency
) -> tuple[Job, ...]:
    """The request's jobs, on disk. Raises as `submit` does, and ApiError for a request that is wrong."""
    with naming_parameters():
        spec = choose_image_model(services, body.model)
        jobs = tuple(_jobs(services, spec, body))
    return await submit_all(services, caller, jobs, once)


def shares(count: int, most: int) -> list[int]:
    """`count` in as few parts of at most `most` as it takes, as equal as can be."""
    parts = -(-count // most)
    return [count // parts + (part < count % parts) for part in range(parts)]


def _jobs(services: Services, spec: ModelSpec, body: ImagesBody) -> Iterator[Job]:
    prompt = check_prompt(spec, body.prompt)
    negative = choose_negative_prompt(spec, body.negative_prompt)
    settings = complete_settings(spec, _settings(body))
    for count in shares(body.n or 1, spec.limits.num_images):
        yield new_job(services, spec, prompt, negative, settings | {"num_images": count})
        settings = settings | {"seed": settings["seed"] + count}


def _settings(body: ImagesBody) -> ImageSettings:
    size = parse_size(body.size)
    return ImageSettings(
        width=size and size[0],
        height=size and size[1],
        num_inference_steps=body.num_inference_steps,
        guidance_scale=body.guidance_scale,
        seed=choose_seed(body.seed),
    )
