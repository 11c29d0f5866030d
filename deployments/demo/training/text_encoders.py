"""Teaching the demo text encoders what is where, before any picture: minutes, where pictures take hours.

Each cell of a grid asks the T5's tokens once which colour and shape it has; CLIP's pooled vector has to
tell the same in a list. What a prompt binds together is then in the tokens that a transformer reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, T5EncoderModel

from deployments.demo.captions import bare_pair, caption, wording
from deployments.demo.scenes import CENTERS, COLORS, SHAPES, SIZES, Scene, Thing, sample_scene
from deployments.demo.texts import (
    CLIP_WIDTH,
    T5_WIDTH,
    clip_encoder,
    share_rows_between_spellings,
    t5_encoder,
)
from deployments.demo.tokenizers import clip_tokenizer, t5_tokenizer
from deployments.demo.training.run import Run

BATCH = 64
LAYERS = 3
GRID = 8
KINDS = 1 + len(SHAPES) * len(SIZES)
"""Of a cell or a slot: nothing there, or a shape of a size."""
PLAIN = 0.3
NO_CAPTION = 0.08
"""Share of empty captions, so that classifier-free guidance has something to guide away from."""
NO_RELATION = 0.04
TOKENS, TOKEN_SHARES = (24, 32, 77), (50, 45, 5)
"""Lengths of the T5 text; half of the captions have 14 tokens or fewer."""
PAIR_SHARE = 0.6
SLOPE = 0.5
"""By which each token of distance counts less, at first, to the heads that look to one side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """Both tokenizers with their encoders, as FLUX and SD 3.5 use them."""

    clip_tokenizer: Any
    t5_tokenizer: Any
    clip: Any
    t5: Any

    def pooled(self, prompts: list[str]) -> Tensor:
        """CLIP's vector of each prompt, [prompts, CLIP_WIDTH]."""
        output: Tensor = self.clip(self._clip_ids(prompts)).pooler_output
        return output

    def tokens(self, prompts: list[str], length: int) -> Tensor:
        """The T5's vectors, [prompts, length, T5_WIDTH]; padding is read like any token, as in FLUX."""
        ids = self.t5_tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        output: Tensor = self.t5(ids)[0]
        return output

    def clip_tokens(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """As SD 3.5 reads CLIP: vectors of the last layer but one at its full length, and the pooled one."""
        output = self.clip(self._clip_ids(prompts, "max_length"), output_hidden_states=True)
        return output.hidden_states[-2], output.pooler_output

    def _clip_ids(self, prompts: list[str], padding: str = "longest") -> Tensor:
        ids: Tensor = self.clip_tokenizer(
            prompts, padding=padding, truncation=True, return_tensors="pt"
        ).input_ids
        return ids


class GridReader(nn.Module):
    """One look from every cell at the tokens: its colour, and the kind of what covers it."""

    def __init__(self) -> None:
        super().__init__()
        self.cells_embedding = nn.Parameter(0.5 * torch.randn(GRID * GRID, T5_WIDTH))
        self.look = nn.MultiheadAttention(T5_WIDTH, 4, batch_first=True)
        self.think = nn.Sequential(
            nn.LayerNorm(T5_WIDTH),
            nn.Linear(T5_WIDTH, 2 * T5_WIDTH),
            nn.GELU(),
            nn.Linear(2 * T5_WIDTH, T5_WIDTH),
        )
        self.tell = nn.Linear(T5_WIDTH, len(COLORS) + KINDS)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        queries = self.cells_embedding.expand(len(tokens), -1, -1)
        seen = self.look(queries, tokens, tokens, need_weights=False)[0]
        told: Tensor = self.tell(seen + self.think(seen))
        return list(torch.split(told, [len(COLORS), KINDS], dim=-1))


class ListReader(nn.Module):
    """The background, then colour, kind and place of two slots, of one pooled vector."""

    SIZES = (len(COLORS), *(len(COLORS) + 1, KINDS, len(CENTERS) + 1) * 2)

    def __init__(self) -> None:
        super().__init__()
        self.tell = nn.Linear(CLIP_WIDTH, sum(self.SIZES))

    def forward(self, pooled: Tensor) -> list[Tensor]:
        return list(torch.split(self.tell(pooled), list(self.SIZES), dim=-1))


def trained_texts(folder: Path, minutes: float, seed: int = 0) -> Texts:
    """Train the text encoders in `folder`, or finish training them; once finished they stay as they are."""
    clip_tokens, t5_tokens = clip_tokenizer(), t5_tokenizer()
    finished = folder / "clip", folder / "t5"
    if all(path.exists() for path in finished):
        clip = CLIPTextModel.from_pretrained(finished[0]).eval().requires_grad_(False)
        t5 = T5EncoderModel.from_pretrained(finished[1]).eval().requires_grad_(False)
        return Texts(clip_tokenizer=clip_tokens, t5_tokenizer=t5_tokens, clip=clip, t5=t5)
    torch.manual_seed(seed)
    clip, t5 = clip_encoder(clip_tokens), t5_encoder(t5_tokens, layers=LAYERS)
    _look_to_the_sides(t5)
    texts = Texts(clip_tokenizer=clip_tokens, t5_tokenizer=t5_tokens, clip=clip, t5=t5)
    modules = nn.ModuleDict({"clip": clip, "t5": t5, "grid": GridReader(), "list": ListReader()})
    run = Run(modules, folder / "texts.pt", minutes=minutes, learning_rate=2e-3, seed=seed, decay=0.998)
    run.train(lambda: _loss(run, texts), lambda: f"{bound(run, texts):.0%} of held-out things bound")
    run.settle()
    share_rows_between_spellings(t5, t5_tokens)
    for encoder, path in zip((clip, t5), finished, strict=True):
        encoder.eval().requires_grad_(False).save_pretrained(path)
    return texts


def training_text(scene: Scene, rng: Random) -> str:
    """What a training scene is called: mostly one of many wordings, sometimes nothing."""
    if rng.random() < NO_CAPTION:
        return ""
    if scene.relation is not None and rng.random() < NO_RELATION:
        return bare_pair(scene, rng)
    return caption(scene) if rng.random() < PLAIN else wording(scene, rng)


def text_length(rng: Random) -> int:
    """How many T5 tokens the next batch has."""
    (tokens,) = rng.choices(TOKENS, TOKEN_SHARES)
    return tokens


@torch.no_grad()
def bound(run: Run, texts: Texts) -> float:
    """Share of held-out things whose cell has their colour and shape, after their wordings."""
    rng = Random(1)
    scenes = [sample_scene(rng, "test", PAIR_SHARE) for _ in range(256)]
    with run.averaged():
        tokens = texts.tokens([wording(scene, rng) for scene in scenes], TOKENS[0])
        colors, kinds = (told.argmax(-1) for told in run.modules["grid"](tokens))
    hits = [
        _is_bound(thing, int(colors[index, _cell(thing)]), int(kinds[index, _cell(thing)]))
        for index, scene in enumerate(scenes)
        for thing in scene.things
    ]
    return sum(hits) / len(hits)


@torch.no_grad()
def _look_to_the_sides(t5: Any) -> None:
    """The first head begins by reading what is before a word, the second what is after, the third both.

    Otherwise `A left of B` and `B left of A` look alike for thousands of steps. The T5's buckets of
    distance: 0 to 15 before, 16 to 31 after, one a token up to 7.
    """
    table = t5.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    distance = torch.arange(16.0)
    near, far = -SLOPE * distance, torch.full((16,), -4.0)
    table[:, 0] = torch.cat([near, far])
    table[:, 1] = torch.cat([far, near])
    table[:, 2] = torch.cat([near, near])


def _loss(run: Run, texts: Texts) -> Tensor:
    scenes = [sample_scene(run.rng, pair_share=PAIR_SHARE) for _ in range(BATCH)]
    prompts = [training_text(scene, run.rng) for scene in scenes]
    told = run.modules["grid"](texts.tokens(prompts, text_length(run.rng)))
    told += run.modules["list"](texts.pooled(prompts))
    truths = [*cells(scenes), *_slots(scenes)]
    losses = [
        nn.functional.cross_entropy(logits.flatten(0, -2), truth.flatten())
        for logits, truth in zip(told, truths, strict=True)
    ]
    return 4 * (losses[0] + losses[1]) + torch.stack(losses[2:]).mean()


def cells(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Colour and kind of each cell's middle, [scenes, cells]; shapes count as discs."""
    middles = (torch.arange(GRID) + 0.5) / GRID
    y, x = torch.meshgrid(middles, middles, indexing="ij")
    colors = torch.stack([torch.full((GRID * GRID,), COLORS.index(scene.background)) for scene in scenes])
    kinds = torch.zeros_like(colors)
    for index, scene in enumerate(scenes):
        for thing in scene.things:
            inside = ((x - thing.x) ** 2 + (y - thing.y) ** 2 < thing.radius**2).flatten()
            colors[index, inside], kinds[index, inside] = COLORS.index(thing.color), _kind(thing)
    return colors, kinds


def _slots(scenes: list[Scene]) -> list[Tensor]:
    """The list of `ListReader`; the thing further left or up comes first."""
    rows = []
    for scene in scenes:
        row = [COLORS.index(scene.background)]
        for thing in sorted(scene.things, key=lambda thing: thing.x + thing.y):
            row += [1 + COLORS.index(thing.color), _kind(thing), 1 + _place(thing)]
        rows.append(row + [0] * (len(ListReader.SIZES) - len(row)))
    return list(torch.tensor(rows).unbind(-1))


def _is_bound(thing: Thing, color: int, kind: int) -> bool:
    return COLORS[color] == thing.color and kind > 0 and SHAPES[(kind - 1) // len(SIZES)] == thing.shape


def _cell(thing: Thing) -> int:
    return int(thing.y * GRID) * GRID + int(thing.x * GRID)


def _kind(thing: Thing) -> int:
    return 1 + SHAPES.index(thing.shape) * len(SIZES) + SIZES.index(thing.size)


def _place(thing: Thing) -> int:
    distances = [(thing.x - x) ** 2 + (thing.y - y) ** 2 for x, y in CENTERS.values()]
    return distances.index(min(distances))
