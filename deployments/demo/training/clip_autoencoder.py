"""Training an autoencoder of clips, and what all of those learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.clips import SIZE, sample_clip
from deployments.demo.training.autoencoder import QUICKLY, autoencoder_run, fit, reconstruction_loss
from deployments.demo.training.clip_latents import videos
from deployments.demo.training.run import Run

CROP_SHARE = 0.6
"""This part of the time goes to crops, where there are crops."""
BATCH = 4
LATENT_NOISE, DECODER_NOISE = 0.1, 0.2
"""The decoder learns to make crisp frames of latents that are slightly off."""
FIRST_FRAME = 0.3
"""How much more the first frame counts when the decoder learns alone: image to video has to keep it."""

SetStatistics = Callable[[Any, Tensor, Tensor], None]
"""Autoencoder, mean and deviation [channels]: what brings its latents to mean 0 and deviation 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How the autoencoder of one family is trained."""

    minutes: float
    set_statistics: SetStatistics
    kl_weight: float
    crop: int = SIZE
    """Pixels a side of what is learned from at first; edges look the same in crops, and those are cheap."""


def train_clip_autoencoder(vae: Any, recipe: Recipe, folder: Path, seed: int = 0) -> Any:
    """Train a new `vae`, which halves the frames, in `folder`, or finish training it.

    Once finished it stays as it is.
    """
    finished = folder / "vae"
    if not finished.exists():
        torch.manual_seed(seed)
        begin_as_identity(vae)
        run = autoencoder_run(nn.ModuleDict({"vae": vae}), folder / "autoencoder.pt", recipe.minutes, seed)
        fit(vae, run, lambda: _loss(vae, recipe, run), _held_out(seed))
        latents = _latents(vae, Random(seed))
        recipe.set_statistics(vae, latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4)))
        vae.save_pretrained(finished)
    return type(vae).from_pretrained(finished).eval().requires_grad_(False)


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


def _loss(vae: Any, recipe: Recipe, run: Run) -> Tensor:
    clips = _some_videos(run.rng, BATCH)
    if run.progress < CROP_SHARE:
        clips = _crop(clips, recipe.crop, run.rng)
    with QUICKLY:
        posterior = vae.encode(clips).latent_dist
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    noise = (logvar.exp() + LATENT_NOISE**2).sqrt()
    back = _decoded(vae, mean + noise * torch.randn_like(mean))
    kl = 0.5 * (mean.square().mean() + (logvar.exp() - 1 - logvar).mean())
    loss: Tensor = reconstruction_loss(clips - back) + recipe.kl_weight * kl
    return loss


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


def _crop(clips: Tensor, side: int, rng: Random) -> Tensor:
    top, left = (rng.randint(0, SIZE - side) for _ in range(2))
    return clips[..., top : top + side, left : left + side]


def _some_videos(rng: Random, count: int, split: Any = "train") -> Tensor:
    """Clips, half of them mirrored in time: what moves right also moves left."""
    clips = videos([sample_clip(rng, split) for _ in range(count)])
    return clips.flip(2) if rng.random() < 0.5 else clips


def _held_out(seed: int) -> Tensor:
    return _some_videos(Random(f"{seed} test"), 12, "test")


@torch.no_grad()
def _latents(vae: Any, rng: Random) -> Tensor:
    latents: Tensor = vae.encode(_some_videos(rng, 32)).latent_dist.mode()
    return latents
