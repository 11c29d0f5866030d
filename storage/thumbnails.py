"""Small WebP pictures of pictures and clips."""

from __future__ import annotations

from io import BytesIO

import av
from PIL import Image

from storage.errors import MediaUnreadable

_LONGEST_SIDE = 512
_QUALITY = 82


def image_thumbnail(data: bytes) -> bytes:
    """WebP of a picture, its longest side at most 512 pixels, never enlarged. Raises MediaUnreadable."""
    try:
        with Image.open(BytesIO(data)) as image:
            return _small_webp(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaUnreadable from error


def poster_frame(data: bytes) -> bytes:
    """WebP of a clip's first frame, sized as `image_thumbnail`. Raises MediaUnreadable."""
    try:
        with av.open(BytesIO(data), mode="r") as container:
            frame = next(container.decode(video=0))
            return _small_webp(Image.fromarray(frame.to_ndarray(format="rgb24")))
    except (av.FFmpegError, IndexError, StopIteration) as error:
        raise MediaUnreadable from error


def _small_webp(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    file = BytesIO()
    small.save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()
