"""Procedural clips: one coloured shape that moves, grows or shrinks on a plain background."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deployments.demo.drawing import render
from deployments.demo.scenes import COLORS, SHAPES, TEST_PERCENT, Color, Scene, Shape, Size, Split, Thing

Motion = Literal["left", "right", "up", "down", "growing", "shrinking", "still"]
MOTIONS: tuple[Motion, ...] = get_args(Motion)
FRAMES = 17
SIZE = 64

DIRECTIONS: dict[Motion, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
GROWTH = 1.6
SCALES: dict[Motion, float] = {"growing": GROWTH, "shrinking": 1 / GROWTH}
"""How many times its first size the thing has in the last frame."""
RADII: dict[Size, float] = {"small": 0.17, "medium": 0.22, "large": 0.28}
GROWING_RADII: dict[Size, float] = {"small": 0.16, "medium": 0.2}
SHRINKING_RADII: dict[Size, float] = {
    "medium": GROWING_RADII["small"] * GROWTH,
    "large": GROWING_RADII["medium"] * GROWTH,
}
TRAVEL = 0.25
"""A pixel a frame, so that latents repeat after some frames, a step further on."""
MIDDLES = (-0.125, 0.125)
"""Where the thing may be halfway through the clip, from the middle, either way: sixteen pixels apart."""
SPREAD = 0.15
"""How far it may be there, either way, if it may be anywhere."""
STILL_SHARE = 0.06
LEARNED_SHAPES: tuple[Shape, ...] = (*SHAPES, "star", "star", "square")
"""As often as training sees each: points and corners take longest to learn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Where the thing is in the first and in the last frame; between them it goes evenly."""

    background: Color
    motion: Motion
    first: Thing
    last: Thing

    @property
    def key(self) -> str:
        """The combination that a split keeps or withholds."""
        return f"{self.first.color} {self.first.shape} on {self.background} {self.motion}"

    def scene(self, progress: float) -> Scene:
        """The frame at `progress` of 0 (first) to 1 (last)."""
        x, y, radius = (
            (1 - progress) * getattr(self.first, name) + progress * getattr(self.last, name)
            for name in ("x", "y", "radius")
        )
        thing = Thing(
            shape=self.first.shape, color=self.first.color, size=self.first.size, x=x, y=y, radius=radius
        )
        return Scene(background=self.background, things=(thing,), place="center")


def frames_of(clip: Clip, count: int = FRAMES, size: int = SIZE) -> NDArray[np.uint8]:
    """The rendered clip, [count, size, size, 3]."""
    return np.stack([np.asarray(render(clip.scene(k / (count - 1)), size)) for k in range(count)])


def split_of(clip: Clip) -> Split:
    """Which split a clip belongs to: a fixed 12 % of the combinations never appear in training."""
    return "test" if zlib.crc32(clip.key.encode()) % 100 < TEST_PERCENT else "train"


def sample_clip(
    rng: Random,
    split: Split = "train",
    *,
    motions: tuple[Motion, ...] = MOTIONS,
    shapes: tuple[Shape, ...] = SHAPES,
    anywhere: bool = False,
) -> Clip:
    """A random clip of the split. Few stand still where `motions` has others: there is nothing to learn.

    Sizes are a few and places a grid, which is what a model without a first frame learns to make, unless
    the thing may be `anywhere`, as in the pictures that people set in motion.
    """
    while True:
        motion = rng.choice(motions)
        if motion == "still" and len(motions) > 1 and rng.random() > STILL_SHARE * len(motions):
            continue
        clip = _clip(rng, motion, rng.choice(shapes), anywhere)
        if split_of(clip) == split:
            return clip


def learned_clip(rng: Random, index: int) -> Clip:
    """What training draws from; of each two clips, the one with an odd `index` may be anywhere."""
    return sample_clip(rng, shapes=LEARNED_SHAPES, anywhere=index % 2 == 1)


def _clip(rng: Random, motion: Motion, shape: Shape, anywhere: bool) -> Clip:
    color, background = rng.sample(COLORS, 2)
    radii = {"growing": GROWING_RADII, "shrinking": SHRINKING_RADII}.get(motion, RADII)
    size = rng.choice(tuple(radii))
    radius = radii[size] * (rng.uniform(0.93, 1.07) if anywhere else 1.0)
    x, y = (0.5 + (rng.uniform(-SPREAD, SPREAD) if anywhere else rng.choice(MIDDLES)) for _ in range(2))
    dx, dy = (TRAVEL / 2 * step for step in DIRECTIONS.get(motion, (0, 0)))
    scale = SCALES.get(motion, 1.0)
    first = Thing(shape=shape, color=color, size=size, x=x - dx, y=y - dy, radius=radius)
    last = Thing(shape=shape, color=color, size=size, x=x + dx, y=y + dy, radius=radius * scale)
    return Clip(background=background, motion=motion, first=first, last=last)
