"""Training the demo Wan's autoencoder, whole clips at once.

The class itself goes from chunk to chunk of a clip, each with the last frames of the one before: right
for long clips, ten times slower to train. Here all frames go through at once, with the same result; what is
saved goes the class's own way.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    WanResample,
    patchify,
    unpatchify,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor, nn

from deployments.demo.training.clip_autoencoder import Recipe, train_decoder

DECODER_MINUTES = 15.0
PATCH = 4
CHANNELS = 16


def new_autoencoder() -> Any:
    """8 pixels and 2 frames a latent, and as many channels as Wan 2.1 has; takes clips whole."""
    vae: Any = AutoencoderKLWan(
        base_dim=64,
        z_dim=CHANNELS,
        dim_mult=[1, 1],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True],
        is_residual=True,
        in_channels=3 * PATCH**2,
        out_channels=3 * PATCH**2,
        patch_size=PATCH,
        scale_factor_temporal=2,
        scale_factor_spatial=8,
        latents_mean=[0.0] * CHANNELS,
        latents_std=[1.0] * CHANNELS,
    )
    vae.encode, vae.decode = partial(encode, vae), partial(decode, vae)
    for module in vae.modules():
        if isinstance(module, WanResample):
            module.forward = partial(resample, module)
        elif isinstance(module, WanCausalConv3d) and module.kernel_size == (3, 3, 3):
            _look_at_now(module)
    return vae


def encode(vae: Any, clips: Tensor) -> Any:
    """What the class's `encode` returns, for [N, 3, frames, H, W] in -1..1."""
    moments = vae.quant_conv(vae.encoder(patchify(clips, PATCH)))
    return SimpleNamespace(latent_dist=DiagonalGaussianDistribution(moments))


def decode(vae: Any, latents: Tensor) -> Any:
    """What the class's `decode` returns, but not limited to -1..1."""
    frames = vae.decoder(vae.post_quant_conv(latents), first_chunk=True)
    return SimpleNamespace(sample=unpatchify(frames, PATCH))


def resample(module: Any, clip: Tensor, *_: Any, **__: Any) -> Tensor:
    """What WanResample does to [N, C, frames, H, W], for all frames: the first has none before it."""
    if module.mode == "upsample3d":
        doubled = module.time_conv(clip[:, :, 1:])
        pairs = doubled.unflatten(1, (2, clip.shape[1])).transpose(1, 2)  # [N, C, 2, frames - 1, H, W]
        clip = torch.cat([clip[:, :, :1], pairs.transpose(2, 3).flatten(2, 3)], 2)
    frames = clip.transpose(1, 2)
    resampled = module.resample(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(1, 2)
    if module.mode == "downsample3d":
        resampled = torch.cat([resampled[:, :, :1], module.time_conv(resampled)], 2)
    whole: Tensor = resampled
    return whole


def sharpen(vae: Any, state: Path, seed: int = 0) -> None:
    """Train the decoder of a finished autoencoder of the class, or go on with it; `state` keeps it."""
    whole = new_autoencoder()
    whole.load_state_dict(vae.state_dict())
    train_decoder(whole, torch.tensor(vae.config.latents_std), state, minutes=DECODER_MINUTES, seed=seed)
    vae.load_state_dict(whole.state_dict())


@torch.no_grad()
def _look_at_now(convolution: nn.Conv3d) -> None:
    """At first the present frame counts most: each is nearly a picture by itself."""
    convolution.weight[:, :, :-1] *= 0.3
    convolution.weight[:, :, -1] *= 1.5


def set_statistics(vae: Any, mean: Tensor, deviation: Tensor) -> None:
    vae.register_to_config(
        latents_mean=[round(value, 4) for value in mean.tolist()],
        latents_std=[round(value, 4) for value in deviation.tolist()],
    )


AUTOENCODER = Recipe(minutes=14, set_statistics=set_statistics, kl_weight=5e-5, crop=32)
