"""A job and its model's spec, as the request that the family gets."""

from __future__ import annotations

from configs.models import ModelSpec
from deployments.contract import GenerationRequest
from storage.jobs import Job


def to_request(job: Job, spec: ModelSpec, source_image: bytes | None) -> GenerationRequest:
    """The request of a job that was validated when it was submitted."""
    settings = job.settings
    return GenerationRequest(
        job_id=job.id,
        model=spec,
        prompt=job.prompt,
        negative_prompt=job.negative_prompt,
        seed=job.seed,
        num_outputs=settings.get("num_images", 1),
        width=settings["width"],
        height=settings["height"],
        num_inference_steps=settings["num_inference_steps"],
        guidance_scale=settings["guidance_scale"],
        max_sequence_length=settings.get("max_sequence_length"),
        num_frames=settings.get("num_frames"),
        fps=settings.get("fps"),
        source_image=source_image,
        source_image_id=settings.get("source_image_id"),
        settings=settings,
    )
