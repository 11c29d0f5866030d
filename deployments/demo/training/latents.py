"""Encoded scenes on disk: scene k is known from the seed, its latents are the k-th record of one file."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deployments.demo.drawing import Style
from deployments.demo.scenes import Scene, sample_scene
from deployments.demo.training.autoencoder import SIZE, pictures

PAIR_SHARE = 0.5
"""More than the tests have: two things and their relation are the hardest to learn."""


class LatentPool:
    """Grows while it is drawn from. Latents are normalised, as transformers see them."""

    def __init__(self, vae: Any, file: Path, seed: int, style: Style = "filled", size: int = SIZE) -> None:
        self.vae, self.file, self.seed, self.style, self.size = vae, file, seed, style, size
        self.shape = (vae.config.latent_channels, size // 8, size // 8)
        stored = np.fromfile(file, np.float16) if file.exists() else np.empty(0, np.float16)
        whole = len(stored) // int(np.prod(self.shape))
        records = stored[: whole * int(np.prod(self.shape))].reshape(whole, *self.shape)
        self.latents = list(torch.from_numpy(records))
        self.scenes = [self._scene(index) for index in range(whole)]
        records.tofile(file)

    def grow(self, count: int) -> None:
        """Encode `count` more scenes and append them to the file."""
        scenes = [self._scene(len(self.scenes) + k) for k in range(count)]
        latents = self._encode(scenes)
        with self.file.open("ab") as file:
            file.write(latents.numpy().tobytes())
        self.scenes += scenes
        self.latents += list(latents)

    def draw(self, rng: Random, count: int) -> tuple[list[Scene], Tensor]:
        """Random scenes and their latents, [count, channels, rows, columns] in float32."""
        picks = [rng.randrange(len(self.scenes)) for _ in range(count)]
        return [self.scenes[k] for k in picks], torch.stack([self.latents[k] for k in picks]).float()

    def _scene(self, index: int) -> Scene:
        return sample_scene(Random(f"{self.seed}/{index}"), pair_share=PAIR_SHARE)

    @torch.no_grad()
    def _encode(self, scenes: list[Scene]) -> Tensor:
        latents = self.vae.encode(pictures(scenes, self.size, self.style)).latent_dist.mean
        normal: Tensor = (latents - self.vae.config.shift_factor) * self.vae.config.scaling_factor
        return normal.half()
