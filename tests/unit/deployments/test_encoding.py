import io
import json
import os
import subprocess
import sys

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deployments.encoding import encode_mp4, encode_png
from deployments.frames import to_rgb
from deployments.metadata import infotext

METADATA = {
    "model_id": "demo-flux",
    "prompt": "a red circle",
    "negative_prompt": "",
    "seed": 7,
    "width": 6,
    "height": 4,
    "num_inference_steps": 2,
    "guidance_scale": 4.0,
    "sampler": "Euler",
}
WIDTH, HEIGHT, COUNT = 64, 48, 9


def moving_square(count: int = COUNT, width: int = WIDTH, height: int = HEIGHT) -> list[np.ndarray]:
    frames = np.full((count, height, width, 3), (40, 60, 200), np.uint8)
    for index, frame in enumerate(frames):
        frame[8:24, index : index + 16] = (200, 40, 60)
    return list(frames)


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_a_png_holds_the_pixels_exactly():
    picture = np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(picture, METADATA)))), picture)


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=25, deadline=None)
def test_a_png_carries_its_metadata_whatever_the_prompt(prompt, negative_prompt):
    metadata = METADATA | {"prompt": prompt, "negative_prompt": negative_prompt}
    chunks = Image.open(io.BytesIO(encode_png(np.zeros((2, 2, 3), np.uint8), metadata))).info
    assert json.loads(chunks["cyberimage"]) == metadata
    assert chunks["parameters"] == infotext(metadata)


def test_a_prompt_with_half_a_surrogate_pair_still_gives_a_picture():
    assert encode_png(np.zeros((2, 2, 3), np.uint8), METADATA | {"prompt": "a \ud83d b"})


def test_a_clip_has_its_size_count_rate_and_length():
    with av.open(io.BytesIO(encode_mp4(moving_square(), fps=8, metadata={}))) as clip:
        stream = clip.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames, stream.average_rate) == (WIDTH, HEIGHT, COUNT, 8)
        assert float(stream.duration * stream.time_base) == pytest.approx(COUNT / 8)
        assert len(list(clip.decode(video=0))) == COUNT


def test_a_clips_index_comes_first_so_that_it_plays_while_it_loads():
    data = encode_mp4(moving_square(), fps=8, metadata={})
    assert 0 < data.find(b"moov") < data.find(b"mdat")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=2000))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_clip_carries_its_metadata_whatever_the_prompt(prompt):
    with av.open(io.BytesIO(encode_mp4(moving_square(1), fps=8, metadata={"prompt": prompt}))) as clip:
        assert json.loads(clip.metadata["comment"]) == {"prompt": prompt}


@pytest.mark.parametrize(
    "form",
    [
        lambda frames: frames,
        lambda frames: [Image.fromarray(frame) for frame in frames],
        lambda frames: [frame / np.float32(255) for frame in frames],
        lambda frames: np.stack(frames),
        lambda frames: np.stack(frames) / 255.0,
        lambda frames: np.stack(frames).transpose(0, 3, 1, 2) / np.float32(255),
        lambda frames: np.stack(frames) / np.float32(255) * 1.0001,
    ],
    ids=["bytes", "pil", "float-list", "byte-array", "double-array", "float-chw", "just-over-one"],
)
def test_a_clip_is_never_green_whatever_form_its_frames_have(form):
    frames = moving_square()
    clip = decoded(encode_mp4(map(to_rgb, form(frames)), fps=8, metadata={}))
    assert psnr(clip, np.stack(frames)) > 30


def test_colours_are_converted_and_tagged_as_bt709():
    flat = [np.full((HEIGHT, WIDTH, 3), (200, 40, 60), np.uint8)] * 3
    data = encode_mp4(flat, fps=8, metadata={})
    with av.open(io.BytesIO(data)) as clip:
        codec = clip.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        frame = next(clip.decode(video=0)).reformat(format="rgb24", src_colorspace="ITU709")
        assert np.abs(frame.to_ndarray().astype(int) - (200, 40, 60)).max() <= 3


@pytest.mark.parametrize(("width", "height"), [(63, 47), (64, 47), (63, 48), (1, 1)])
def test_an_odd_size_becomes_even(width, height):
    frames = [np.zeros((height, width, 3), np.uint8)] * 2
    assert decoded(encode_mp4(frames, fps=8, metadata={})).shape == (
        2,
        height + height % 2,
        width + width % 2,
        3,
    )


def test_frames_are_taken_one_at_a_time():
    taken = []
    encode_mp4((taken.append(i) or frame for i, frame in enumerate(moving_square())), fps=8, metadata={})
    assert taken == list(range(COUNT))


def test_a_clip_without_frames_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        encode_mp4([], fps=8, metadata={})


ENCODE_NOISE = """
import hashlib, numpy as np
from deployments.encoding import encode_mp4
frames = np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8)
drifting = [np.roll(frames[0], index, axis=1) // 2 + frames[index] // 8 for index in range(9)]
print(hashlib.sha256(encode_mp4(drifting, fps=8, metadata={})).hexdigest())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is glibc's")
def test_equal_frames_give_equal_bytes_whatever_was_in_memory_before():
    def digest(fill: int) -> str:
        environment = os.environ | {"MALLOC_PERTURB_": str(fill)}
        command = [sys.executable, "-c", ENCODE_NOISE]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert digest(85) == digest(170) != ""
