"""Pictures that people send: decoded with distrust, and written anew."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from storage.errors import UploadRejected, UploadTooLarge

_FORMATS = ("PNG", "JPEG", "WEBP")
#: What Pillow's decoders raise for files that are broken or hostile.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True, kw_only=True, slots=True)
class NormalisedImage:
    """An upright RGB picture, as a PNG without metadata."""

    data: bytes
    width: int
    height: int


def normalise_upload(data: bytes, *, max_bytes: int, max_pixels: int) -> NormalisedImage:
    """Decode a PNG, JPEG or WebP, known by its content, and write it as a plain PNG.

    EXIF rotation is applied, transparency laid on white, of an animation the first frame kept, and all
    metadata dropped. The size in the header is judged before any pixel is decoded.

    Raises:
        UploadTooLarge: over `max_bytes` or `max_pixels`.
        UploadRejected: of another type, truncated or damaged.
    """
    if len(data) > max_bytes:
        raise UploadTooLarge(f"The upload has {len(data)} bytes; at most {max_bytes} are accepted.")
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            _check_size(image.size, max_pixels)
            image.load()
            plain = _on_white(_upright(image))
    except UploadTooLarge:
        raise
    except _BOMBS as error:
        raise UploadTooLarge(
            f"The picture is too large; at most {max_pixels} pixels are accepted."
        ) from error
    except _DECODER_ERRORS as error:
        raise UploadRejected from error
    return NormalisedImage(data=_png(plain), width=plain.width, height=plain.height)


def read_texts(data: bytes, *, max_bytes: int) -> dict[str, str]:
    """The text chunks of a PNG that stand before its pixels, which are not decoded.

    Raises UploadTooLarge over `max_bytes`, UploadRejected for what is no PNG.
    """
    if len(data) > max_bytes:
        raise UploadTooLarge(f"The picture has {len(data)} bytes; at most {max_bytes} are accepted.")
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            return {str(key): text for key, text in image.info.items() if isinstance(text, str)}
    except _BOMBS as error:
        raise UploadTooLarge("The picture says that it has more pixels than any.") from error
    except _DECODER_ERRORS as error:
        raise UploadRejected("This is not a PNG.") from error


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise UploadTooLarge(f"The picture is {width}x{height}; at most {max_pixels} pixels are accepted.")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:
        return image  # a damaged EXIF block says nothing about the picture


def _on_white(image: Image.Image) -> Image.Image:
    """A new RGB picture, so that nothing but pixels is carried over."""
    white = Image.new("RGB", image.size, "white")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white.paste(layer, mask=layer)
    else:
        white.paste(_eight_bit(image).convert("RGB"))
    return white


def _eight_bit(image: Image.Image) -> Image.Image:
    # Conversion clips the wide modes of 16-bit greyscale at 255 rather than scale them.
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda level: level / 256).convert("L")
    return image


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
