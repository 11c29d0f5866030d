"""Teaching a transformer where its tokens are, before it sees any clip.

Rotations tell tokens where they are only to each other. From pure noise a transformer can still find out
where each token is, for at an edge, or in the first frame, something that it looks for is missing. But the
flow alone did not teach it that in 35 minutes, and who cannot tell before from after cannot tell left from
right. Asked for it, two blocks know the places of 98 % of the tokens after 200 steps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.training.run import Run

MINUTES = 2.6
"""Of which compiling takes 0.7."""
BLOCKS = 2
"""So many blocks find out, the others use it."""
NOISY = 0.7
"""Asked above this noise level only: below it, one token of a plain background is like the next."""


class Places(nn.Module):
    """Reads frame, row and column of each token from what the first blocks leave. Only training needs it."""

    def __init__(self, blocks: Any, width: int, latents: tuple[int, ...], patch: int = 1) -> None:
        """Of `latents`, frames, rows and columns, a token covers `patch` rows and columns."""
        super().__init__()
        frames, rows, columns = latents
        self.latents, self.grid = latents, (frames, rows // patch, columns // patch)
        self.tell_embedding = nn.Linear(width, sum(self.grid))
        self._left: list[Tensor] = []
        blocks[BLOCKS - 1].register_forward_hook(self._see)

    def loss(self, asked: Tensor) -> Tensor:
        """Of the transformer's latest run: the three answers' cross-entropy, a mean over the clips `asked`.

        That is a mask, [clips].
        """
        answers = self.tell_embedding(self._left.pop().float()[asked])
        axes = torch.meshgrid(*(torch.arange(length) for length in self.grid), indexing="ij")
        losses = [
            nn.functional.cross_entropy(logits.mT, axis.flatten().expand(len(answers), -1), reduction="sum")
            for logits, axis in zip(answers.split(self.grid, -1), axes, strict=True)
        ]
        loss: Tensor = torch.stack(losses).sum() / max(1, answers[..., 0].numel())
        return loss

    def _see(self, block: Any, given: Any, left: Tensor) -> None:
        self._left.append(left)


def teach_places(
    places: Places,
    transformer: Any,
    predict: Callable[..., Tensor],
    texts: tuple[Tensor, Tensor],
    state: Path,
    seed: int,
) -> None:
    """Teach the first blocks of `transformer`, or finish teaching them; `state` keeps them.

    `predict` runs it; of the `texts`, token ids and their mask, there is one for each clip of a batch.
    """
    run = Run(
        nn.ModuleDict({"transformer": transformer, "places": places}),
        state,
        minutes=MINUTES,
        learning_rate=2e-3,
        seed=seed,
        decay=0.99,
    )
    shape = len(texts[0]), transformer.config.in_channels, *places.latents

    def loss() -> Tensor:
        predict(torch.randn(shape), torch.ones(shape[0], shape[2]), *texts)
        return places.loss(torch.ones(shape[0], dtype=torch.bool))

    run.train(loss, lambda: "where tokens are")
    run.settle()
