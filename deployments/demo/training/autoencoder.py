"""The demo image autoencoder: 8 pixels a latent like FLUX's, 4 channels.

Its latents are kept close to a small picture: three channels are the picture's mean colours, one is left
for what they lack. Flow models learn such latents in a fraction of the time that free ones take.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from deployments.demo.drawing import Style, render
from deployments.demo.scenes import Scene, Split, sample_scene
from deployments.demo.training.run import Run

SIZE = 128
CROP = 64
CROP_SHARE = 0.6
"""This part of the time goes to crops: they cost a quarter, and edges look the same in them."""
DECODER_MINUTES = 12.0
OUTLINED_SHARE = 0.3
KL_WEIGHT = 1e-5
LATENT_NOISE = 0.25
"""At most, of the latents' deviation: the decoder learns crisp pictures of latents that are slightly off."""
LATENT_CHANNELS = 4
QUICKLY = torch.autocast("cpu", torch.bfloat16)
"""Convolutions take two thirds of the time in it, those of clips half."""
DETAIL_POWER = 0.4
"""Mean square of the fourth channel, about that of the others."""


def new_autoencoder() -> Any:
    """Residual blocks begin as identities (second convolution zero): it learns several times faster."""
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=SIZE,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=False,
    )
    for name, module in vae.named_modules():
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return vae


def train_autoencoder(folder: Path, minutes: float, seed: int = 0) -> Any:
    """Train the autoencoder in `folder`, or finish training it; once finished it stays as it is.

    After `minutes` its decoder has DECODER_MINUTES more. It comes back with the factors that bring its
    latents to mean 0 and deviation 1.
    """
    finished = folder / "vae"
    if finished.exists():
        return AutoencoderKL.from_pretrained(finished).eval()
    torch.manual_seed(seed)
    vae = new_autoencoder()
    run = autoencoder_run(nn.ModuleDict({"vae": vae}), folder / "autoencoder.pt", minutes, seed)
    held_out = pictures([sample_scene(Random(f"{seed} {k}"), "test") for k in range(16)])
    fit(vae, run, lambda: _loss(vae, run), held_out)
    _normalise(vae, Random(seed))
    sharpen(vae, folder / "decoder.pt", held_out, seed)
    vae.save_pretrained(finished)
    return vae.eval()


def sharpen(vae: Any, state: Path, held_out: Tensor, seed: int) -> None:
    """Train the decoder alone, or go on with it: the latents, and what is learned of them, stay."""
    decoder = nn.ModuleDict({"decoder": vae.decoder})
    run = autoencoder_run(decoder, state, DECODER_MINUTES, seed, learning_rate=2e-3)
    fit(vae, run, lambda: _decoder_loss(vae, run), held_out)


def autoencoder_run(
    modules: nn.ModuleDict, state: Path, minutes: float, seed: int, *, learning_rate: float = 4e-3
) -> Run:
    """The run that trains an autoencoder, of pictures or clips, or a part of one."""
    return Run(modules, state, minutes=minutes, learning_rate=learning_rate, seed=seed, decay=0.995)


def fit(vae: Any, run: Run, loss: Callable[[], Tensor], held_out: Tensor) -> None:
    """Train until the run's time is spent, telling the PSNR of `held_out`; the averaged weights stay."""

    def report() -> str:
        with run.averaged():
            return f"PSNR {psnr(vae, held_out):.2f} dB"

    run.train(loss, report)
    run.settle()


def pictures(scenes: list[Scene], size: int = SIZE, style: Style = "filled") -> Tensor:
    """Rendered scenes as [N, 3, size, size] in -1..1."""
    arrays = np.stack([np.asarray(render(scene, size, style)) for scene in scenes])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def psnr(vae: Any, images: Tensor) -> float:
    """Of the round trip of pictures or clips, in dB, from the mean squared error of all."""
    back = vae.decode(vae.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
    return -10 * math.log10(float(((images - back) / 2).square().mean()))


def _loss(vae: Any, run: Run) -> Tensor:
    images = _batch(run)
    posterior = vae.encode(images).latent_dist
    mean, logvar = posterior.mean, posterior.logvar
    off = LATENT_NOISE * mean.detach().std() * torch.rand(len(mean), 1, 1, 1)
    back = vae.decode(mean + (logvar.exp() + off**2).sqrt() * torch.randn_like(mean)).sample
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    loss: Tensor = reconstruction_loss(images - back) + KL_WEIGHT * kl
    return loss + _distance_from_small_picture(mean, images)


def _decoder_loss(vae: Any, run: Run) -> Tensor:
    style: Style = "outlined" if run.step % 2 else "filled"
    images = pictures(_scenes(run.rng, 6), style=style)
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.mode()
    off = LATENT_NOISE * latents.std() * torch.rand(len(latents), 1, 1, 1)
    with QUICKLY:
        back = vae.decode(latents + off * torch.randn_like(latents)).sample
    return reconstruction_loss(images - back.float())


def reconstruction_loss(error: Tensor) -> Tensor:
    """Of differences [..., rows, columns]: absolute, squared, and once more where they form edges."""
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    loss: Tensor = error.abs().mean() + 0.5 * edges + error.square().mean()
    return loss


def _distance_from_small_picture(latents: Tensor, images: Tensor) -> Tensor:
    small = nn.functional.avg_pool2d(images, images.shape[-1] // latents.shape[-1])
    power = latents[:, 3:].square().mean()
    return nn.functional.mse_loss(latents[:, :3], small) + 0.1 * (power - DETAIL_POWER).square()


def _batch(run: Run) -> Tensor:
    style: Style = "outlined" if run.rng.random() < OUTLINED_SHARE else "filled"
    if run.progress > CROP_SHARE:
        return pictures(_scenes(run.rng, 6), style=style)
    scenes = _scenes(run.rng, 16)
    images = zip(pictures(scenes, style=style), scenes, strict=True)
    return torch.stack([_crop(image, scene, run.rng) for image, scene in images])


def _scenes(rng: Random, count: int, split: Split = "train") -> list[Scene]:
    return [sample_scene(rng, split) for _ in range(count)]


def _crop(image: Tensor, scene: Scene, rng: Random) -> Tensor:
    """A crop near one of the scene's things, on the latents' grid or off it."""
    thing = rng.choice(scene.things)
    spread = thing.radius * SIZE
    left, top = (
        min(max(round(middle * SIZE + rng.uniform(-spread, spread)) - CROP // 2, 0), SIZE - CROP)
        for middle in (thing.x, thing.y)
    )
    return image[:, top : top + CROP, left : left + CROP]


@torch.no_grad()
def _normalise(vae: Any, rng: Random) -> None:
    """Set the factors by which pipelines bring latents to mean 0 and deviation 1."""
    latents = vae.encode(pictures(_scenes(rng, 128))).latent_dist.mean
    vae.register_to_config(
        scaling_factor=round(1 / latents.std().item(), 4), shift_factor=round(latents.mean().item(), 4)
    )
