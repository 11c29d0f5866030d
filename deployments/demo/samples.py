"""The sheet of samples in the README: `python -m deployments.demo.samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline
from PIL import Image

from deployments.demo import WEIGHTS
from deployments.demo.sheets import sheet

FILE = Path(__file__).with_name("samples") / "demo-flux.png"
SIZE = 64
SEED = 1

PROMPTS = (
    "a large red circle on a blue background",
    "a small yellow star on a green background",
    "a purple triangle on a white background",
    "a large white square on a black background",
    "a green star at the top on an orange background",
    "a blue triangle on the left on a yellow background",
    "a pink square in the bottom right on a cyan background",
    "a large orange star on a purple background",
)


def main() -> None:
    torch.set_num_threads(1)
    pipeline = FluxPipeline.from_pretrained(WEIGHTS / "demo-flux", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pictures = [paint(pipeline, prompt) for prompt in PROMPTS]
    FILE.parent.mkdir(exist_ok=True)
    sheet(pictures, PROMPTS, [False] * len(PROMPTS)).save(FILE)
    print(FILE)


def paint(pipeline: Any, prompt: str) -> Image.Image:
    """As the server makes it with the defaults of models.yaml."""
    picture: Image.Image = pipeline(
        prompt,
        negative_prompt="",
        true_cfg_scale=2.5,
        height=SIZE,
        width=SIZE,
        num_inference_steps=12,
        max_sequence_length=32,
        generator=torch.Generator().manual_seed(SEED),
    ).images[0]
    return picture


if __name__ == "__main__":
    main()
