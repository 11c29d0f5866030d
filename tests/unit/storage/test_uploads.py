from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from storage.errors import UploadRejected, UploadTooLarge
from storage.uploads import NormalisedImage, normalise_upload

LIMITS = {"max_bytes": 1_000_000, "max_pixels": 1_000_000}


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def normalised(data: bytes) -> tuple[NormalisedImage, Image.Image]:
    result = normalise_upload(data, **LIMITS)
    image = Image.open(BytesIO(result.data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (result.width, result.height))
    return result, image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_become_rgb_png(kind: str) -> None:
    _, image = normalised(encoded(Image.new("RGB", (20, 10), (200, 30, 30)), kind))
    assert image.size == (20, 10)
    assert image.getpixel((3, 3)) == pytest.approx((200, 30, 30), abs=6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_of_colour_is_understood(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    _, image = normalised(encoded(Image.new("RGB", (8, 8), "white").convert(mode), kind))
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16))
    _, image = normalised(encoded(grey, "PNG"))
    assert image.getpixel((0, 0)) == (128, 128, 128)


def test_exif_rotation_is_applied_and_the_rest_dropped() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    exif[0x010E] = "my house"
    picture = Image.new("RGB", (30, 20), "blue")
    picture.paste("red", (0, 0, 30, 4))
    result, image = normalised(encoded(picture, "JPEG", exif=exif, comment=b"secret"))
    assert image.size == (20, 30)
    red, _, blue = image.getpixel((18, 15))
    assert red > 150 > 100 > blue
    assert not image.getexif()
    assert b"house" not in result.data


def test_texts_and_profiles_are_dropped() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a secret prompt")
    data = encoded(Image.new("RGB", (4, 4)), "PNG", pnginfo=texts, icc_profile=b"profile", dpi=(72, 72))
    _, image = normalised(data)
    assert image.info == {}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_spoil_the_picture() -> None:
    data = encoded(Image.new("RGB", (6, 4), "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert normalised(data)[1].size == (6, 4)


def test_transparency_lies_on_white() -> None:
    _, image = normalised(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 0)
    _, image = normalised(encoded(palette, "PNG", transparency=0))
    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_kept(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert normalised(data)[1].getpixel((8, 8)) == pytest.approx((255, 0, 0), abs=6)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(UploadTooLarge, match="at most 10"):
        normalise_upload(b"x" * 11, max_bytes=10, max_pixels=100)


def header_only(width: int, height: int) -> bytes:
    """The start of a PNG that claims to be this large."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", 0)


@pytest.mark.parametrize("side", [1001, 10_000, 12_000, 60_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(UploadTooLarge, match="at most 1000000 pixels"):
        normalise_upload(header_only(side, side), **LIMITS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(UploadRejected, match="PNG, JPEG or WebP"):
        normalise_upload(data[: int(len(data) * part)], **LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, I am a text",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0\n%%BoundingBox: 0 0 9 9\n",
        encoded(Image.new("RGB", (4, 4)), "GIF"),
        encoded(Image.new("RGB", (4, 4)), "BMP"),
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(UploadRejected, match="PNG, JPEG or WebP"):
        normalise_upload(data, **LIMITS)


SAMPLES = [
    encoded(Image.linear_gradient("L").resize((24, 24)).convert(mode), kind)
    for kind, mode in (("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("WEBP", "RGBA"))
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=60, deadline=None, database=None)
@given(sample=st.sampled_from(SAMPLES), place=st.floats(0, 1), noise=st.binary(min_size=1, max_size=8))
def test_damage_is_refused_or_survived_but_never_crashes(sample: bytes, place: float, noise: bytes) -> None:
    at = int(place * len(sample))
    with suppress(UploadRejected):
        normalise_upload(sample[:at] + noise + sample[at + len(noise) :], **LIMITS)
