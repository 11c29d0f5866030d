"""The demo Wan's autoencoder: the encoder is written down, only the decoder is trained, whole clips at once.

The class itself goes from chunk to chunk of a clip, each with the last frames of the one before: right
for long clips, ten times slower to train. Here all frames go through at once, with the same result; what is
saved goes the class's own way.
"""

from __future__ import annotations

import math
from functools import partial
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

from deployments.demo.training.clip_autoencoder import begin_as_identity
from deployments.demo.training.linear_latents import (
    BLOCK,
    LinearLatents,
    linear_latents,
    sample_videos,
)

PATCH = 4
WIDTH = 64
FEATURES = 35
"""Channels of a patch, of its 48 numbers."""
DETAILS = 16
"""Channels of a latent beside the small video's."""
CHANNELS = 3 * (2 * PATCH // BLOCK) ** 2 + DETAILS
CONSTANT = 8192.0
"""Beside it a clip's own channels are so small that its norm is constant, and half of each is its silu."""


def new_autoencoder(seed: int = 0) -> tuple[Any, LinearLatents]:
    """8 pixels and 2 frames a latent. The encoder is done, the decoder is new; it takes clips whole."""
    torch.manual_seed(seed)
    vae: Any = AutoencoderKLWan(
        base_dim=WIDTH,
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
        scale_factor_spatial=2 * PATCH,
        latents_mean=[0.0] * CHANNELS,
        latents_std=[1.0] * CHANNELS,
    )
    begin_as_identity(vae)
    vae.encode, vae.decode = partial(encode, vae), partial(decode, vae)
    for module in vae.modules():
        if isinstance(module, WanResample):
            module.forward = partial(resample, module)
        elif isinstance(module, WanCausalConv3d) and module.kernel_size == (3, 3, 3):
            _look_at_now(module)
    latents = linear_latents(sample_videos(seed), patch=PATCH, features=FEATURES, details=DETAILS)
    _write_encoder(vae, latents)
    vae.register_to_config(latents_mean=latents.mean.tolist(), latents_std=latents.deviation.tolist())
    _give_the_decoder_normalised(vae.post_quant_conv, latents)
    return vae, latents


def as_the_class_has_it(whole: Any) -> Any:
    """The same autoencoder, going the class's own way."""
    vae: Any = AutoencoderKLWan.from_config(whole.config)
    vae.load_state_dict(whole.state_dict())
    return vae.eval().requires_grad_(False)


@torch.no_grad()
def _write_encoder(vae: Any, latents: LinearLatents) -> None:
    """Set the weights, with which its latents are linear in the pixels.

    Patches' features come first, the latents behind them: the way around the downsampling hands each channel
    on to itself, so that nothing is added to those. The last channel is a constant.
    """
    encoder = vae.encoder
    downsampler = encoder.down_blocks[0].downsampler
    first, spatial, temporal, last = (
        encoder.conv_in,
        downsampler.resample[1],
        downsampler.time_conv,
        encoder.conv_out,
    )
    for layer in (first, spatial, temporal, last, encoder.mid_block.attentions[0].proj, vae.quant_conv):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    behind = slice(FEATURES, FEATURES + CHANNELS)
    first.weight[:FEATURES, :, -1, 1, 1] = latents.of_patch
    spatial.weight[behind, :FEATURES, :2, :2] = latents.of_latent.view(CHANNELS, FEATURES, 2, 2)
    spatial.bias[-1] = CONSTANT
    temporal.weight[:, :, 1:, 0, 0] = torch.eye(WIDTH)[..., None] / 2
    last.weight[:CHANNELS, behind, -1, 1, 1] = torch.eye(CHANNELS) * 2 * CONSTANT / math.sqrt(WIDTH)
    last.bias[CHANNELS:] = -30.0  # the logarithm of the latents' variance
    vae.quant_conv.weight[:, :, 0, 0, 0] = torch.eye(2 * CHANNELS)


@torch.no_grad()
def _give_the_decoder_normalised(before_it: Any, latents: LinearLatents) -> None:
    nn.init.zeros_(before_it.weight)
    before_it.weight[:, :, 0, 0, 0] = torch.diag(1 / latents.deviation)
    before_it.bias.copy_(-latents.mean / latents.deviation)


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


@torch.no_grad()
def _look_at_now(convolution: nn.Conv3d) -> None:
    """At first the present frame counts most: each is nearly a picture by itself."""
    convolution.weight[:, :, :-1] *= 0.3
    convolution.weight[:, :, -1] *= 1.5
