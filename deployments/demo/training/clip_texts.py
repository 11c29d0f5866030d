"""Teaching a clip model's text encoder what prompts say, before any clip: in minutes, not hours."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.clip_captions import CLIP_WORDS, clip_caption, clip_wording, motion_wording
from deployments.demo.clips import MOTIONS, Clip, sample_clip
from deployments.demo.scenes import COLORS, SHAPES, SIZES
from deployments.demo.texts import T5_WIDTH, share_rows_between_spellings
from deployments.demo.training.run import Run

BATCH = 64
MINUTES = 1.0
TOKENS = 32
PLAIN, BARE = 0.3, 0.35
"""Share of plain wordings, and of those about the motion alone where a picture shows the rest."""
NO_CAPTION = 0.08
"""Share of empty captions, so that classifier-free guidance has something to guide away from."""
ANSWERS = (COLORS, COLORS, SHAPES, SIZES, MOTIONS)
"""What is asked of a text: background, the thing's colour, shape and size, motion. 0 means: not said."""


class Reader(nn.Module):
    """One look at the tokens for each question, as a transformer's cross-attention looks."""

    def __init__(self) -> None:
        super().__init__()
        self.questions_embedding = nn.Parameter(0.5 * torch.randn(len(ANSWERS), T5_WIDTH))
        self.look = nn.MultiheadAttention(T5_WIDTH, 4, batch_first=True)
        self.tell = nn.ModuleList(nn.Linear(T5_WIDTH, 1 + len(choices)) for choices in ANSWERS)

    def forward(self, tokens: Tensor, mask: Tensor) -> list[Tensor]:
        questions = self.questions_embedding.expand(len(tokens), -1, -1)
        seen = self.look(questions, tokens, tokens, key_padding_mask=mask == 0, need_weights=False)[0]
        return [head(seen[:, index]) for index, head in enumerate(self.tell)]


def trained_text_encoder(encoder: Any, tokenizer: Any, state: Path, seed: int = 0) -> Any:
    """`encoder`, trained (or loaded, once it was) and frozen; `state` keeps it."""
    modules = nn.ModuleDict({"text_encoder": encoder, "reader": Reader()})
    run = Run(modules, state, minutes=MINUTES, learning_rate=2e-3, seed=seed, decay=0.995)
    run.train(
        lambda: _loss(run, tokenizer), lambda: f"{understood(run, tokenizer):.0%} of held-out understood"
    )
    run.settle()
    share_rows_between_spellings(encoder, tokenizer, CLIP_WORDS)
    return encoder.eval().requires_grad_(False)


def tokenized(tokenizer: Any, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids and their mask, both [prompts, TOKENS]."""
    batch = tokenizer(prompts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    return batch.input_ids, batch.attention_mask


def training_text(clip: Clip, rng: Random, *, shown: bool) -> str:
    """What a training clip is called; `shown` if its first frame is known."""
    if rng.random() < NO_CAPTION:
        return ""
    if shown and rng.random() < BARE:
        return motion_wording(clip, rng)
    return clip_caption(clip) if rng.random() < PLAIN else clip_wording(clip, rng)


@torch.no_grad()
def understood(run: Run, tokenizer: Any) -> float:
    """Share of held-out clips of whose wordings everything is understood."""
    rng = Random(1)
    clips = [sample_clip(rng, "test") for _ in range(256)]
    texts = [clip_wording(clip, rng) for clip in clips]
    truth = torch.tensor([_answers(clip, text) for clip, text in zip(clips, texts, strict=True)])
    with run.averaged():
        told = torch.stack([logits.argmax(-1) for logits in _read(run, tokenizer, texts)], -1)
    known = [index for index in range(len(ANSWERS)) if ANSWERS[index] is not SIZES]
    return float((told == truth)[:, known].all(-1).float().mean())


def _loss(run: Run, tokenizer: Any) -> Tensor:
    clips = [sample_clip(run.rng) for _ in range(BATCH)]
    texts = [training_text(clip, run.rng, shown=run.rng.random() < 0.5) for clip in clips]
    truth = torch.tensor([_answers(clip, text) for clip, text in zip(clips, texts, strict=True)])
    losses = [
        nn.functional.cross_entropy(logits, answer)
        for logits, answer in zip(_read(run, tokenizer, texts), truth.unbind(-1), strict=True)
    ]
    return torch.stack(losses).mean()


def _read(run: Run, tokenizer: Any, texts: list[str]) -> list[Tensor]:
    ids, mask = tokenized(tokenizer, texts)
    tokens = run.modules["text_encoder"](ids, mask).last_hidden_state
    told: list[Tensor] = run.modules["reader"](tokens, mask)
    return told


def _answers(clip: Clip, text: str) -> list[int]:
    """A text about the motion alone says nothing of the background; one that names none means white."""
    thing = clip.first
    bare = not (thing.color in text and thing.shape in text and ("the " not in text or "background" in text))
    bare = bare or f"the {thing.color} {thing.shape}" in text
    return [
        0 if bare else 1 + COLORS.index(clip.background),
        1 + COLORS.index(thing.color) if thing.color in text else 0,
        1 + SHAPES.index(thing.shape) if thing.shape in text else 0,
        0 if bare else 1 + SIZES.index(thing.size),
        1 + MOTIONS.index(clip.motion) if text else 0,
    ]
