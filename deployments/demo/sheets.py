"""A labelled sheet of samples: every picture over its prompt."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw

COLUMNS = 8
CELL = 128
LABEL_LINES = 4
LINE = 11
STRIP_FRAMES = 9
STRIP_CELL = 96


def sheet(pictures: Sequence[Image.Image], labels: Sequence[str], flaws: Sequence[bool]) -> Image.Image:
    """Eight in a row, unscaled up to 128 pixels; the label of a flawed picture is red."""
    rows = -(-len(pictures) // COLUMNS)
    width, height = CELL + 6, CELL + LABEL_LINES * LINE + 6
    page = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    draw = ImageDraw.Draw(page)
    for index, (picture, label, flaw) in enumerate(zip(pictures, labels, flaws, strict=True)):
        x, y = index % COLUMNS * width + 3, index // COLUMNS * height + 3
        page.paste(picture.resize((CELL, CELL), Image.Resampling.NEAREST), (x, y))
        lines = textwrap.wrap(label, 21)[:LABEL_LINES]
        color = "firebrick" if flaw else "black"
        draw.multiline_text((x, y + CELL + 1), "\n".join(lines), fill=color, spacing=1, font_size=10)
    return page


def strips(
    clips: Sequence[Sequence[Image.Image]], labels: Sequence[str], flaws: Sequence[bool]
) -> Image.Image:
    """A clip a row: its prompt over nine of its frames, from the first to the last."""
    width, height = STRIP_CELL + 3, STRIP_CELL + LINE + 8
    page = Image.new("RGB", (STRIP_FRAMES * width, len(clips) * height), "white")
    draw = ImageDraw.Draw(page)
    for row, (frames, label, flaw) in enumerate(zip(clips, labels, flaws, strict=True)):
        draw.text((2, row * height + 1), label, fill="firebrick" if flaw else "black", font_size=10)
        for column in range(STRIP_FRAMES):
            frame = frames[column * (len(frames) - 1) // (STRIP_FRAMES - 1)]
            cell = frame.resize((STRIP_CELL, STRIP_CELL), Image.Resampling.NEAREST)
            page.paste(cell, (column * width, row * height + LINE + 4))
    return page
