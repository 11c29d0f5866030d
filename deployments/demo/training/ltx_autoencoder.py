"""The demo LTX-Video's autoencoder: the encoder is written down, only the decoder is trained.

A latent stands for 16 x 16 pixels of two frames, and is linear in their mean. 48 of its channels are a small
video, the mean colours of 4 x 4 pixels; the others are principal components of what those lack. Encoders
of this class that were trained to the same latents lost more than the latents themselves do.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKLLTXVideo
from torch import Tensor, nn

from deployments.demo.clips import sample_clip
from deployments.demo.training.clip_autoencoder import begin_as_identity
from deployments.demo.training.clip_latents import videos

PATCH = 8
"""Pixels a side that the encoder's first convolution takes at once; four of them make a latent."""
BLOCK = 4
"""Pixels a side that one colour of the small video stands for."""
COLORS = 3 * (PATCH // BLOCK) ** 2
"""Channels of a patch that are the small video's."""
FEATURES = 32
"""Channels of a patch: those, and principal components of what they lack."""
SIGNED = 2 * FEATURES
"""Those with both signs."""
DETAILS = 32
"""Channels of a latent beside the small video's."""
CHANNELS = 4 * COLORS + DETAILS
DETAIL_DEVIATION = 0.5
"""Of the details once normalised; the small video's channels have 1. It is what clips are made of."""
CLIPS = 300
"""So many tell the principal components."""
CONSTANT = 1024.0
"""Beside it a clip's own channels are small, so that the norm of all is constant to 2 in 10,000."""
DECODER_WIDTH, DECODER_CONSTANT = 96, 64.0
"""Here the norm of all is constant to some 3 in 100: it is only a beginning."""


def new_autoencoder(seed: int = 0) -> Any:
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
    clips = videos([sample_clip(Random(f"{seed} {k}")) for k in range(CLIPS)])
    components = _components(_patches(clips))
    _write_encoder(vae.encoder, *components)
    _begin_decoder(vae.decoder, *components)
    _set_statistics(vae, clips)
    return vae


@torch.no_grad()
def _write_encoder(encoder: Any, of_patch: Tensor, of_latent: Tensor) -> None:
    """Set the weights, with which its latents are linear in the pixels.

    Each channel goes beside its negative, as x = silu(x) - silu(-x), and all beside a constant, which keeps
    the norm from changing them. Of the convolutions only the middle of the present frame counts.
    """
    for convolution in (encoder.conv_in, encoder.down_blocks[0].downsamplers[0].conv, encoder.conv_out):
        nn.init.zeros_(convolution.conv.weight)
        nn.init.zeros_(convolution.conv.bias)
    first, last = encoder.conv_in.conv, encoder.conv_out.conv
    first.weight[:SIGNED, :, -1, 1, 1] = torch.cat([of_patch, -of_patch])
    first.bias[SIGNED] = CONSTANT
    both_frames = of_latent[:, :, None].expand(-1, -1, 2, -1) / 2  # [channels, features, frames, patches]
    signed = torch.cat([both_frames, -both_frames], 1).flatten(1)
    last.weight[:CHANNELS, : signed.shape[1], -1, 1, 1] = signed * CONSTANT / math.sqrt(SIGNED + 1)
    last.bias[CHANNELS] = -30.0  # the logarithm of the latents' variance


@torch.no_grad()
def _begin_decoder(decoder: Any, of_patch: Tensor, of_latent: Tensor) -> None:
    """Let it turn such latents back into pixels from the beginning, in the same way, without its resnets."""
    first, last = decoder.conv_in.conv, decoder.conv_out.conv
    doubling = decoder.up_blocks[0].upsamplers[0].conv.conv
    for convolution in (first, last):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    first.weight[:CHANNELS, :, 1, 1, 1] = torch.eye(CHANNELS)
    by_feature = (BLOCK**2 * of_latent).permute(1, 2, 0)
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
    last.weight[:, :SIGNED, 1, 1, 1] = scale * torch.cat([of_patch, -of_patch]).T


def _components(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Of patches [latents, 4, 192]: what makes features of one, and channels of the features of four.

    [FEATURES, 192] and [CHANNELS, FEATURES, 4]; the channels have the scale of a mean colour.
    """
    colors = _block_means()
    of_patch = torch.cat([colors, _principal(patches.flatten(0, 1), colors, FEATURES - COLORS)])
    features = (patches @ of_patch.T).transpose(1, 2)  # [latents, FEATURES, 4]
    small = torch.eye(4 * FEATURES)[: 4 * COLORS]
    details = _principal(features.flatten(1), small, DETAILS)
    return of_patch, torch.cat([small, details]).view(CHANNELS, FEATURES, 4) / BLOCK


def _principal(samples: Tensor, known: Tensor, count: int) -> Tensor:
    """The first `count` principal components of `samples` [N, D] beside the orthonormal rows `known`."""
    rest = samples - samples @ known.T @ known
    components: Tensor = torch.linalg.eigh(torch.cov(rest.T)).eigenvectors[:, -count:].T
    return components.flip(0)


def _block_means() -> Tensor:
    """[COLORS, 192]: for pixels in the encoder's order, the means of blocks times their side."""
    side = PATCH // BLOCK
    pixels = torch.zeros(3, side, side, 3, PATCH, PATCH)
    for color in range(3):
        for column in range(side):
            for row in range(side):
                columns, rows = (slice(BLOCK * k, BLOCK * (k + 1)) for k in (column, row))
                pixels[color, column, row, color, columns, rows] = 1 / BLOCK
    return pixels.flatten(3).flatten(0, 2)


def _patches(clips: Tensor) -> Tensor:
    """[N, 3, 1 + 2 frames, H, W] -> [latents, 4, 192]: means of two frames, pixels in the encoder's order."""
    pairs = (clips[:, :, 1::2] + clips[:, :, 2::2]) / 2
    frames = torch.cat([clips[:, :, :1], pairs], 2)
    count, colors, length, rows, columns = frames.shape
    side = 2 * PATCH
    cells = frames.view(count, colors, length, rows // side, 2, PATCH, columns // side, 2, PATCH)
    return cells.permute(0, 2, 3, 6, 4, 7, 1, 8, 5).reshape(-1, 4, colors * PATCH**2)


@torch.no_grad()
def _set_statistics(vae: Any, clips: Tensor) -> None:
    latents = torch.cat([vae.encode(some).latent_dist.mode() for some in torch.split(clips, 20)])
    vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
    deviation = latents.std((0, 2, 3, 4))
    deviation[-DETAILS:] /= DETAIL_DEVIATION
    vae.latents_std.copy_(deviation)
