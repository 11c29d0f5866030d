"""Small pictures of what a run under way is going to make: the model's own decoder on a coarse grid."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image

from deployments.frames import to_rgb
from deployments.preview_pace import Pace
from deployments.recipe import Recipe

logger = logging.getLogger(__name__)

CELLS = 32 * 32
"""Of a latent frame that are decoded, at most: a larger one is averaged. FLUX.1's decoder makes 256 x 256
pixels of so many."""

LONGEST = 256
"""Pixels of a preview's longer side, at most."""


class Previews:
    """Makes previews of the runs of one loaded model. Its pipeline must have all weights on one device."""

    def __init__(self, pipe: Any, recipe: Recipe, pace: Pace | None = None) -> None:
        self.pipe = pipe
        self.recipe = recipe
        self.pace = pace or Pace()
        #: One of the run's previews could not be made: there are no more.
        self.failed = False

    def begin(self) -> None:
        """A run begins."""
        self.failed = False
        self.pace.begin()

    def of_call(self, arguments: Mapping[str, Any]) -> CallPreviews:
        """Those of one call of the pipeline with these arguments."""
        return CallPreviews(self, arguments)

    def give_up(self, error: Exception) -> None:
        self.failed = True
        logger.warning("no previews of this run: %s", error, exc_info=error)


class CallPreviews:
    """Watches the latents of one call. Keeps those of the last step, which tell where the flow goes."""

    def __init__(self, previews: Previews, arguments: Mapping[str, Any]) -> None:
        self._previews = previews
        self._arguments = arguments
        self._before: torch.Tensor | None = None

    def after(self, index: int, latents: torch.Tensor, places: Sequence[int]) -> tuple[bytes, ...]:
        """WebP previews of the samples at `places`, or none now. Never raises.

        `latents` are those after the step `index`, which counts from 0, as the pipeline holds them.
        """
        before, self._before = self._before, latents
        if before is None or self._is_last(index):
            return ()
        if not places or self._previews.failed or not self._previews.pace.allows(len(places)):
            return ()
        try:
            return self._make(index, latents, before, list(places))
        except Exception as error:
            self._previews.give_up(error)
            return ()

    def _is_last(self, index: int) -> bool:
        """The finished picture follows at once."""
        return index + 1 >= int(self._arguments["num_inference_steps"])

    def _make(
        self, index: int, latents: torch.Tensor, before: torch.Tensor, places: list[int]
    ) -> tuple[bytes, ...]:
        _finish_work_on(latents.device)
        clock = self._previews.pace.clock
        started = clock()
        with torch.no_grad(), _untouched_chance(latents.device):
            finished = self._finished(index, latents, before, places)
            grid = self._previews.recipe.grid(self._previews.pipe, finished, self._arguments)
            pictures = self._previews.recipe.decode_grid(self._previews.pipe, coarse(grid))
        previews = tuple(map(_webp, (pictures.float() / 2 + 0.5).nan_to_num()))
        self._previews.pace.spent(clock() - started, len(places))
        return previews

    def _finished(
        self, index: int, latents: torch.Tensor, before: torch.Tensor, places: list[int]
    ) -> torch.Tensor:
        """What the latents are going to be, as float32. UniPC keeps the model's last estimate of it."""
        scheduler = self._previews.pipe.scheduler
        if getattr(scheduler, "predict_x0", False):
            estimate: torch.Tensor = scheduler.model_outputs[-1][places]
            return estimate.float()
        sigma, sigma_before = float(scheduler.sigmas[index + 1]), float(scheduler.sigmas[index])
        return foreseen(latents[places].float(), before[places].float(), sigma, sigma_before)


def foreseen(latents: torch.Tensor, before: torch.Tensor, sigma: float, sigma_before: float) -> torch.Tensor:
    """The finished latents to which the flow leads that went from `before` to `latents`.

    A rectified flow has x(sigma) = (1 - sigma) * data + sigma * noise, whose slope is noise - data (Liu et
    al. 2022, arXiv 2209.03003). Between two steps of Euler's method the slope is the model's own estimate.
    """
    slope = (latents - before) / (sigma - sigma_before)
    return latents - sigma * slope


def coarse(grid: torch.Tensor) -> torch.Tensor:
    """Latents (N, C, h, w), averaged down to at most CELLS cells in the same shape."""
    height, width = grid.shape[-2:]
    factor = math.sqrt(height * width / CELLS)
    if factor <= 1:
        return grid
    size = (max(1, int(height / factor)), max(1, int(width / factor)))
    return torch.nn.functional.adaptive_avg_pool2d(grid, size)


def _webp(picture: torch.Tensor) -> bytes:
    """A picture (3, H, W), 0 to 1, LONGEST at most."""
    image = Image.fromarray(to_rgb(picture))
    image.thumbnail((LONGEST, LONGEST))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def _finish_work_on(device: torch.device) -> None:
    """Kernels that are still under way would be counted as the preview's own time."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def _untouched_chance(device: torch.device) -> Iterator[None]:
    """Some decoders draw noise: the run's own must not be other because of it."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
