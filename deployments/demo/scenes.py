"""Procedural scenes: one or two coloured shapes on a plain background, sampled from a seed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

Color = Literal["red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan", "white", "black"]
Shape = Literal["circle", "square", "triangle", "star"]
Size = Literal["small", "medium", "large"]
Place = Literal[
    "center",
    "left",
    "right",
    "top",
    "bottom",
    "top left",
    "top right",
    "bottom left",
    "bottom right",
]
Relation = Literal["left of", "right of", "above", "below"]
Split = Literal["train", "test"]

COLORS: tuple[Color, ...] = get_args(Color)
SHAPES: tuple[Shape, ...] = get_args(Shape)
SIZES: tuple[Size, ...] = get_args(Size)
PLACES: tuple[Place, ...] = get_args(Place)
RELATIONS: tuple[Relation, ...] = get_args(Relation)

PALETTE: dict[Color, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (245, 220, 50),
    "orange": (245, 140, 30),
    "purple": (130, 50, 180),
    "pink": (250, 150, 200),
    "cyan": (60, 205, 220),
    "white": (250, 250, 250),
    "black": (20, 20, 20),
}
RADIUS: dict[Size, float] = {"small": 0.13, "medium": 0.21, "large": 0.31}
PAIR_RADIUS: dict[Size, float] = {"small": 0.11, "medium": 0.165, "large": 0.215}
"""Smaller than alone, so that two things never touch."""

LOW, MIDDLE, HIGH = 0.27, 0.5, 0.73
CENTERS: dict[Place, tuple[float, float]] = {
    "center": (MIDDLE, MIDDLE),
    "left": (LOW, MIDDLE),
    "right": (HIGH, MIDDLE),
    "top": (MIDDLE, LOW),
    "bottom": (MIDDLE, HIGH),
    "top left": (LOW, LOW),
    "top right": (HIGH, LOW),
    "bottom left": (LOW, HIGH),
    "bottom right": (HIGH, HIGH),
}
PAIRS: dict[Relation, tuple[Place, Place]] = {
    "left of": ("left", "right"),
    "right of": ("right", "left"),
    "above": ("top", "bottom"),
    "below": ("bottom", "top"),
}
JITTER = 0.03
LARGEST_AT_PLACE = 0.25
TEST_PERCENT = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One shape. `x`, `y` (its centre) and `radius` are fractions of the picture's side."""

    shape: Shape
    color: Color
    size: Size
    x: float
    y: float
    radius: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One thing at a place, or two things where the first stands in `relation` to the second."""

    background: Color
    things: tuple[Thing, ...]
    place: Place | None = None
    relation: Relation | None = None

    @property
    def key(self) -> str:
        """The combination that a split keeps or withholds; place, sizes and jitter play no part in it."""
        names = [f"{thing.color} {thing.shape}" for thing in self.things]
        return " ".join([*names, self.relation or f"on {self.background}"])


def center_of(place: Place, radius: float) -> tuple[float, float]:
    """Where a thing of that place and radius has its middle: large ones keep further from the border."""
    x, y = CENTERS[place]
    pull = 0.6 if radius > LARGEST_AT_PLACE else 1.0
    return MIDDLE + (x - MIDDLE) * pull, MIDDLE + (y - MIDDLE) * pull


def split_of(scene: Scene) -> Split:
    """Which split a scene belongs to: a fixed 12 % of the combinations never appear in training."""
    return "test" if zlib.crc32(scene.key.encode()) % 100 < TEST_PERCENT else "train"


def sample_scene(rng: Random, split: Split = "train", pair_share: float = 0.4) -> Scene:
    """A random scene of the split; `pair_share` of the draws have two things."""
    while True:
        scene = _pair(rng) if rng.random() < pair_share else _single(rng)
        if split_of(scene) == split:
            return scene


def _single(rng: Random) -> Scene:
    color, background = rng.sample(COLORS, 2)
    size = rng.choice(SIZES)
    place = "center" if rng.random() < 0.4 else rng.choice(PLACES)
    thing = _thing(rng, color, size, place, RADIUS)
    return Scene(background=background, things=(thing,), place=place)


def _pair(rng: Random) -> Scene:
    first, second, background = rng.sample(COLORS, 3)
    relation = rng.choice(RELATIONS)
    things = tuple(
        _thing(rng, color, rng.choice(("small", "medium", "medium", "large")), place, PAIR_RADIUS)
        for color, place in zip((first, second), PAIRS[relation], strict=True)
    )
    return Scene(background=background, things=things, relation=relation)


def _thing(rng: Random, color: Color, size: Size, place: Place, radius: dict[Size, float]) -> Thing:
    x, y = center_of(place, radius[size])
    return Thing(
        shape=rng.choice(SHAPES),
        color=color,
        size=size,
        x=x + rng.uniform(-JITTER, JITTER),
        y=y + rng.uniform(-JITTER, JITTER),
        radius=radius[size] * rng.uniform(0.93, 1.07),
    )
