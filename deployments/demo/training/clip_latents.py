"""Encoded clips on disk: clip k is known from the seed, its latents are the k-th record of one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from deployments.demo.clips import Clip, frames_of, learned_clip

Encode = Callable[[Tensor], Tensor]
"""Videos [N, 3, frames, H, W] in -1..1 -> normalised latents [N, C, frames, H, W]."""


class ClipPool:
    """Grows while it is drawn from."""

    def __init__(self, encode: Encode, file: Path, seed: int, shape: tuple[int, ...]) -> None:
        self.encode, self.file, self.seed = encode, file, seed
        stored = np.fromfile(file, np.float16) if file.exists() else np.empty(0, np.float16)
        size = int(np.prod(shape))
        records = stored[: len(stored) // size * size].reshape(-1, *shape)
        self.latents = list(torch.from_numpy(records))
        self.clips = [self._clip(index) for index in range(len(records))]
        records.tofile(file)

    def grow(self, count: int) -> None:
        """Encode `count` more clips and append them to the file."""
        clips = [self._clip(len(self.clips) + k) for k in range(count)]
        with torch.no_grad():
            latents = self.encode(videos(clips)).half()
        with self.file.open("ab") as file:
            file.write(latents.numpy().tobytes())
        self.clips += clips
        self.latents += list(latents)

    def draw(self, rng: Random, shown: Sequence[bool]) -> tuple[list[Clip], Tensor]:
        """Random clips and their latents, [clips, channels, frames, rows, columns] in float32.

        Where a clip is `shown` its first frame, it is one of those that may be anywhere.
        """
        picks = [2 * rng.randrange(len(self.clips) // 2) + int(known) for known in shown]
        return [self.clips[k] for k in picks], torch.stack([self.latents[k] for k in picks]).float()

    def _clip(self, index: int) -> Clip:
        return learned_clip(Random(f"{self.seed}/{index}"), index)


def videos(clips: Sequence[Clip]) -> Tensor:
    """Rendered clips as [N, 3, frames, H, W] in -1..1."""
    frames = np.stack([frames_of(clip) for clip in clips])
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
