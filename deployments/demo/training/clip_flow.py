"""Teaching one transformer the flow from noise to clips, some of them from their first frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deployments.demo.training.clip_latents import ClipPool
from deployments.demo.training.clip_texts import tokenized, training_text
from deployments.demo.training.places import NOISY, Places, teach_places
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
PLACES = 0.05
"""Weight of the question where tokens are, beside the flow, so that it is not unlearned."""

LEAST_LEVEL = 0.2
"""Where latents are predicted, their error counts as that of the velocity; below this level as at it."""

Prediction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Noisy latents, noise levels [clips, latent frames], token ids, their mask -> velocity or latents."""
Predicted = Literal["velocity", "latents"]
"""The velocity holds all of a token's noise, whose way through takes much of a small transformer's width."""


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
    predicted: Predicted = "velocity",
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
        error, noisy = _loss(run, predict, predicted, pool, tokenizer, shift)
        return error + PLACES * places.loss(noisy)

    run.train(loss, lambda: f"{len(pool.clips)} clips")
    run.settle()


def _loss(
    run: Run,
    predict: Prediction,
    predicted: Predicted,
    pool: ClipPool,
    tokenizer: Any,
    shift: float,
) -> tuple[Tensor, Tensor]:
    """Squared error of the velocity, noise minus latents, and which clips are nearly noise alone.

    A first frame that is given counts nothing.
    """
    clips, latents = pool.draw(run.rng, BATCH)
    shown = torch.arange(BATCH) % SHOWN_EVERY == 0
    texts = [
        training_text(clip, run.rng, shown=bool(known)) for clip, known in zip(clips, shown, strict=True)
    ]
    levels = noise_levels(BATCH, shift)[:, None].repeat(1, latents.shape[2])
    levels[shown, 0] = 0.0
    level = levels[:, None, :, None, None]
    noise = torch.randn_like(latents)
    answer = predict(torch.lerp(latents, noise, level), levels, *tokenized(tokenizer, texts))
    if predicted == "velocity":
        error = answer - (noise - latents)
    else:
        error = (answer - latents) / level.clamp(min=LEAST_LEVEL)
    unknown = (levels > 0).float()
    per_frame = error.square().mean((1, 3, 4))
    return (per_frame * unknown).sum() / unknown.sum(), levels[:, -1] > NOISY


def noise_levels(count: int, shift: float) -> Tensor:
    """Levels in 0..1, most of them logit-normal or near 1, the others uniform, shifted as for sampling."""
    kind = torch.rand(count)
    level = torch.where(kind < NORMAL, torch.sigmoid(torch.randn(count)), torch.rand(count))
    level = shift * level / (1 + (shift - 1) * level)
    return torch.where(kind > 1 - LAYOUT, 1 - LAYOUT_LEVELS * torch.rand(count), level).clamp(min=1e-3)


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
