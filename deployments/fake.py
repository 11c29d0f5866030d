"""A family without weights: pictures at once, faults on demand. Behind the same seam as the real ones."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageDraw

from deployments.artifacts import Making, finish
from deployments.batches import Sample, StepCount, in_batches
from deployments.contract import Artifact, Failed, GenerationRequest, JobEvent, Loading, Preview
from deployments.errors import GenerationError, SourceImageUnreadable

SAMPLER = "Fake"

PREVIEW_SIDE = 96
"""Pixels of a preview's longer side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fault:
    error: Exception
    after_steps: int
    job_id: str | None


class FakeFamily:
    """Implements Generator for every family: a picture is a few shapes chosen by model, prompt and seed.

    Takes `step_s` seconds a step, and awaits `before_step`, where given, with the number of the call's steps
    that are done: a test can hold a call there. Every `preview_every` steps each job has a preview; 0: never.
    """

    def __init__(
        self,
        *,
        step_s: float = 0.0,
        before_step: Callable[[int], Awaitable[object]] | None = None,
        preview_every: int = 0,
    ) -> None:
        self.calls: list[tuple[GenerationRequest, ...]] = []
        self._step_s = step_s
        self._before_step = before_step
        self._preview_every = preview_every
        self._faults: deque[_Fault] = deque()
        self._turn = asyncio.Lock()
        self._loaded: str | None = None

    @property
    def loaded_model(self) -> str | None:
        return self._loaded

    @property
    def requests(self) -> list[GenerationRequest]:
        """Those of all calls."""
        return [request for call in self.calls for request in call]

    def fail_next(self, error: Exception, *, after_steps: int = 0, job_id: str | None = None) -> None:
        """Make a coming call fail with `error` once so many of its steps are done; one fault a call.

        A GenerationError ends all of the call's jobs or only `job_id`; a ProcessDied ends the process.
        """
        self._faults.append(_Fault(error=error, after_steps=after_steps, job_id=job_id))

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        async with self._turn:
            self.calls.append(requests)
            fault = self._faults.popleft() if self._faults else None
            ended: set[str] = set()
            model = requests[0].model
            if self._loaded != model.name:
                loading = Loading(message=f"Loading {model.name}", replaces=self._loaded is not None)
                for request in requests:
                    yield JobEvent(job_id=request.job_id, event=loading)
                self._loaded = model.name
            async with aclosing(self._paint(requests, fault)) as events:
                async for event in events:
                    if event.job_id not in ended:
                        yield event
                    if isinstance(event.event, Failed):
                        ended.add(event.job_id)
                    if len(ended) == len(requests):
                        break

    async def unload(self) -> None:
        """Forget the loaded model, after the running call if there is one."""
        async with self._turn:
            self._loaded = None

    async def _paint(
        self, requests: tuple[GenerationRequest, ...], fault: _Fault | None
    ) -> AsyncGenerator[JobEvent, None]:
        """The events of the call, those of jobs that have failed included."""
        steps = StepCount(requests)
        for event in steps.begun():
            yield event
        samples = (Sample(request=each, output=k) for each in requests for k in range(each.num_outputs))
        done = 0
        for batch in in_batches(samples, limit=_batch_size, fits=lambda first, other: True):
            started = time.perf_counter()
            for step in range(1, requests[0].num_inference_steps + 1):
                await self._step(done)
                if fault is not None and done == fault.after_steps:
                    for failure in _failures(fault, requests):
                        yield failure
                done += 1
                if self._preview_every and step % self._preview_every == 0:
                    for sample in {sample.job_id: sample for sample in reversed(batch)}.values():
                        yield JobEvent(job_id=sample.job_id, event=_preview(sample))
                for event in steps.after(step, batch):
                    yield event
            steps.made(batch)
            seconds = time.perf_counter() - started
            making = Making(seconds=seconds, batch_size=len(batch), sampler=SAMPLER)
            for sample in batch:
                yield JobEvent(job_id=sample.job_id, event=_finished(sample, making))

    async def _step(self, done: int) -> None:
        await asyncio.sleep(self._step_s)
        if self._before_step is not None:
            await self._before_step(done)


def _batch_size(sample: Sample) -> int:
    request = sample.request
    return request.model.batch_size(request.width, request.height, request.num_frames)


def _failures(fault: _Fault, requests: tuple[GenerationRequest, ...]) -> Iterator[JobEvent]:
    """What becomes of the jobs. Raises what is no GenerationError."""
    if not isinstance(fault.error, GenerationError):
        raise fault.error
    for request in requests:
        if fault.job_id in (None, request.job_id):
            yield JobEvent(job_id=request.job_id, event=_failed(fault.error))


def _failed(error: GenerationError) -> Failed:
    return Failed(code=error.code, message=str(error), hint=error.hint)


def _finished(sample: Sample, making: Making) -> Artifact | Failed:
    try:
        return finish(sample, _pictures(sample.request, sample.output), making)
    except GenerationError as error:
        return _failed(error)


def _pictures(request: GenerationRequest, output: int) -> Any:
    """One picture, or a clip's frames: the shapes move to the right."""
    shapes = list(_shapes(request, output))
    if not request.model.is_video:
        return _draw(request, shapes, shift=0)
    assert request.num_frames is not None
    return [_draw(request, shapes, shift=2 * frame) for frame in range(request.num_frames)]


def _preview(sample: Sample) -> Preview:
    """The finished picture, or a clip's first frame, small."""
    request = sample.request
    scale = PREVIEW_SIDE / max(request.width, request.height)
    width, height = (max(1, round(side * scale)) for side in (request.width, request.height))
    shapes = list(_shapes(request, sample.output))
    buffer = io.BytesIO()
    _draw(replace(request, width=width, height=height), shapes, shift=0).save(buffer, "WEBP")
    return Preview(data=buffer.getvalue())


def _shapes(request: GenerationRequest, output: int) -> Iterator[tuple[int, ...]]:
    """Five shapes: place and colour, each 0 to 255."""
    text = f"{request.model.name}|{request.prompt}|{request.negative_prompt}|{request.seed + output}"
    for index in range(5):
        yield tuple(hashlib.sha256(f"{text}|{index}".encode(errors="replace")).digest()[:5])


def _draw(request: GenerationRequest, shapes: list[tuple[int, ...]], *, shift: int) -> Image.Image:
    image = _background(request)
    draw = ImageDraw.Draw(image)
    radius = min(image.size) // 5
    for x, y, *colour in shapes:
        left, top = x * image.width // 256 + shift, y * image.height // 256
        draw.ellipse((left - radius, top - radius, left + radius, top + radius), fill=tuple(colour))
    return image


def _background(request: GenerationRequest) -> Image.Image:
    size = (request.width, request.height)
    if request.model.type != "i2v":
        return Image.new("RGB", size, "black")
    try:
        with Image.open(io.BytesIO(request.source_image or b"")) as source:
            return source.convert("RGB").resize(size)
    except OSError as error:
        raise SourceImageUnreadable(f"The source picture cannot be decoded: {error}") from error
