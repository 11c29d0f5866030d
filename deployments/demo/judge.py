"""Does a picture show its scene? Measured in pixels, with no model: palette colours, outlines, places."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deployments.demo.drawing import LINE, Style, outline
from deployments.demo.scenes import (
    COLORS,
    PAIR_RADIUS,
    PALETTE,
    RADIUS,
    SHAPES,
    SIZES,
    Color,
    Relation,
    Scene,
    Shape,
    Size,
    Thing,
    center_of,
)

Mask = NDArray[np.bool_]
Labels = NDArray[np.intp]

AREAS: dict[Shape, float] = {"circle": math.pi, "square": 3.14, "triangle": 2.19, "star": 2.06}
"""Area of each outline of radius 1."""
TRIANGLE_DROP = 0.19
"""How far below the middle of its outline the centroid of a triangle of radius 1 lies."""
FOUND_SHARE = 0.004
STRAY_SHARE = 0.008
PLACE_TOLERANCE = 0.13
RELATION_DISTANCE = 0.15

HOLLOW_SHARE = 0.03
"""An outlined thing has at least this much more area when its inside is filled."""

_PALETTE = np.array([PALETTE[color] for color in COLORS], np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What of the scene is right. `place` is the relation where there are two things."""

    background: bool
    colors: bool
    place: bool
    shapes: bool
    sizes: bool
    clean: bool
    """No blob of a colour that the scene does not have."""

    @property
    def all(self) -> bool:
        return all(asdict(self).values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """Where a thing's colour is: centroid and area as fractions of the side and of the picture."""

    x: float
    y: float
    area: float
    shape: Shape
    radius: float


def judge(image: Image.Image, scene: Scene, style: Style = "filled") -> Verdict:
    """Compare a square RGB picture of any size with its scene, painted in that style."""
    pixels = np.asarray(image.convert("RGB"), np.float32)
    labels = nearest(pixels, COLORS)
    background = background_color(labels) == scene.background
    own = (scene.background, *(thing.color for thing in scene.things))
    owned = nearest(pixels, own)
    masks = [
        without_rims(owned == index)
        for index, thing in enumerate(scene.things, start=1)
        if is_present(labels == COLORS.index(thing.color))
    ]
    rim = LINE / 2 if style == "outlined" else 0.0
    drawn = style == "filled" or all(_is_hollow(mask) for mask in masks)
    found = [find_blob(mask if style == "filled" else filled(mask)) for mask in masks]
    complete = len(found) == len(scene.things)
    pairs = list(zip(found, scene.things, strict=True)) if complete else []
    return Verdict(
        background=background,
        colors=complete,
        place=complete and _stands_right(found, scene),
        shapes=complete and drawn and all(blob.shape == thing.shape for blob, thing in pairs),
        sizes=complete and all(_size(blob.radius - rim, len(pairs)) == thing.size for blob, thing in pairs),
        clean=not any(is_present(labels == k, STRAY_SHARE) for k, c in enumerate(COLORS) if c not in own),
    )


def nearest(pixels: NDArray[np.float32], colors: tuple[Color, ...]) -> Labels:
    """Index into `colors` of the closest one, for each pixel of [H, W, 3]."""
    palette = _PALETTE[[COLORS.index(color) for color in colors]]
    labels: Labels = np.square(pixels[:, :, None, :] - palette).sum(-1).argmin(-1)
    return labels


def background_color(labels: Labels) -> Color:
    """The most frequent colour along the border."""
    width = max(1, len(labels) // 16)
    border = np.ones(labels.shape, bool)
    border[width:-width, width:-width] = False
    return COLORS[int(np.bincount(labels[border], minlength=len(COLORS)).argmax())]


def is_present(mask: Mask, share: float = FOUND_SHARE) -> bool:
    """Whether enough is left without the rims: antialiased edges pass through colours of their own."""
    return bool(erode(mask).sum() >= share * mask.size)


def erode(mask: Mask) -> Mask:
    """Without the pixels that have a neighbour outside."""
    wide = np.pad(mask, 1)
    middle = wide[1:-1, 1:-1]
    inner: Mask = middle & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inner


def without_rims(mask: Mask) -> Mask:
    """Without lines up to two pixels thin: the edge of red on white looks pink."""
    return ~erode(~erode(mask)) & mask


def filled(mask: Mask) -> Mask:
    """With everything that the border cannot reach: an outline becomes its shape."""
    canvas = Image.fromarray(np.pad(mask, 1).astype(np.uint8)).copy()
    ImageDraw.floodfill(canvas, (0, 0), 2)
    inside: Mask = (np.asarray(canvas) != 2)[1:-1, 1:-1]
    return inside


def _is_hollow(mask: Mask) -> bool:
    return bool(filled(mask).sum() > (1 + HOLLOW_SHARE) * mask.sum())


def find_blob(mask: Mask) -> Blob:
    """The shape whose outline, of the same area and centroid, covers the mask best."""
    rows, columns = np.nonzero(mask)
    area = float(mask.mean())
    x, y = (float(columns.mean()) + 0.5) / mask.shape[1], (float(rows.mean()) + 0.5) / mask.shape[0]
    shape = max(SHAPES, key=lambda name: _overlap(mask, _template(name, x, y, area, len(mask))))
    return Blob(x=x, y=y, area=area, shape=shape, radius=math.sqrt(area / AREAS[shape]))


def _template(shape: Shape, x: float, y: float, area: float, size: int) -> Mask:
    radius = math.sqrt(area / AREAS[shape])
    middle = y - TRIANGLE_DROP * radius if shape == "triangle" else y
    image = Image.new("1", (size, size))
    corners = [(px * size, py * size) for px, py in outline(shape, x, middle, radius)]
    ImageDraw.Draw(image).polygon(corners, fill=1)
    return np.asarray(image)


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _size(radius: float, things: int) -> Size:
    radii = RADIUS if things == 1 else PAIR_RADIUS
    return min(SIZES, key=lambda size: abs(radii[size] - radius))


def _stands_right(blobs: list[Blob], scene: Scene) -> bool:
    if scene.relation is not None:
        return _holds(scene.relation, *blobs)
    (blob,), (thing,) = blobs, scene.things
    x, y = _expected(scene, thing)
    return abs(blob.x - x) < PLACE_TOLERANCE and abs(blob.y - y) < PLACE_TOLERANCE


def _expected(scene: Scene, thing: Thing) -> tuple[float, float]:
    assert scene.place is not None
    return center_of(scene.place, RADIUS[thing.size])


def _holds(relation: Relation, first: Blob, second: Blob) -> bool:
    match relation:
        case "left of":
            return first.x < second.x - RELATION_DISTANCE
        case "right of":
            return first.x > second.x + RELATION_DISTANCE
        case "above":
            return first.y < second.y - RELATION_DISTANCE
        case "below":
            return first.y > second.y + RELATION_DISTANCE
