"""Pictures to PNG and clips to MP4, with their metadata inside. Equal input gives equal bytes."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deployments.frames import Rgb, even_sized
from deployments.metadata import infotext

ENCODER_THREADS = 4
"""Fixed: x264's output depends on it, and the machine's core count must not show in the file."""

X264_OPTIONS = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"}
"""Without mbtree, whose AVX-512 code reads memory it did not write at widths such as 64 and 832: the same
frames then gave other bytes about once in a hundred times (x264 in the PyAV 18.1 wheels)."""

BT709 = 1
LIMITED_RANGE = 1
"""Code points of ITU-T H.273 and of FFmpeg's AVColorRange."""


def encode_png(picture: Rgb, metadata: Mapping[str, Any]) -> bytes:
    """A PNG with the text chunks `parameters` (A1111 infotext) and `cyberimage` (the metadata as JSON)."""
    chunks = PngInfo()
    chunks.add_text("parameters", _writable(infotext(metadata)))
    chunks.add_text("cyberimage", json.dumps(metadata))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=chunks, compress_level=4)
    return buffer.getvalue()


def encode_mp4(frames: Iterable[Rgb], *, fps: int, metadata: Mapping[str, Any]) -> bytes:
    """An MP4 (H.264, yuv420p, BT.709, index first) with the metadata as JSON in the tag `comment`.

    Takes frames one at a time. An odd height or width grows by one. Raises ValueError without frames.
    """
    # A real file: to put the index first the muxer opens the file again by its name.
    with tempfile.TemporaryDirectory(prefix="cyberimage-") as folder:
        path = Path(folder, "clip.mp4")
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata["comment"] = json.dumps(metadata)
            _write_frames(container, frames, fps)
        return path.read_bytes()


def _write_frames(container: Any, frames: Iterable[Rgb], fps: int) -> None:
    stream = None
    for frame in map(even_sized, frames):
        if stream is None:
            stream = _add_stream(container, width=frame.shape[1], height=frame.shape[0], fps=fps)
        container.mux(stream.encode(_bt709(frame)))
    if stream is None:
        raise ValueError("a clip needs at least one frame")
    container.mux(stream.encode())


def _add_stream(container: Any, *, width: int, height: int, fps: int) -> Any:
    stream = container.add_stream("libx264", rate=Fraction(fps), options=X264_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    codec = stream.codec_context
    codec.thread_count = ENCODER_THREADS
    codec.colorspace = codec.color_primaries = codec.color_trc = BT709
    codec.color_range = LIMITED_RANGE
    return stream


def _bt709(frame: Rgb) -> av.VideoFrame:
    """FFmpeg converts by BT.601 unless told; players take HD pictures for BT.709."""
    return av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )


def _writable(text: str) -> str:
    """The text without lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
