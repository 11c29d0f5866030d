"""The demo LTX-Video's autoencoder: the encoder is written down, only the decoder is trained.

A latent stands for 16 x 16 pixels of two frames: 48 channels are a small video, the others tell details.
Encoders of this class that were trained to the same latents lost more than the latents themselves do.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import AutoencoderKLLTXVideo
from torch import nn

from deployments.demo.training.clip_autoencoder import begin_as_identity
from deployments.demo.training.linear_latents import (
    BLOCK,
    LinearLatents,
    linear_latents,
    sample_videos,
)

PATCH = 8
"""Pixels a side that the encoder's first convolution takes at once; four of them make a latent."""
FEATURES = 32
"""Channels of a patch."""
SIGNED = 2 * FEATURES
"""Those with both signs."""
DETAILS = 48
"""Channels of a latent beside the small video's."""
CHANNELS = 3 * (2 * PATCH // BLOCK) ** 2 + DETAILS
CONSTANT = 1024.0
"""Beside it a clip's own channels are small, so that the norm of all is constant to 2 in 10,000."""
DECODER_WIDTH, DECODER_CONSTANT = 96, 64.0
"""Here the norm of all is constant to some 3 in 100: it is only a beginning."""


def new_autoencoder(seed: int = 0) -> tuple[Any, LinearLatents]:
    """16 pixels and 2 frames a latent, so that a clip is 144 tokens. The encoder is done, the decoder is new.

    LTX's image to video knows no patches of latents: what a token covers, the autoencoder has to compress.
    """
    torch.manual_seed(seed)
    width = SIGNED + 1
    vae: Any = AutoencoderKLLTXVideo(
        latent_channels=CHANNELS,
        block_out_channels=(width, 8 * width),
        down_block_types=("LTXVideo095DownBlock3D",),
        spatio_temporal_scaling=(True,),
        layers_per_block=(0, 0),
        downsample_type=("spatiotemporal",),
        decoder_block_out_channels=(DECODER_WIDTH,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_layers_per_block=(2, 1),
        decoder_inject_noise=(False, False),
        upsample_residual=(True,),
        upsample_factor=(1,),
        patch_size=PATCH,
        encoder_causal=True,
        decoder_causal=False,
    )
    begin_as_identity(vae)
    latents = linear_latents(sample_videos(seed), patch=PATCH, features=FEATURES, details=DETAILS)
    _write_encoder(vae.encoder, latents)
    _begin_decoder(vae.decoder, latents)
    vae.latents_mean.copy_(latents.mean)
    vae.latents_std.copy_(latents.deviation)
    return vae, latents


@torch.no_grad()
def _write_encoder(encoder: Any, latents: LinearLatents) -> None:
    """Set the weights, with which its latents are linear in the pixels.

    Each channel goes beside its negative, as x = silu(x) - silu(-x), and all beside a constant, which keeps
    the norm from changing them. Of the convolutions only the middle of the present frame counts.
    """
    for convolution in (encoder.conv_in, encoder.down_blocks[0].downsamplers[0].conv, encoder.conv_out):
        nn.init.zeros_(convolution.conv.weight)
        nn.init.zeros_(convolution.conv.bias)
    first, last = encoder.conv_in.conv, encoder.conv_out.conv
    first.weight[:SIGNED, :, -1, 1, 1] = torch.cat([latents.of_patch, -latents.of_patch])
    first.bias[SIGNED] = CONSTANT
    both_frames = (
        latents.of_latent[:, :, None].expand(-1, -1, 2, -1) / 2
    )  # [channels, features, frames, patches]
    signed = torch.cat([both_frames, -both_frames], 1).flatten(1)
    last.weight[:CHANNELS, : signed.shape[1], -1, 1, 1] = signed * CONSTANT / math.sqrt(SIGNED + 1)
    last.bias[CHANNELS] = -30.0  # the logarithm of the latents' variance


@torch.no_grad()
def _begin_decoder(decoder: Any, latents: LinearLatents) -> None:
    """Let it turn such latents back into pixels from the beginning, in the same way, without its resnets."""
    first, last = decoder.conv_in.conv, decoder.conv_out.conv
    doubling = decoder.up_blocks[0].upsamplers[0].conv.conv
    for convolution in (first, last):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    first.weight[:CHANNELS, :, 1, 1, 1] = torch.eye(CHANNELS)
    by_feature = (BLOCK**2 * latents.of_latent).permute(1, 2, 0)
    back = by_feature[:, None].expand(-1, 2, -1, -1)  # [features, frames, patches, channels]
    signed = torch.cat([back, -back]).flatten(0, 2)
    known = len(signed) + 8
    nn.init.zeros_(doubling.weight[:known])
    nn.init.zeros_(doubling.bias[:known])
    doubling.weight[: len(signed), :CHANNELS, 1, 1, 1] = signed
    doubling.bias[len(signed) : known] = DECODER_CONSTANT
    # The way around it hands channel c on as channel c // 8 of place c % 8, again and again.
    outputs = torch.arange(known)
    doubling.weight[outputs, outputs % DECODER_WIDTH, 1, 1, 1] -= 1
    scale = DECODER_CONSTANT / math.sqrt(DECODER_WIDTH)
    last.weight[:, :SIGNED, 1, 1, 1] = scale * torch.cat([latents.of_patch, -latents.of_patch]).T
