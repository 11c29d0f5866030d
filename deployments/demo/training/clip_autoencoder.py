"""Training the decoder of an autoencoder of clips, whose encoder is done."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.clips import learned_clip, sample_clip
from deployments.demo.training.autoencoder import QUICKLY, autoencoder_run, fit, reconstruction_loss
from deployments.demo.training.clip_latents import videos
from deployments.demo.training.linear_latents import LinearLatents
from deployments.demo.training.run import Run

BATCH = 4
DECODER_NOISE = 0.2
"""The decoder learns to make crisp frames of latents that are slightly off."""
FIRST_FRAME = 1.0
"""How much more the first frame counts when the decoder learns alone: image to video has to keep it."""


def train_decoder(
    vae: Any, latents: LinearLatents, state: Path, *, minutes: float, seed: int = 0, squares: float = 0.0
) -> None:
    """Train the decoder alone, or go on with it; `state` keeps it.

    The latents stay, and so does what is learned of them. `squares` says how much the first frame's squared
    error counts besides: it is what the PSNR tells.
    """
    vae.requires_grad_(False)
    decoder = nn.ModuleDict({"decoder": vae.decoder.requires_grad_(True)})
    run = autoencoder_run(decoder, state, minutes, seed, learning_rate=2e-3)
    fit(vae, run, lambda: _decoder_loss(vae, latents, run, squares), _held_out(seed))
    vae.requires_grad_(False)


def begin_as_identity(vae: Any) -> None:
    """The second convolution of each residual block is zero: it learns several times faster."""
    for name, module in vae.named_modules():
        if name.endswith(("conv2", "conv2.conv")) and hasattr(module, "weight"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def _decoder_loss(vae: Any, latents: LinearLatents, run: Run, squares: float) -> Tensor:
    clips = _some_videos(run.rng, BATCH)
    given = latents.encode(clips)
    deviation = latents.deviation.view(1, -1, 1, 1, 1)
    off = DECODER_NOISE * torch.rand(len(given), 1, given.shape[2], 1, 1) * deviation
    off[::2, :, 0] = 0.0  # As where it was given, and those after it were made.
    error = clips - _decoded(vae, given + off * torch.randn_like(given))
    first = error[:, :, 0]
    of_first = FIRST_FRAME * reconstruction_loss(first) + squares * first.square().mean()
    return reconstruction_loss(error) + of_first


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    with QUICKLY:
        back: Tensor = vae.decode(latents).sample
    return back.float()


def _some_videos(rng: Random, count: int) -> Tensor:
    """Clips, half of them mirrored in time: what moves right also moves left."""
    clips = videos([learned_clip(rng, k) for k in range(count)])
    return clips.flip(2) if rng.random() < 0.5 else clips


def _held_out(seed: int) -> Tensor:
    return videos([sample_clip(Random(f"{seed} test {k}"), "test", anywhere=True) for k in range(12)])
