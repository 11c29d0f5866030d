from __future__ import annotations

from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image

from storage.wholeness import is_whole


def picture(kind: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (9, 7), "teal").save(file, kind)
    return file.getvalue()


def clip() -> bytes:
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_image(Image.new("RGB", (16, 16), "teal"))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


FILES = {"a.png": picture("PNG"), "a.webp": picture("WEBP"), "a.mp4": clip()}


@pytest.mark.parametrize("name", FILES)
def test_a_file_as_it_was_written_is_whole_and_cut_off_anywhere_it_is_not(tmp_path: Path, name: str) -> None:
    path, data = tmp_path / name, FILES[name]
    path.write_bytes(data)
    assert is_whole(path)
    for length in {*range(0, len(data), 29), *range(len(data) - 20, len(data))}:
        path.write_bytes(data[:length])
        assert not is_whole(path), length


@pytest.mark.parametrize("name", [*FILES, "a.txt"])
def test_noise_and_files_of_another_kind_are_not_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for data in (bytes(999), b"noise" * 99, *(other for key, other in FILES.items() if key != name)):
        path.write_bytes(data)
        assert not is_whole(path)


def test_boxes_of_64_bit_length_and_one_that_runs_to_the_end_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    wide = (1).to_bytes(4) + b"mdat" + (24).to_bytes(8) + bytes(8)
    path.write_bytes((8).to_bytes(4) + b"ftyp" + wide + (0).to_bytes(4) + b"moov" + bytes(5))
    assert is_whole(path)
