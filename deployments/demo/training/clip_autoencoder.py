"""The demo LTX autoencoder: 16 pixels and 2 frames a latent, so that a clip is 144 tokens.

LTX's image to video knows no patches of latents: what a token covers, the autoencoder has to compress.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKLLTXVideo
from torch import Tensor, nn

from deployments.demo.clips import sample_clip
from deployments.demo.training.autoencoder import autoencoder_run, fit, reconstruction_loss
from deployments.demo.training.clip_latents import videos
from deployments.demo.training.run import Run

BATCH = 4
BLOCK = 4
"""Pixels a side that one colour of the small video stands for."""
COLORS, DETAILS = 48, 16
"""Latent channels: a small video (4 x 4 blocks of three colours), and what it lacks."""
KL_WEIGHT = 1e-4
COLOR_WEIGHT = 1.0
LATENT_NOISE = 0.1
"""Of a deviation of 1: the decoder learns to make crisp frames of latents that are slightly off."""


def new_clip_autoencoder() -> Any:
    """Residual blocks begin as identities (second convolution zero): it learns several times faster."""
    vae = AutoencoderKLLTXVideo(
        latent_channels=COLORS + DETAILS,
        block_out_channels=(64, 64),
        down_block_types=("LTXVideo095DownBlock3D",),
        spatio_temporal_scaling=(True,),
        layers_per_block=(1, 1),
        downsample_type=("spatiotemporal",),
        decoder_block_out_channels=(96,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_layers_per_block=(2, 1),
        decoder_inject_noise=(False, False),
        upsample_residual=(True,),
        upsample_factor=(1,),
        patch_size=8,
        encoder_causal=True,
        decoder_causal=False,
    )
    for name, module in vae.named_modules():
        if name.endswith("conv2.conv"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return vae


def train_clip_autoencoder(folder: Path, minutes: float, seed: int = 0) -> Any:
    """Train the autoencoder in `folder`, or finish training it; once finished it stays as it is."""
    finished = folder / "vae"
    if finished.exists():
        return AutoencoderKLLTXVideo.from_pretrained(finished).eval()
    torch.manual_seed(seed)
    vae = new_clip_autoencoder()
    run = autoencoder_run(vae, folder, minutes, seed)
    fit(vae, run, lambda: _loss(vae, run), _videos(Random(f"{seed} test"), 12, "test"))
    _normalise(vae, Random(seed))
    vae.save_pretrained(finished)
    return vae.eval()


def small_videos(clips: Tensor) -> Tensor:
    """The mean colours of blocks of 4 x 4 pixels and two frames, [N, 48, frames, rows, columns]."""
    pairs = (clips[:, :, 1::2] + clips[:, :, 2::2]) / 2
    frames = torch.cat([clips[:, :, :1], pairs], 2)
    small = nn.functional.avg_pool3d(frames, (1, BLOCK, BLOCK))
    count, colors, length, rows, columns = small.shape
    cells = small.view(count, colors, length, rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
    return cells.permute(0, 1, 4, 6, 2, 3, 5).flatten(1, 3)


def _loss(vae: Any, run: Run) -> Tensor:
    clips = _videos(run.rng, BATCH)
    posterior = vae.encode(clips).latent_dist
    mean, logvar = posterior.mean, posterior.logvar[:, :1]
    noise = (logvar.exp() + LATENT_NOISE**2).sqrt()
    back = vae.decode(mean + noise * torch.randn_like(mean)).sample
    kl = 0.5 * (mean.square().mean() + (logvar.exp() - 1 - logvar).mean())
    colors = nn.functional.mse_loss(mean[:, :COLORS], small_videos(clips))
    loss: Tensor = reconstruction_loss(clips - back) + KL_WEIGHT * kl + COLOR_WEIGHT * colors
    return loss


def _videos(rng: Random, count: int, split: Any = "train") -> Tensor:
    """Clips, half of them mirrored in time: what moves right also moves left."""
    clips = videos([sample_clip(rng, split) for _ in range(count)])
    return clips.flip(2) if rng.random() < 0.5 else clips


@torch.no_grad()
def _normalise(vae: Any, rng: Random) -> None:
    """Set the factors by which pipelines bring latents to mean 0 and deviation 1."""
    latents = vae.encode(_videos(rng, 64)).latent_dist.mode()
    vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
    vae.latents_std.copy_(latents.std((0, 2, 3, 4)))
