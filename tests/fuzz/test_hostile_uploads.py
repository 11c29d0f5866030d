"""Files that are not what they seem, sent as source pictures. What is kept is pixels and nothing else."""

from __future__ import annotations

import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from schemathesis.python.asgi import ASGIClient, get_client

SCRIPT = b"<script>alert(document.domain)</script>"
MARK = b"cyberimage-payload"
KEPT_CHUNKS = {b"IHDR", b"IDAT", b"IEND"}


@pytest.fixture(scope="module")
def client(make_app: Callable[..., FastAPI]) -> Iterator[ASGIClient]:
    with get_client(make_app()) as client:
        yield client


@pytest.fixture
def kept(folder: Path) -> Iterator[set[Path]]:
    """Fills with the media files that the test has left, and asserts that it left no others."""
    before, new = files_below(folder), set[Path]()
    yield new
    others = {file for file in files_below(folder) - before - new if not file.name.startswith("jobs.sqlite3")}
    assert others == set()


def files_below(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 24, height: int = 16) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """A good PNG with one more chunk after its header."""
    png = encoded(noise())
    return png[:33] + chunk(kind, data) + png[33:]


def zipped() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("run.sh", MARK)
    return file.getvalue()


def chunks(png: bytes) -> set[bytes]:
    found, at = set(), 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.add(png[at + 4 : at + 8])
        at += 12 + length
    assert at == len(png), "something stands behind the picture"
    return found


def send(client: ASGIClient, data: bytes, name: str = "picture.png", kind: str = "image/png") -> Any:
    return client.post("/api/upload", files={"file": (name, data, kind)})


NO_PICTURES = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "svg that fetches": b'<?xml version="1.0"?><svg><image href="http://127.0.0.1:1/x"/></svg>',
    "xml bomb": b'<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
    "html": b"<!doctype html>" + SCRIPT,
    "pdf": b"%PDF-1.7\n1 0 obj\n<< /OpenAction << /S /JavaScript >> >>\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(id) system\n",
    "gif": encoded(noise(), "GIF"),
    "bmp": encoded(noise(), "BMP"),
    "tiff": encoded(noise(), "TIFF"),
    "ico": encoded(noise(16, 16), "ICO"),
    "zip": zipped(),
    "zip named png": b"PK\x03\x04" + encoded(noise()),
    "pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "nothing": b"",
    "zeros": bytes(1000),
    "signature alone": b"\x89PNG\r\n\x1a\n",
    "a header of no size": b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_refused_whatever_it_is_called(
    client: ASGIClient, name: str, kept: set[Path]
) -> None:
    reply = send(client, NO_PICTURES[name])
    assert (reply.status_code, reply.json()["status"]) == (400, "error")


TEXTS = PngImagePlugin.PngInfo()
TEXTS.add_text("parameters", MARK.decode() + SCRIPT.decode())
POLYGLOTS = {
    "png and zip": encoded(noise()) + zipped(),
    "png and html": encoded(noise()) + SCRIPT + MARK,
    "png with texts": encoded(noise(), pnginfo=TEXTS),
    "png with a private chunk": with_chunk(b"prVt", SCRIPT + MARK),
    "png with exif": encoded(noise(), exif=b"Exif\0\0" + MARK),
    "jpeg with a comment": encoded(noise(), "JPEG", comment=b"<?php " + MARK),
    "jpeg and zip": encoded(noise(), "JPEG") + zipped(),
    "jpeg with a profile": encoded(noise(), "JPEG", icc_profile=MARK * 10),
    "webp with xmp": encoded(noise(), "WEBP", xmp=b"<x:xmpmeta>" + MARK, lossless=True),
}


@pytest.mark.parametrize("name", POLYGLOTS)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_of_a_file_that_is_two_things_only_the_pixels_are_kept(client: ASGIClient, name: str) -> None:
    reply = send(client, POLYGLOTS[name], "evil.php", "text/html")
    assert reply.status_code == 201, reply.text
    served = client.get(reply.json()["url"])
    assert served.headers["content-type"] == "image/png"
    assert chunks(served.content) == KEPT_CHUNKS
    for payload in (MARK, SCRIPT, b"PK\x03\x04", b"<?php"):
        assert payload not in served.content


@pytest.mark.parametrize(
    "name",
    [
        *("../../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "a\x00.png", "\u202egpj.exe", "x" * 5000),
        *(
            "C:\\con",
            ".",
            "",
            '"; filename="b',
            "name\r\nX-Evil: 1",
            "\ud800".encode("utf-8", "replace").decode(),
        ),
    ],
)
def test_the_name_of_a_file_decides_nothing(
    client: ASGIClient, folder: Path, name: str, kept: set[Path]
) -> None:
    reply = send(client, encoded(noise()), name)
    assert reply.status_code in (201, 400)
    if reply.status_code == 201:
        kept.update((folder / "media").glob(f"*/*/*/{reply.json()['id']}.png"))
        assert len(kept) == 1


BOMBS = {
    "a size of terabytes": lambda: (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
    ),
    "just over 50 megapixels": lambda: encoded(Image.new("1", (10_000, 5_001))),
    "one row of 60 million": lambda: encoded(Image.new("1", (60_000_000, 1))),
    "jpeg over the limit": lambda: encoded(Image.new("L", (60_000, 900)), "JPEG"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(client: ASGIClient, name: str, kept: set[Path]) -> None:
    bomb = BOMBS[name]()
    begin = time.monotonic()
    reply = send(client, bomb)
    assert reply.status_code == 413, reply.text
    assert "at most 50000000 pixels" in reply.json()["message"]
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_or_profile_of_gigabytes_is_not_unpacked(client: ASGIClient, kind: bytes) -> None:
    packed = zlib.compress(bytes(200_000_000), 1)
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
    peak = PeakMemory()
    with peak:
        reply = send(client, with_chunk(kind, head + packed))
    assert reply.status_code in (201, 400)
    assert peak.grown_mb < 120


class PeakMemory:
    """How much this process grew at most while the block ran, in MB."""

    grown_mb = 0.0

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            grown = (self._process.memory_info().rss - self._before) / 1e6
            self.grown_mb = max(self.grown_mb, grown)


def test_pictures_as_large_as_allowed_are_decoded_one_at_a_time(
    client: ASGIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serve_app.api import media

    running, most, lock = 0, 0, threading.Lock()
    real = media.normalise_upload

    def counted(*arguments: Any, **limits: int) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        try:
            return real(*arguments, **limits)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(media, "normalise_upload", counted)
    threads = [threading.Thread(target=send, args=(client, encoded(noise()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_fifty_megapixels_are_accepted(client: ASGIClient) -> None:
    reply = send(client, encoded(Image.new("1", (10_000, 5_000), 1)))
    assert (reply.status_code, reply.json()["width"]) == (201, 10_000)


SEEDS = {
    "png": encoded(noise()),
    "palette": encoded(noise().convert("P"), transparency=0),
    "sixteen bits": encoded(Image.fromarray(np.full((8, 8), 999, dtype=np.uint16))),
    "animated png": encoded(noise(), save_all=True, append_images=[noise()]),
    "jpeg": encoded(noise(), "JPEG", exif=Image.Exif().tobytes()),
    "progressive": encoded(noise(), "JPEG", progressive=True),
    "cmyk": encoded(noise().convert("CMYK"), "JPEG"),
    "webp": encoded(noise(), "WEBP"),
    "lossless webp": encoded(noise().convert("RGBA"), "WEBP", lossless=True),
    "animated webp": encoded(noise(), "WEBP", save_all=True, append_images=[noise()]),
}
changes = st.lists(
    st.tuples(st.integers(0, 10**6), st.binary(min_size=0, max_size=8)), min_size=1, max_size=6
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(sorted(SEEDS)), changes, st.integers(0, 2000))
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:Truncated")
def test_a_damaged_picture_is_taken_or_refused_and_nothing_else(
    client: ASGIClient, name: str, changes: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(SEEDS[name])
    for place, new in changes:
        at = place % len(data)
        data[at : at + len(new)] = new
    if cut < 1000:
        del data[cut % len(data) :]
    reply = send(client, bytes(data))
    assert reply.status_code in (201, 400, 413), reply.text


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=200), st.integers(0, 70_000))
@example(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\0\0\0\0", 6)
@example(b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\x08\0\0\0", 6)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exif_of_any_kind_does_not_spoil_the_picture(
    client: ASGIClient, block: bytes, orientation: int
) -> None:
    tag = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HH", orientation % 2**16, 0)
    for exif in (b"Exif\0\0" + block, b"Exif\0\0" + tag + block):
        reply = send(client, encoded(noise(), "JPEG", exif=exif))
        assert reply.status_code == 201, reply.text
        assert {reply.json()["width"], reply.json()["height"]} == {24, 16}


MULTIPART = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p.png"\r\n\r\n'
FORMS = {
    "no boundary": ("multipart/form-data", PART),
    "another boundary": ("multipart/form-data; boundary=c", PART + b"x\r\n--b--\r\n"),
    "no name": (MULTIPART, b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
    "no disposition": (MULTIPART, b"--b\r\n\r\nx\r\n--b--\r\n"),
    "a field for the file": (
        MULTIPART,
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
    ),
    "thousands of files": (MULTIPART, (PART + b"x\r\n") * 3000 + b"--b--\r\n"),
    "thousands of headers": (MULTIPART, b"--b\r\n" + b"X-A: 1\r\n" * 5000 + b"\r\n\r\n--b--\r\n"),
    "a header without end": (MULTIPART, b"--b\r\n" + b"X" * 1_000_000),
    "an empty boundary": ("multipart/form-data; boundary=", b"----\r\n"),
    "json": ("application/json", b'{"file": "x"}'),
    "a charset of nowhere": (MULTIPART + "; charset=nope", PART + b"x\r\n--b--\r\n"),
    "bytes": ("application/octet-stream", encoded(noise())),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none_is_refused(client: ASGIClient, name: str, kept: set[Path]) -> None:
    kind, body = FORMS[name]
    reply: requests.Response = client.post("/api/upload", data=body, headers={"Content-Type": kind})
    assert (reply.status_code, reply.json()["status"]) == (400, "error"), reply.text
