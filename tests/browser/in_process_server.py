"""The page's server in one process, quick to start: real stores and API, families that draw circles.

python -m tests.browser.in_process_server --port 7900 --media 25000
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uvicorn
from PIL import Image
from sqlalchemy import create_engine

from configs.registry import load_registry
from configs.settings import Settings
from deployments import fake
from deployments.contract import GenerationRequest, JobEvent, MemoryUse
from deployments.errors import OutOfMemory
from serve_app.api import create_app
from storage import open_stores
from storage.media import Media, MediaId
from storage.sql_media import insert_media
from tests.unit.serve_app.in_process import Workshop, now, open_workshop

Pixels = npt.NDArray[Any]

PROMPTS = (
    "a lighthouse above a calm sea at dusk, long exposure",
    "misty hills in the first light of the day",
    "a red sun over blue mountains, screen print",
    "dunes under a violet sky, a single cloud",
    "a quiet lake, reflections of distant peaks",
    "northern lights over a snowy valley",
)
SEED = 7


#: A call gets as far as this step and no farther, so that a state with a running job lasts.
LAST_STEP = 45


class Pace:
    """Every step of a run takes so long. Stands where tests have their gate."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s

    async def __call__(self, done: int) -> None:
        await asyncio.sleep(self.step_s)
        if done == LAST_STEP:
            await asyncio.Event().wait()

    def open(self) -> None:
        self.step_s = 0


def landscape(seed: int, side: int = 480) -> bytes:
    """A sky, a sun and rows of hills, as a PNG."""
    dice = random.Random(seed)
    hue = dice.random()
    y, x = np.mgrid[0 : 1 : 1j * side, 0 : 1 : 1j * side]
    colour = [np.full_like(x, hue) + 0.1 * y, 0.6 - 0.5 * y, 0.7 + 0.28 * y]
    sun = (x - dice.uniform(0.2, 0.8)) ** 2 + (y - dice.uniform(0.2, 0.45)) ** 2 < dice.uniform(
        0.05, 0.11
    ) ** 2
    _paint(colour, sun, (hue + 0.08, 0.22, 1.0))
    for row in range(4):
        frequency, phase, depth = dice.uniform(6, 19), dice.uniform(0, 7), dice.uniform(0.02, 0.07)
        hills = 0.5 + 0.13 * row + depth * np.sin(frequency * x + phase)
        _paint(colour, y > hills, (hue + 0.58 + 0.03 * row, 0.47 + 0.12 * row, 0.5 - 0.13 * row))
    pixels = (255 * np.stack([colour[0] % 1, colour[1], colour[2]], axis=-1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "HSV").convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def scenery(request: GenerationRequest, shapes: list[tuple[int, ...]], *, shift: int) -> Image.Image:
    """What a family makes, instead of circles: nicer to look at. A clip's frames move on by `shift`."""
    side = max(request.width, request.height)
    with Image.open(io.BytesIO(landscape(hash(tuple(shapes)), side))) as image:
        pixels = np.roll(np.asarray(image), -shift, axis=1)
    return Image.fromarray(pixels).resize((request.width, request.height))


def _paint(colour: list[Pixels], where: Pixels, value: tuple[float, float, float]) -> None:
    for channel, level in zip(colour, value, strict=True):
        channel[where] = max(0.02, level)


def telling_memory(generate: Any) -> Any:
    """A family's `generate` that says first what its process holds; one with a process says it later."""

    async def told(requests: tuple[GenerationRequest, ...]) -> AsyncIterator[JobEvent]:
        use = MemoryUse(gpu=True, used=20_400_000_000, total=25_300_000_000)
        yield JobEvent(job_id=requests[0].job_id, event=use)
        async with aclosing(generate(requests)) as events:
            async for event in events:
                yield event

    return told


def fill(workshop: Workshop, database: Path, count: int, *, distinct: int = 12) -> None:
    """Put media into the gallery: rows of their own, over a few files. Made a minute apart, until now."""
    paths = [
        workshop.files.write(MediaId(f"file-{seed}"), "image", landscape(seed), now())
        for seed in range(min(count, distinct))
    ]
    media = tuple(
        Media(
            id=MediaId(f"made-{number}"),
            job_id="of a job that is not listed",
            media_type="image",
            file_path=paths[number % len(paths)],
            created_at=now() - timedelta(minutes=count - number),
            width=480,
            height=480,
            metadata=made_of(number),
        )
        for number in range(count)
    )
    # An engine of its own: the store's refuses media without their job.
    with create_engine(f"sqlite:///{database}").begin() as connection:
        for start in range(0, count, 1000):
            insert_media(connection, media[start : start + 1000], client=None)


def made_of(number: int) -> dict[str, Any]:
    settings = {"width": 480, "height": 480, "num_inference_steps": 12, "guidance_scale": 3.5}
    return {
        "model_id": "demo-flux",
        "prompt": PROMPTS[number % len(PROMPTS)],
        "negative_prompt": "",
        "seed": SEED + number,
        "type": "image",
        "generation_time": 1.4,
        "settings": settings,
    }


async def serve(folder: Path, *, port: int, media: int, step_s: float) -> None:
    settings = Settings(_env_file=None, models="demo", data_dir=folder)
    os.fsync = lambda descriptor: None
    fake._draw = scenery
    database = folder / "page.sqlite3"
    with (
        open_stores(f"sqlite:///{database}") as stores,
        open_workshop(
            stores, folder, registry=load_registry(settings), gate=Pace(step_s), preview_every=5
        ) as workshop,
    ):
        if media:
            fill(workshop, database, media)
        for family in workshop.families.values():
            family.generate = telling_memory(family.generate)  # type: ignore[method-assign]
        workshop.families["SD35"].fail_next(OutOfMemory(), after_steps=3)
        dispatcher = workshop.dispatcher(f"process {os.getpid()}")  # what an earlier one left is not its own
        app = create_app(workshop.services(dispatcher, settings))
        server = uvicorn.Server(
            uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1)
        )
        async with workshop.dispatching(dispatcher):
            await server.serve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=7900)
    parser.add_argument("--media", type=int, default=0)
    parser.add_argument("--step-s", type=float, default=0.15)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(given.folder, port=given.port, media=given.media, step_s=given.step_s))


if __name__ == "__main__":
    main()
