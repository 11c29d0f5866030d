"""Training the decoder of an autoencoder of clips, whose encoder is done."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.clips import sample_clip
from deployments.demo.training.autoencoder import QUICKLY, autoencoder_run, fit, reconstruction_loss
from deployments.demo.training.clip_latents import videos
from deployments.demo.training.run import Run

BATCH = 4
DECODER_NOISE = 0.2
"""The decoder learns to make crisp frames of latents that are slightly off."""
FIRST_FRAME = 0.3
"""How much more the first frame counts when the decoder learns alone: image to video has to keep it."""


def train_decoder(vae: Any, deviation: Tensor, state: Path, *, minutes: float, seed: int = 0) -> None:
    """Train the decoder alone, or go on with it; `state` keeps it.

    The latents stay, and so does what is learned of them. `deviation`, [channels], is theirs.
    """
    vae.requires_grad_(False)
    decoder = nn.ModuleDict({"decoder": vae.decoder.requires_grad_(True)})
    run = autoencoder_run(decoder, state, minutes, seed, learning_rate=2e-3)
    fit(vae, run, lambda: _decoder_loss(vae, deviation, run), _held_out(seed))
    vae.requires_grad_(False)


def begin_as_identity(vae: Any) -> None:
    """The second convolution of each residual block is zero: it learns several times faster."""
    for name, module in vae.named_modules():
        if name.endswith(("conv2", "conv2.conv")) and hasattr(module, "weight"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def _decoder_loss(vae: Any, deviation: Tensor, run: Run) -> Tensor:
    clips = _some_videos(run.rng, BATCH)
    with torch.no_grad():
        latents = vae.encode(clips).latent_dist.mode()
    off = DECODER_NOISE * torch.rand(len(latents), 1, latents.shape[2], 1, 1) * deviation.view(1, -1, 1, 1, 1)
    off[::2, :, 0] = 0.0  # As where it was given, and those after it were made.
    error = clips - _decoded(vae, latents + off * torch.randn_like(latents))
    return reconstruction_loss(error) + FIRST_FRAME * reconstruction_loss(error[:, :, 0])


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    with QUICKLY:
        back: Tensor = vae.decode(latents).sample
    return back.float()


def _some_videos(rng: Random, count: int, split: Any = "train") -> Tensor:
    """Clips, half of them mirrored in time: what moves right also moves left."""
    clips = videos([sample_clip(rng, split) for _ in range(count)])
    return clips.flip(2) if rng.random() < 0.5 else clips


def _held_out(seed: int) -> Tensor:
    return _some_videos(Random(f"{seed} test"), 12, "test")
