"""A labelled sheet of samples: every picture over its prompt."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw

COLUMNS = 8
CELL = 128
LABEL_LINES = 4
LINE = 11


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
