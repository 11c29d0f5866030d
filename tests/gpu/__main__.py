"""Every family on this machine's accelerator, in every memory mode: `python -m tests.gpu`.

Prints one table. Needs torch, diffusers, transformers, accelerate, av, pillow, pydantic and pyyaml, and
neither Ray nor the network. On a machine without an accelerator it measures the CPU, in one mode.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from configs.models import MemoryMode, ModelSpec
from configs.registry import BUILTIN_FILE, read_models
from deployments import load_family
from deployments.contract import Artifact, GenerationRequest, Generator, Progress
from deployments.placement import accelerator
from tests.generation import fetch_local

PROMPT = "a large red circle on a blue background"
WARM_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    model: str
    memory: MemoryMode
    placement: str
    load_s: float
    warm_s: float
    peak_mib: float
    repeats: bool


def main() -> None:
    device = accelerator()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{name}, torch {torch.__version__}; repeats: the same seed gave the same bytes each time")
    print(f"{'model':14} {'memory':8} {'placement':14} {'load s':>7} {'run s':>7} {'peak MiB':>9}  repeats")
    for row in rows(device):
        print(
            f"{row.model:14} {row.memory:8} {row.placement:14} {row.load_s:7.2f} {row.warm_s:7.3f} "
            f"{row.peak_mib:9.1f}  {'yes' if row.repeats else 'NO'}"
        )


def rows(device: torch.device) -> Iterator[Row]:
    modes: tuple[MemoryMode, ...] = ("auto",) if device.type == "cpu" else ("auto", "full", "offload")
    for spec in read_models(BUILTIN_FILE):
        if spec.demo:
            for memory in modes:
                yield asyncio.run(measure(spec.model_copy(update={"memory": memory}), device))


async def measure(spec: ModelSpec, device: torch.device) -> Row:
    """Load the model, run it once, then WARM_RUNS times; the last run's time and the peak of all."""
    family = load_family(spec.family)(fetch=fetch_local)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        begun = time.perf_counter()
        first, loaded = await run(family, spec)
        warm = [await run(family, spec) for _ in range(WARM_RUNS)]
        placement = family._loaded.placement if family._loaded else "?"
    finally:
        await family.unload()
        family.close()
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else float("nan")
    return Row(
        model=spec.name,
        memory=spec.memory,
        placement=placement,
        load_s=loaded - begun,
        warm_s=min(artifact.metadata["generation_time"] for artifact, _ in warm),
        peak_mib=peak,
        repeats=all(artifact.data == first.data for artifact, _ in warm),
    )


async def run(family: Generator, spec: ModelSpec) -> tuple[Artifact, float]:
    """The artifact of one request, and when its first step could begin."""
    loaded = 0.0
    async for each in family.generate((request_of(spec),)):
        match each.event:
            case Progress(step=0):
                loaded = time.perf_counter()
            case Artifact() as artifact:
                return artifact, loaded
    raise AssertionError("no artifact")


def request_of(spec: ModelSpec) -> GenerationRequest:
    limits = spec.limits
    source = spec.type == "i2v"
    return GenerationRequest(
        job_id=spec.name,
        model=spec,
        prompt=PROMPT,
        seed=1,
        width=limits.width.default,
        height=limits.height.default,
        num_inference_steps=limits.steps.default,
        guidance_scale=limits.guidance.default,
        max_sequence_length=limits.max_sequence_length.default if limits.max_sequence_length else None,
        num_frames=limits.frames.default if limits.frames else None,
        fps=limits.fps.default if limits.fps else None,
        source_image=gradient(limits.width.default) if source else None,
        source_image_id="gradient" if source else None,
    )


def gradient(side: int) -> bytes:
    ramp = np.linspace(0, 255, side, dtype=np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)), np.full((side, side), 90, "u1")]
    )
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, -1)).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
