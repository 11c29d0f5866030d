"""Whether a file is whole, as far as its ends and its lengths tell: cheap enough to ask at each reading."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PNG_BEGINS = b"\x89PNG\r\n\x1a\n"
#: The chunk that ends every PNG, with its checksum.
_PNG_ENDS = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"
#: Of a WebP file: RIFF, the length of what follows, WEBP.
_RIFF_HEADER = 12
#: Of a box of an MP4 file: its length, its kind; for length 1, the length in 64 bits.
_BOX_HEADER = 8


def is_whole(path: Path) -> bool:
    """For .png, .mp4 and .webp; False for one that is cut off, empty or of another kind. Raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        match path.suffix:
            case ".png":
                return _is_whole_png(file, size)
            case ".mp4":
                return {b"ftyp", b"moov", b"mdat"} <= set(_boxes(file, size))
            case ".webp":
                return _is_whole_webp(file, size)
    return False


def _is_whole_png(file: BinaryIO, size: int) -> bool:
    if file.read(len(_PNG_BEGINS)) != _PNG_BEGINS or size < len(_PNG_BEGINS) + len(_PNG_ENDS):
        return False
    file.seek(-len(_PNG_ENDS), os.SEEK_END)
    return file.read() == _PNG_ENDS


def _is_whole_webp(file: BinaryIO, size: int) -> bool:
    header = file.read(_RIFF_HEADER)
    length = int.from_bytes(header[4:8], "little")
    return header[:4] == b"RIFF" and header[8:] == b"WEBP" and length + 8 <= size


def _boxes(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The kinds of a film's outermost boxes, as far as they lie within the file."""
    start = 0
    while start + _BOX_HEADER <= size:
        file.seek(start)
        header = file.read(2 * _BOX_HEADER)
        length = int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:])
        elif length == 0:  # the last one, up to the end of the file
            length = size - start
        if length < _BOX_HEADER or start + length > size:
            return
        yield header[4:8]
        start += length
