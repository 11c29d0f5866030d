from __future__ import annotations

from io import BytesIO

import av
import numpy as np
import pytest
from PIL import Image

from storage.errors import MediaUnreadable
from storage.thumbnails import image_thumbnail, poster_frame


def png(size: tuple[int, int], color: str = "red", mode: str = "RGB") -> bytes:
    file = BytesIO()
    Image.new(mode, size, color).save(file, "PNG")
    return file.getvalue()


def clip(colors: list[tuple[int, int, int]], size: tuple[int, int] = (64, 48)) -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for color in colors:
            pixels = np.full((size[1], size[0], 3), color, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 768), (512, 384)), ((300, 1200), (128, 512)), ((64, 48), (64, 48)), ((2000, 1), (512, 1))],
)
def test_the_longest_side_is_at_most_512_and_nothing_grows(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = Image.open(BytesIO(image_thumbnail(png(size))))
    assert (small.format, small.size) == ("WEBP", expected)


def test_a_poster_is_the_first_frame() -> None:
    poster = Image.open(BytesIO(poster_frame(clip([(250, 10, 10), (10, 10, 250)]))))
    assert (poster.format, poster.size) == ("WEBP", (64, 48))
    red, _, blue = poster.convert("RGB").getpixel((32, 24))
    assert red > 200 > 60 > blue


@pytest.mark.parametrize("data", [b"", b"not a picture", png((50, 50))[:60]])
def test_what_cannot_be_decoded_is_reported(data: bytes) -> None:
    for make in (image_thumbnail, poster_frame):
        with pytest.raises(MediaUnreadable):
            make(data)


def test_a_clip_that_breaks_off_is_reported() -> None:
    with pytest.raises(MediaUnreadable):
        poster_frame(clip([(0, 0, 0)] * 4)[:200])
