"""Encoded scenes on disk: scene k is known from the seed, its latents are the k-th record of one file."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deployments.demo.scenes import Scene, sample_scene
from deployments.demo.training.autoencoder import SIZE, pictures

PAIR_SHARE = 0.5
"""More than the tests have: two things and their relation are the hardest to learn."""


class LatentPool:
    """Grows while it is drawn from. Latents are packed 2 x 2 and normalised, as the transformer sees them."""

    def __init__(self, vae: Any, file: Path, seed: int, size: int = SIZE) -> None:
        self.vae, self.file, self.seed, self.size = vae, file, seed, size
        side = size // 16
        self.shape = (side * side, 4 * vae.config.latent_channels)
        stored = np.fromfile(file, np.float16) if file.exists() else np.empty(0, np.float16)
        whole = len(stored) // (self.shape[0] * self.shape[1])
        records = stored[: whole * self.shape[0] * self.shape[1]].reshape(whole, *self.shape)
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
        """Random scenes and their latents, [count, tokens, channels] in float32."""
        picks = [rng.randrange(len(self.scenes)) for _ in range(count)]
        return [self.scenes[k] for k in picks], torch.stack([self.latents[k] for k in picks]).float()

    def _scene(self, index: int) -> Scene:
        return sample_scene(Random(f"{self.seed}/{index}"), pair_share=PAIR_SHARE)

    @torch.no_grad()
    def _encode(self, scenes: list[Scene]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            latents = self.vae.encode(pictures(scenes, self.size)).latent_dist.mean.float()
        return pack((latents - self.vae.config.shift_factor) * self.vae.config.scaling_factor).half()


def pack(latents: Tensor) -> Tensor:
    """[N, C, H, W] to [N, H/2 * W/2, 4 * C], in FLUX's order."""
    count, channels, height, width = latents.shape
    blocks = latents.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return blocks.reshape(count, height * width // 4, 4 * channels)
