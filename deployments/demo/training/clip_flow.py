"""Teaching one transformer the flow from noise to clips, some of them from their first frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor, nn

from deployments.demo.training.clip_latents import ClipPool
from deployments.demo.training.clip_texts import tokenized, training_text
from deployments.demo.training.places import NOISY, Places, teach_places
from deployments.demo.training.run import Run

BATCH = 24
FIRST_CLIPS, MORE_CLIPS, ALL_CLIPS = 4000, 8, 8000
GROW_EVERY = 8
"""Steps: eight clips encoded at once take less than eight times one."""
SHOWN_EVERY = 2
"""One clip of so many is learned from its first frame, which may be anywhere; the others are on the grid."""
NORMAL, LAYOUT = 0.35, 0.25
"""Shares of the noise levels: logit-normal, and near 1, where only the text tells what is where.

The others are even: outlines are decided at all of them.
"""
LAYOUT_LEVELS = 0.25

NEAR = 5.0
"""Against a deviation of a half: at first, a step of one token costs a head two thirds of its attention."""
PLACES = 0.05
"""Weight of the question where tokens are, beside the flow, so that it is not unlearned."""

LEAST_LEVEL = 0.2
"""The latents' error counts as that of the velocity; below this level as at it."""

Prediction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Noisy latents, noise levels [clips, latent frames], token ids, their mask -> latents without noise.

The velocity would hold all of a token's noise, whose way through takes much of a small transformer's width.
"""


def train_clip_flow(
    transformer: Any,
    predict: Prediction,
    pool: ClipPool,
    tokenizer: Any,
    state: Path,
    *,
    minutes: float,
    seed: int,
    shift: float,
    learning_rate: float = 2e-3,
    hold: float = 0.4,
    places: Places,
) -> None:
    """Train `transformer`, which `predict` runs, or go on training it; `state` keeps it.

    First it learns where its tokens are. It ends with its averaged weights.
    """
    nothing = tokenized(tokenizer, [""] * BATCH)
    teach_places(places, transformer, predict, nothing, state.with_name("places.pt"), seed)
    while len(pool.clips) < FIRST_CLIPS:
        pool.grow(50)
    run = Run(
        nn.ModuleDict({"transformer": transformer, "places": places}),
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
        error, noisy = _loss(run, predict, pool, tokenizer, shift)
        return error + PLACES * places.loss(noisy)

    run.train(loss, lambda: f"{len(pool.clips)} clips")
    run.settle()


def _loss(
    run: Run,
    predict: Prediction,
    pool: ClipPool,
    tokenizer: Any,
    shift: float,
) -> tuple[Tensor, Tensor]:
    """Squared error of the latents, as one of the velocity, and which clips are nearly noise alone.

    A first frame that is given counts nothing.
    """
    shown = torch.arange(BATCH) % SHOWN_EVERY == 0
    clips, latents = pool.draw(run.rng, shown.tolist())
    texts = [
        training_text(clip, run.rng, shown=bool(known)) for clip, known in zip(clips, shown, strict=True)
    ]
    levels = noise_levels(BATCH, shift)[:, None].repeat(1, latents.shape[2])
    levels[shown, 0] = 0.0
    level = levels[:, None, :, None, None]
    noise = torch.randn_like(latents)
    answer = predict(torch.lerp(latents, noise, level), levels, *tokenized(tokenizer, texts))
    error = (answer - latents) / level.clamp(min=LEAST_LEVEL)
    unknown = (levels > 0).float()
    per_frame = error.square().mean((1, 3, 4))
    return (per_frame * unknown).sum() / unknown.sum(), levels[:, -1] > NOISY


def noise_levels(count: int, shift: float) -> Tensor:
    """Levels in 0..1: logit-normal and shifted as for sampling, near 1, or uniform."""
    kind = torch.rand(count)
    normal = torch.sigmoid(torch.randn(count))
    level = torch.where(kind < NORMAL, shift * normal / (1 + (shift - 1) * normal), torch.rand(count))
    return torch.where(kind > 1 - LAYOUT, 1 - LAYOUT_LEVELS * torch.rand(count), level).clamp(min=1e-3)


def scheduler(shift: float) -> Any:
    """Wan's own, as its public folders have it, for predicted latents; LTX-Video's takes velocities alone."""
    return UniPCMultistepScheduler(prediction_type="sample", use_flow_sigmas=True, flow_shift=shift)


def compiled(transformer: Any) -> Callable[..., Tensor]:
    """A fast copy that shares its weights; it computes in bfloat16 and answers in float32.

    The fused attention's way back takes twice as long in bfloat16 as the plain one's: with both a step
    takes 0.41 s instead of 0.65.
    """
    transformer.set_attention_backend("_native_math")
    fast: Any = torch.compile(transformer)

    def run(**arguments: Any) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            answer: Tensor = fast(**arguments, return_dict=False)[0]
        return answer.float()

    return run


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
def look_near(attention: Any, channels: Sequence[int]) -> None:
    """Let heads begin by looking at what is near, in `channels`: the first channels of pairs that turn.

    Nothing but rotations tells tokens where they are, and those only to each other. A bias that queries
    and keys have in common makes the logit the cosine of their distance along the axis that turns the
    pair. Without it frames learned to agree with each other only after several times as many steps.
    """
    for linear in (attention.to_q, attention.to_k):
        linear.weight.mul_(0.5)
        linear.bias[list(channels)] = NEAR
