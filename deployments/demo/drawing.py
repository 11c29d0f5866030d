"""The renderer: a scene becomes an antialiased picture."""

from __future__ import annotations

import math
from typing import Literal

from PIL import Image, ImageDraw

from deployments.demo.scenes import PALETTE, Scene, Shape

Point = tuple[float, float]
Style = Literal["filled", "outlined"]
SUPERSAMPLING = 4
LINE = 0.05
"""Width of an outline as a fraction of the side; its middle is the edge of the filled shape."""


def render(scene: Scene, size: int = 128, style: Style = "filled") -> Image.Image:
    """The scene as an RGB picture of `size` x `size` pixels."""
    side = size * SUPERSAMPLING
    image = Image.new("RGB", (side, side), PALETTE[scene.background])
    draw = ImageDraw.Draw(image)
    for thing in scene.things:
        corners = [(x * side, y * side) for x, y in outline(thing.shape, thing.x, thing.y, thing.radius)]
        color = PALETTE[thing.color]
        if style == "filled":
            draw.polygon(corners, fill=color)
        else:
            draw.line([*corners, *corners[:2]], color, round(LINE * side), joint="curve")
    return image.resize((size, size), Image.Resampling.BOX)


def outline(shape: Shape, x: float, y: float, radius: float) -> list[Point]:
    """Corners of the shape around (x, y); the four shapes of one radius look equally large."""
    match shape:
        case "circle":
            return _ring(x, y, [radius] * 64)
        case "square":
            half = radius * 0.886
            return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
        case "triangle":
            half, up, down = radius * 1.09, radius * 1.15, radius * 0.86
            return [(x, y - up), (x + half, y + down), (x - half, y + down)]
        case "star":
            return _ring(x, y, [radius * 1.25, radius * 0.56] * 5)


def _ring(x: float, y: float, radii: list[float]) -> list[Point]:
    turn = 2 * math.pi / len(radii)
    return [(x + r * math.sin(i * turn), y - r * math.cos(i * turn)) for i, r in enumerate(radii)]
