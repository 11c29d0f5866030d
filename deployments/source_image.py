"""The picture to animate: reading it, and fitting it into what the model makes."""

from __future__ import annotations

import io
import math
import warnings

from PIL import Image, ImageOps

from deployments.errors import SourceImageUnreadable


def read_image(data: bytes | None) -> Image.Image:
    """The picture upright and in RGB. Raises SourceImageUnreadable."""
    if not data:
        raise SourceImageUnreadable("This model animates a picture, and none was given.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        raise SourceImageUnreadable(f"The source picture cannot be decoded: {error}") from None


def fit_size(
    width: int, height: int, *, max_area: int, multiple: int, max_side: int | None = None
) -> tuple[int, int]:
    """The largest width and height of at most `max_area` pixels with the shape of `width` x `height`.

    Both are multiples of `multiple`, at least one, and at most `max_side` where that is given. The rule of
    Wan's image-to-video: height = sqrt(max_area * height / width), width = sqrt(max_area * width / height),
    each rounded down to the multiple. The area is exceeded only if `multiple` squared exceeds it.
    """
    longest = _floor(min(max_side or max_area, max_area // multiple), multiple)
    fitted_height = min(_floor(math.isqrt(max_area * height // width), multiple), longest)
    fitted_width = min(_floor(math.isqrt(max_area * width // height), multiple), longest)
    return fitted_width, fitted_height


def fit_image(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture in exactly that size: scaled, and cropped by the few pixels that rounding took."""
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def _floor(value: int, multiple: int) -> int:
    return max(value // multiple, 1) * multiple
