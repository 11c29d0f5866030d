"""Latents that are linear in a clip's pixels: a small video, and principal components of what that lacks.

A latent stands for 2 x 2 patches of two frames, of which it tells the mean; the first frame stands alone.
Flow models learn such latents in a fraction of the time that free ones take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from deployments.demo.clips import learned_clip
from deployments.demo.training.clip_latents import videos

BLOCK = 4
"""Pixels a side that one colour of the small video stands for."""
CLIPS = 300
"""So many tell the principal components."""
DETAIL_DEVIATION = 0.5
"""Of the details once normalised; the small video's channels have 1. It is what clips are made of."""


@dataclass(frozen=True, slots=True)
class LinearLatents:
    """The way from pixels to channels in two steps; channels have the scale of a mean colour."""

    of_patch: Tensor
    """[features, 3 * patch * patch], orthonormal; pixels are in the order of colour, column, row."""
    of_latent: Tensor
    """[channels, features, 4], the four patches row by row; the last channels are the details."""
    mean: Tensor
    deviation: Tensor
    """[channels], by which latents are normalised."""

    def encode(self, clips: Tensor) -> Tensor:
        """What an encoder with such weights makes of [N, 3, frames, H, W], many times as fast."""
        return _encoded(clips, self.of_patch, self.of_latent)

    def normalised(self, clips: Tensor) -> Tensor:
        """As the pipelines make them of a first frame, [N, channels, frames, rows, columns]."""
        mean, deviation = (values.view(1, -1, 1, 1, 1) for values in (self.mean, self.deviation))
        return (self.encode(clips) - mean) / deviation


def sample_videos(seed: int) -> Tensor:
    """The clips that tell components and statistics, [CLIPS, 3, frames, rows, columns] in -1..1."""
    return videos([learned_clip(Random(f"{seed} {k}"), k) for k in range(CLIPS)])


def linear_latents(clips: Tensor, *, patch: int, features: int, details: int) -> LinearLatents:
    """For patches of `patch` pixels a side, `features` each; a latent has the small video and `details`."""
    patches = _patches(clips, patch)
    colors = _block_means(patch)
    of_patch = torch.cat([colors, _principal(patches.flatten(0, 1), colors, features - len(colors))])
    seen = (patches @ of_patch.T).transpose(1, 2)  # [latents, features, 4]
    small = torch.eye(4 * features)[: 4 * len(colors)]
    channels = torch.cat([small, _principal(seen.flatten(1), small, details)])
    of_latent = channels.view(-1, features, 4) / BLOCK
    latents = _encoded(clips, of_patch, of_latent)
    deviation = latents.std((0, 2, 3, 4))
    deviation[-details:] /= DETAIL_DEVIATION
    return LinearLatents(of_patch, of_latent, latents.mean((0, 2, 3, 4)), deviation)


def _encoded(clips: Tensor, of_patch: Tensor, of_latent: Tensor) -> Tensor:
    """[N, 3, frames, H, W] -> [N, channels, latent frames, rows, columns]."""
    patch = math.isqrt(of_patch.shape[1] // 3)
    seen = _patches(clips, patch) @ of_patch.T  # [latents, 4, features]
    latents = seen.transpose(1, 2).flatten(1) @ of_latent.flatten(1).T
    _, _, frames, rows, columns = clips.shape
    grid = 1 + (frames - 1) // 2, rows // (2 * patch), columns // (2 * patch)
    return latents.view(len(clips), *grid, -1).permute(0, 4, 1, 2, 3)


def _principal(samples: Tensor, known: Tensor, count: int) -> Tensor:
    """The first `count` principal components of `samples` [N, D] beside the orthonormal rows `known`."""
    rest = samples - samples @ known.T @ known
    components: Tensor = torch.linalg.eigh(torch.cov(rest.T)).eigenvectors[:, -count:].T
    return components.flip(0)


def _block_means(patch: int) -> Tensor:
    """[colours of a patch, 3 * patch * patch]: the means of its blocks times their side."""
    side = patch // BLOCK
    pixels = torch.zeros(3, side, side, 3, patch, patch)
    for color in range(3):
        for column in range(side):
            for row in range(side):
                columns, rows = (slice(BLOCK * k, BLOCK * (k + 1)) for k in (column, row))
                pixels[color, column, row, color, columns, rows] = 1 / BLOCK
    return pixels.flatten(3).flatten(0, 2)


def _patches(clips: Tensor, patch: int) -> Tensor:
    """[N, 3, 1 + 2 frames, H, W] -> [latents, 4, 3 * patch * patch]: means of two frames."""
    pairs = (clips[:, :, 1::2] + clips[:, :, 2::2]) / 2
    frames = torch.cat([clips[:, :, :1], pairs], 2)
    count, colors, length, rows, columns = frames.shape
    side = 2 * patch
    cells = frames.view(count, colors, length, rows // side, 2, patch, columns // side, 2, patch)
    return cells.permute(0, 2, 3, 6, 4, 7, 1, 8, 5).reshape(-1, 4, colors * patch**2)
