"""Teaching a transformer the flow from noise to pictures; the families differ in how they call theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.drawing import Style
from deployments.demo.training.autoencoder import train_autoencoder
from deployments.demo.training.latents import LatentPool
from deployments.demo.training.run import Run
from deployments.demo.training.text_encoders import Texts, text_length, trained_texts, training_text

AUTOENCODER_MINUTES, TEXTS_MINUTES = 9.0, 3.0
BATCH = 32
FIRST_SCENES, MORE_SCENES, ALL_SCENES = 3000, 1, 20000
NORMAL, LAYOUT = 0.65, 0.15
"""Shares of the noise levels: logit-normal, and near 1, where only the text tells what is where."""
LAYOUT_LEVELS = 0.25

Velocity = Callable[[Any, Tensor, Tensor, list[str], int, Texts], Tensor]
"""Transformer, noisy latents, their noise levels, prompts, T5 length, text encoders -> velocity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What the image models of one training folder share."""

    vae: Any
    texts: Texts


def shared_parts(folder: Path, seed: int) -> Parts:
    """The autoencoder and the text encoders of the folder, trained there first where they are not yet."""
    folder.mkdir(parents=True, exist_ok=True)
    vae = train_autoencoder(folder, AUTOENCODER_MINUTES, seed)
    texts = trained_texts(folder, TEXTS_MINUTES, seed)
    return Parts(vae=vae.requires_grad_(False), texts=texts)


def train_flow(
    transformer: Any,
    velocity: Velocity,
    parts: Parts,
    folder: Path,
    *,
    name: str,
    minutes: float,
    seed: int,
    shift: float,
    style: Style = "filled",
    learning_rate: float = 2e-3,
    hold: float = 0.3,
) -> None:
    """Train `transformer`, or go on training it, in `folder`/`name`; it ends with its averaged weights."""
    pool = LatentPool(parts.vae, folder / f"latents-{style}.f16", seed, style)
    while len(pool.scenes) < FIRST_SCENES:
        pool.grow(50)
    (folder / name).mkdir(exist_ok=True)
    run = Run(
        nn.ModuleDict({"transformer": transformer}),
        folder / name / "flow.pt",
        minutes=minutes,
        learning_rate=learning_rate,
        seed=seed,
        hold=hold,
        decay=0.998,
    )

    def loss() -> Tensor:
        if len(pool.scenes) < ALL_SCENES and run.progress < 0.9:
            pool.grow(MORE_SCENES)
        return _loss(run, velocity, pool, parts.texts, shift)

    run.train(loss, lambda: f"{len(pool.scenes)} scenes")
    run.settle()


def _loss(run: Run, velocity: Velocity, pool: LatentPool, texts: Texts, shift: float) -> Tensor:
    """Squared error of the velocity, noise minus latents, at random noise levels."""
    scenes, latents = pool.draw(run.rng, BATCH)
    prompts = [training_text(scene, run.rng) for scene in scenes]
    noise, level = torch.randn_like(latents), _levels(len(latents), shift)
    mixed = torch.lerp(latents, noise, level[:, None, None, None])
    predicted = velocity(run.modules["transformer"], mixed, level, prompts, text_length(run.rng), texts)
    return nn.functional.mse_loss(predicted, noise - latents)


def _levels(count: int, shift: float) -> Tensor:
    """Noise levels in 0..1, most of them logit-normal or near 1, the others uniform."""
    kind = torch.rand(count)
    level = torch.where(kind < NORMAL, torch.sigmoid(torch.randn(count)), torch.rand(count))
    level = shift * level / (1 + (shift - 1) * level)
    return torch.where(kind > 1 - LAYOUT, 1 - LAYOUT_LEVELS * torch.rand(count), level)


def initialise(transformer: Any) -> None:
    """As diffusion transformers begin: blocks are identities (modulation zero), the output is zero."""
    for name, module in transformer.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if name == "proj_out" or ("norm" in name and name.endswith("linear")):
            nn.init.zeros_(module.weight)
        else:
            nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
