"""Painting with a demo model as the server does: the settings of models.yaml, float32, one core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from PIL import Image

SETTINGS: dict[str, dict[str, Any]] = {
    "FluxPipeline": {"guidance_scale": 3.5, "true_cfg_scale": 2.5, "negative_prompt": ""},
    "StableDiffusion3Pipeline": {"guidance_scale": 2.5},
}
STEPS, TEXT_TOKENS, SIZE = 12, 32, 128


def load(folder: Path) -> Any:
    """The unmodified pipeline of a folder."""
    torch.set_num_threads(1)
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(pipeline: Any, prompt: str, seed: int, **changes: Any) -> Image.Image:
    """One square picture; `changes` replace settings."""
    settings = {
        "height": SIZE,
        "width": SIZE,
        "num_inference_steps": STEPS,
        "max_sequence_length": TEXT_TOKENS,
        **SETTINGS[type(pipeline).__name__],
        **changes,
    }
    generator = torch.Generator().manual_seed(seed)
    picture: Image.Image = pipeline(prompt, generator=generator, **settings).images[0]
    return picture
