"""A family without weights: pictures at once, faults on demand. Behind the same seam as the real ones."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from deployments.artifacts import finish
from deployments.contract import Event, GenerationRequest, Loading, Progress, Saving
from deployments.errors import SourceImageUnreadable

SAMPLER = "Fake"


class ProcessDied(Exception):
    """Stands for the death of the process that runs the family: raised, never caught by it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fault:
    error: Exception
    after_steps: int


class FakeFamily:
    """Implements Generator for every family: a picture is a few shapes chosen by model, prompt and seed.

    Takes `step_s` seconds a step, and awaits `before_step`, where given, with the number of steps that are
    done: a test can hold a run there.
    """

    def __init__(
        self, *, step_s: float = 0.0, before_step: Callable[[int], Awaitable[object]] | None = None
    ) -> None:
        self.requests: list[GenerationRequest] = []
        self._step_s = step_s
        self._before_step = before_step
        self._faults: deque[_Fault] = deque()
        self._turn = asyncio.Lock()
        self._loaded: str | None = None

    @property
    def loaded_model(self) -> str | None:
        return self._loaded

    def fail_next(self, error: Exception, *, after_steps: int = 0) -> None:
        """Make a coming run raise `error` once so many of its steps are done; each call is for one run.

        A GenerationError is a failure of the job, a ProcessDied one of the process.
        """
        self._faults.append(_Fault(error=error, after_steps=after_steps))

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        async with self._turn:
            self.requests.append(request)
            fault = self._faults.popleft() if self._faults else None
            if self._loaded != request.model.name:
                yield Loading(message=f"Loading {request.model.name}", fraction=0.5)
                self._loaded = request.model.name
            total = request.num_inference_steps * request.num_outputs
            yield Progress(step=0, total_steps=total)
            for output in range(request.num_outputs):
                started = time.perf_counter()
                for step in range(1, request.num_inference_steps + 1):
                    done = output * request.num_inference_steps + step
                    await self._step(done - 1, fault)
                    yield Progress(step=done, total_steps=total)
                yield Saving(output=output)
                pictures = _pictures(request, output)
                seconds = time.perf_counter() - started
                yield finish(request, pictures, output=output, seconds=seconds, sampler=SAMPLER)

    async def unload(self) -> None:
        """Forget the loaded model, after the running request if there is one."""
        async with self._turn:
            self._loaded = None

    async def _step(self, done: int, fault: _Fault | None) -> None:
        await asyncio.sleep(self._step_s)
        if self._before_step is not None:
            await self._before_step(done)
        if fault is not None and done == fault.after_steps:
            raise fault.error


def _pictures(request: GenerationRequest, output: int) -> Any:
    """One picture, or a clip's frames: the shapes move to the right."""
    shapes = list(_shapes(request, output))
    if not request.model.is_video:
        return _draw(request, shapes, shift=0)
    assert request.num_frames is not None
    return [_draw(request, shapes, shift=2 * frame) for frame in range(request.num_frames)]


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
