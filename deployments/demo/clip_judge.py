"""Does a clip show what it should? Measured in pixels, frame by frame, with no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from deployments.demo.clips import DIRECTIONS, Clip, Motion
from deployments.demo.judge import Blob, background_color, find_blob, is_present, nearest, without_rims
from deployments.demo.scenes import COLORS, Color

TRAVELLED = 0.15
"""Of the side, between the first and the last frame: three fifths of what training clips travel."""
STRAIGHT = 0.5
"""At most this much across, for each step along."""
SCALED = 1.25
"""The thing's width in the last frame against the first."""
RESTING = 0.07, 1.2
JUMP = 0.09
"""Of the side, from one frame to the next: nearly six times an even step."""
PULSE = 1.35
"""The thing's area from one frame to the next; an even step of growing is 1.08 at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipVerdict:
    """What of the clip is right."""

    background: bool
    """In the first, the middle and the last frame."""
    color: bool
    """The thing's, in the first, the middle and the last frame."""
    motion: bool
    shape: bool
    """In the first, the middle and the last frame."""
    smooth: bool
    """In every frame, and never jumps from one to the next."""
    clean: bool
    """No blob of a colour that the clip does not have, in any frame."""

    @property
    def all(self) -> bool:
        return all(asdict(self).values())


def judge_clip(frames: Sequence[Image.Image], clip: Clip) -> ClipVerdict:
    """Compare some 17 square RGB frames of any size with the clip that was asked for."""
    pixels = [np.asarray(frame.convert("RGB"), np.float32) for frame in frames]
    three = [pixels[0], pixels[len(pixels) // 2], pixels[-1]]
    blobs = [blob_of(frame, clip.first.color, clip.background) for frame in pixels]
    first, middle, last = blobs[0], blobs[len(blobs) // 2], blobs[-1]
    shown = [blob for blob in (first, middle, last) if blob is not None]
    return ClipVerdict(
        background=all(background_color(nearest(frame, COLORS)) == clip.background for frame in three),
        color=len(shown) == 3,
        motion=first is not None and last is not None and motion_between(first, last) == clip.motion,
        shape=len(shown) == 3 and all(blob.shape == clip.first.shape for blob in shown),
        smooth=is_smooth(blobs),
        clean=not any(_strays(frame, clip) for frame in pixels),
    )


def blob_of(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]], color: Color, ground: Color
) -> Blob | None:
    """Where the thing of that colour is, if it is there."""
    if not is_present(nearest(pixels, COLORS) == COLORS.index(color)):
        return None
    mask = without_rims(nearest(pixels, (ground, color)) == 1)
    return find_blob(mask) if mask.any() else None


def motion_between(first: Blob, last: Blob) -> Motion | None:
    """What became of the thing; None if it is none of the motions."""
    dx, dy = last.x - first.x, last.y - first.y
    scale = math.sqrt(last.area / first.area)
    for motion, (right, down) in DIRECTIONS.items():
        along, across = dx * right + dy * down, abs(dx * down) + abs(dy * right)
        if along > TRAVELLED and across < STRAIGHT * along:
            return motion
    if scale > SCALED:
        return "growing"
    if scale < 1 / SCALED:
        return "shrinking"
    distance, change = RESTING
    return "still" if math.hypot(dx, dy) < distance and 1 / change < scale < change else None


def is_smooth(blobs: Sequence[Blob | None]) -> bool:
    """Whether the thing is in every frame and goes evenly."""
    present = [blob for blob in blobs if blob is not None]
    return len(present) == len(blobs) and all(
        math.hypot(after.x - before.x, after.y - before.y) < JUMP
        and 1 / PULSE < after.area / before.area < PULSE
        for before, after in pairwise(present)
    )


def psnr(frame: Image.Image, source: Image.Image) -> float:
    """How near a frame is to its source picture, in dB."""
    one, other = (np.asarray(image.convert("RGB"), np.float32) / 255 for image in (frame, source))
    return -10 * math.log10(max(1e-10, float(np.square(one - other).mean())))


def _strays(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]], clip: Clip) -> bool:
    own = (clip.background, clip.first.color)
    labels = nearest(pixels, COLORS)
    return any(is_present(labels == k) for k, color in enumerate(COLORS) if color not in own)
