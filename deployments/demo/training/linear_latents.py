"""Latents that are linear in a clip's pixels: a small video, and principal components of what that lacks.

A latent stands for 2 x 2 patches of two frames, of which it tells the mean; the first frame stands alone.
Flow models learn such latents in a fraction of the time that free ones take.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from deployments.demo.clips import sample_clip
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


def sample_videos(seed: int) -> Tensor:
    """The clips that tell components and statistics, [CLIPS, 3, frames, rows, columns] in -1..1."""
    return videos([sample_clip(Random(f"{seed} {k}")) for k in range(CLIPS)])


def linear_latents(clips: Tensor, *, patch: int, features: int, details: int) -> LinearLatents:
    """For patches of `patch` pixels a side, `features` each; a latent has the small video and `details`."""
    patches = _patches(clips, patch)
    colors = _block_means(patch)
    of_patch = torch.cat([colors, _principal(patches.flatten(0, 1), colors, features - len(colors))])
    seen = (patches @ of_patch.T).transpose(1, 2)  # [latents, features, 4]
    small = torch.eye(4 * features)[: 4 * len(colors)]
    channels = torch.cat([small, _principal(seen.flatten(1), small, details)])
    return LinearLatents(of_patch, channels.view(-1, features, 4) / BLOCK)


@torch.no_grad()
def statistics(vae: Any, clips: Tensor, details: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation, [channels], by which the latents of `clips` are normalised."""
    latents = torch.cat([vae.encode(some).latent_dist.mode() for some in torch.split(clips, 20)])
    deviation = latents.std((0, 2, 3, 4))
    deviation[-details:] /= DETAIL_DEVIATION
    return latents.mean((0, 2, 3, 4)), deviation


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
