"""Specs and requests for the tests of families. Imports no torch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from configs.models import (
    FAMILY_TYPES,
    FamilyName,
    FloatRange,
    IntRange,
    Licence,
    Limits,
    LocalSource,
    ModelSpec,
)
from deployments.contract import Artifact, Event, Failed, GenerationRequest, Generator, JobEvent


@dataclass(frozen=True, kw_only=True)
class LocalFiles:
    folder: Path
    transformer: Path | None = None


def fetch_local(spec: ModelSpec, *, progress: Any) -> LocalFiles:
    """The files of a spec whose parts are on this machine already."""
    transformer = spec.transformer.path if spec.transformer is not None else None
    return LocalFiles(folder=Path(spec.source.path), transformer=transformer and Path(transformer))


def model_spec(family: FamilyName, folder: Path | str = "nowhere", **changes: Any) -> ModelSpec:
    is_video = FAMILY_TYPES[family] != "image"
    size = IntRange(min=16, max=1024, default=32, multiple=16)
    limits = Limits(
        steps=IntRange(min=1, max=50, default=2),
        guidance=FloatRange(min=0, max=20, default=4),
        width=size,
        height=size,
        max_pixels=2**20,
        frames=IntRange(min=1, max=81, default=9) if is_video else None,
        fps=IntRange(min=1, max=60, default=8) if is_video else None,
    )
    values: dict[str, Any] = {
        "name": f"tiny-{family.replace('_', '-')}",
        "family": family,
        "source": LocalSource(path=str(folder)),
        "dtype": {"default": "float32"},
        "limits": limits,
        "memory_gb": 0.1,
        "licence": Licence(name="none"),
    }
    return ModelSpec(**(values | changes))


def generation_request(model: ModelSpec, **changes: Any) -> GenerationRequest:
    """A request for 32 x 32 pixels in 2 steps; a video of 9 frames at 8 per second."""
    values: dict[str, Any] = {
        "job_id": "job",
        "model": model,
        "prompt": "a red circle",
        "negative_prompt": "blurry",
        "seed": 7,
        "width": 32,
        "height": 32,
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
    }
    if model.is_video:
        values |= {"num_frames": 9, "fps": 8}
    if model.type == "i2v":
        values |= {"source_image": png(32, 32), "source_image_id": "picture"}
    return GenerationRequest(**(values | changes))


def png(width: int, height: int, colour: tuple[int, int, int] = (200, 40, 60)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


async def events_of(family: Generator, request: GenerationRequest) -> list[Event]:
    return [each.event async for each in family.generate((request,))]


async def artifacts_of(family: Generator, request: GenerationRequest) -> list[Artifact]:
    """The outputs of a job that does not fail."""
    return made(await events_of(family, request))


async def failure_of(family: Generator, request: GenerationRequest) -> Failed:
    """How a job ends that fails."""
    event = (await events_of(family, request))[-1]
    assert isinstance(event, Failed)
    return event


async def together(family: Generator, *requests: GenerationRequest) -> dict[str, list[Event]]:
    """The events of jobs that run as one call, by job."""
    events: dict[str, list[Event]] = {request.job_id: [] for request in requests}
    async for each in family.generate(requests):
        events[each.job_id].append(each.event)
    return events


def made(events: list[Event]) -> list[Artifact]:
    failures = [event for event in events if isinstance(event, Failed)]
    assert not failures
    return [event for event in events if isinstance(event, Artifact)]


async def stop_after(family: Generator, request: GenerationRequest, kind: type[Event]) -> list[Event]:
    """The events up to the first of `kind`, closing the stream there as a caller does that has gone."""
    seen: list[Event] = []
    stream: AsyncIterator[JobEvent] = family.generate((request,))
    async with aclosing(stream) as events:
        async for each in events:
            seen.append(each.event)
            if isinstance(each.event, kind):
                break
    return seen
