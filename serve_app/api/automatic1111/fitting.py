"""Settings meant for Stable Diffusion 1.5, fitted to the limits of the model that is going to run.

Clients of this API send 512x512, 20 steps and a scale of 7 to whatever model there is, and the people who
use them cannot change all of it. So what a model cannot do becomes the nearest that it can, and the reply
says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from configs.models import IntRange, Limits, ModelSpec
from serve_app.api.automatic1111.schemas import Txt2Img


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjustment:
    """One value that had to change."""

    name: str
    asked: float
    used: float

    def __str__(self) -> str:
        return f"{self.name} {self.asked:g} to {self.used:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """What the model can do of what was asked. None: its default."""

    width: int | None
    height: int | None
    steps: int | None
    guidance: float | None

    def adjustments(self, asked: Txt2Img) -> tuple[Adjustment, ...]:
        pairs = {
            "width": (asked.width, self.width),
            "height": (asked.height, self.height),
            "steps": (asked.steps, self.steps),
            "cfg_scale": (asked.cfg_scale, self.guidance),
        }
        return tuple(
            Adjustment(name=name, asked=wanted, used=used)
            for name, (wanted, used) in pairs.items()
            if wanted is not None and used is not None and wanted != used
        )


def fit(spec: ModelSpec, asked: Txt2Img) -> Fitted:
    limits = spec.limits
    width, height = asked.width, asked.height
    if width is not None or height is not None:
        width, height = fitting_size(limits, width or limits.width.default, height or limits.height.default)
    guidance = limits.guidance
    return Fitted(
        width=width,
        height=height,
        steps=None if asked.steps is None else limits.steps.nearest(asked.steps),
        guidance=None if asked.cfg_scale is None else min(max(asked.cfg_scale, guidance.min), guidance.max),
    )


def fitting_size(limits: Limits, width: int, height: int) -> tuple[int, int]:
    """The nearest size that is allowed, of the same shape as far as the limits and the grid let it."""
    scale = max(1.0, limits.width.min / width, limits.height.min / height)
    area = width * height * scale**2
    scale *= min(
        1.0,
        limits.width.max / (width * scale),
        limits.height.max / (height * scale),
        math.sqrt(limits.max_pixels / area),
    )
    wide, high = limits.width.nearest(round(width * scale)), limits.height.nearest(round(height * scale))
    if wide * high > limits.max_pixels:  # by rounding, or because a side can become no smaller
        wide = _at_most(limits.width, min(wide, width * scale))
        high = _at_most(limits.height, min(high, limits.max_pixels / wide))
        wide = _at_most(limits.width, min(wide, limits.max_pixels / high))
    return wide, high


def _at_most(limit: IntRange, value: float) -> int:
    """The largest allowed value up to `value`; the smallest allowed one if there is none."""
    grid = limit.offset + math.floor((value - limit.offset) / limit.multiple) * limit.multiple
    return limit.nearest(grid)
