"""Teaching one transformer the flow from noise to clips, some of them from their first frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.training.clip_latents import ClipPool
from deployments.demo.training.clip_texts import tokenized, training_text
from deployments.demo.training.run import Run

BATCH = 24
FIRST_CLIPS, MORE_CLIPS, ALL_CLIPS = 500, 8, 6000
GROW_EVERY = 8
"""Steps: eight clips encoded at once take less than eight times one."""
SHOWN_EVERY = 4
"""One clip of so many is learned from its first frame: that is much the easier half."""
NORMAL, LAYOUT = 0.3, 0.4
"""Shares of the noise levels: logit-normal, and near 1, where only the text tells what is where."""
LAYOUT_LEVELS = 0.25

NEAR = 5.0
"""Against a deviation of a half: at first, a step of one token costs a head two thirds of its attention."""

Velocity = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Noisy latents, noise levels [clips, latent frames], token ids, their mask -> velocity."""


def train_clip_flow(
    transformer: Any,
    velocity: Velocity,
    pool: ClipPool,
    tokenizer: Any,
    state: Path,
    *,
    minutes: float,
    seed: int,
    shift: float,
    learning_rate: float = 2e-3,
    hold: float = 0.4,
) -> None:
    """Train `transformer`, or go on training it; `state` keeps it. It ends with its averaged weights."""
    while len(pool.clips) < FIRST_CLIPS:
        pool.grow(50)
    run = Run(
        nn.ModuleDict({"transformer": transformer}),
        state,
        minutes=minutes,
        learning_rate=learning_rate,
        seed=seed,
        hold=hold,
        decay=0.998,
    )

    def loss() -> Tensor:
        if run.step % GROW_EVERY == 0 and len(pool.clips) < ALL_CLIPS and run.progress < 0.9:
            pool.grow(MORE_CLIPS)
        return _loss(run, velocity, pool, tokenizer, shift)

    run.train(loss, lambda: f"{len(pool.clips)} clips")
    run.settle()


def _loss(run: Run, velocity: Velocity, pool: ClipPool, tokenizer: Any, shift: float) -> Tensor:
    """Squared error of the velocity, noise minus latents; a first frame that is given counts nothing."""
    clips, latents = pool.draw(run.rng, BATCH)
    shown = torch.arange(BATCH) % SHOWN_EVERY == 0
    texts = [
        training_text(clip, run.rng, shown=bool(known)) for clip, known in zip(clips, shown, strict=True)
    ]
    levels = noise_levels(BATCH, shift)[:, None].repeat(1, latents.shape[2])
    levels[shown, 0] = 0.0
    noise = torch.randn_like(latents)
    mixed = torch.lerp(latents, noise, levels[:, None, :, None, None])
    error = velocity(mixed, levels, *tokenized(tokenizer, texts)) - (noise - latents)
    unknown = (levels > 0).float()
    per_frame = error.square().mean((1, 3, 4))
    return (per_frame * unknown).sum() / unknown.sum()


def noise_levels(count: int, shift: float) -> Tensor:
    """Levels in 0..1, most of them logit-normal or near 1, the others uniform, shifted as for sampling."""
    kind = torch.rand(count)
    level = torch.where(kind < NORMAL, torch.sigmoid(torch.randn(count)), torch.rand(count))
    level = shift * level / (1 + (shift - 1) * level)
    return torch.where(kind > 1 - LAYOUT, 1 - LAYOUT_LEVELS * torch.rand(count), level).clamp(min=1e-3)


def start_as_identity(transformer: Any, blocks: Any, zeroed: tuple[str, ...]) -> None:
    """As diffusion transformers begin: modulation and output are zero, so that blocks change nothing."""
    for name, module in transformer.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if name in zeroed:
            nn.init.zeros_(module.weight)
        else:
            nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    for block in blocks:
        nn.init.zeros_(block.scale_shift_table)


@torch.no_grad()
def look_near(attention: Any, phases: Mapping[int, float]) -> None:
    """Let heads begin by looking at what is near: given the first channels of pairs, and angles.

    Nothing but rotations tells tokens where they are, and those only to each other. A bias that queries
    and keys have in common makes the logit the cosine of their distance along the axis that turns the
    pair. Without it frames learned to agree with each other only after several times as many steps. With
    an angle the key's bias is ahead of the query's, so that a token looks to one side of itself: where
    nothing is on that side, at an edge or in the first frame, it can tell.
    """
    for linear in (attention.to_q, attention.to_k):
        linear.weight.mul_(0.5)
    for channel, angle in phases.items():
        attention.to_q.bias[channel] = NEAR
        attention.to_k.bias[channel] = NEAR * math.cos(angle)
        attention.to_k.bias[channel + 1] = NEAR * math.sin(angle)
