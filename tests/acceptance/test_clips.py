"""Clips from prompts and from pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from deployments.demo.clip_judge import blob_of, motion_between, psnr
from deployments.demo.drawing import render
from deployments.demo.judge import background_color, nearest
from deployments.demo.scenes import COLORS, Scene, Thing
from tests.serving import Api, View

pytestmark = pytest.mark.acceptance

#: What was asked for in `made`; a clip from a picture keeps the picture's shape.
SIZES = {
    "wan-t2v": (96, 64),
    "ltx-t2v": (64, 96),
    "wan-i2v": (64, 64),
    "ltx-i2v": (64, 64),
    "wan-i2v of an upload": (128, 64),
    "ltx-i2v of an upload": (128, 64),
}
#: Prompt, seed, and the thing's colour, the background and the motion that the clip has to show.
ASKED = [
    ("a large red circle moving right on a blue background", 2, ("red", "blue", "right")),
    ("a large yellow square moving left on a purple background", 1, ("yellow", "purple", "left")),
]
#: A source, what is to become of it, and a seed. The colours are those of the source.
MOVED = [
    (("circle", "red", "blue"), "moving right", 1, "right"),
    (("square", "yellow", "purple"), "a yellow square shrinking on a purple background", 1, "shrinking"),
]
every_clip = pytest.mark.parametrize("name", SIZES)


def decode(data: bytes) -> dict[str, Any]:
    with av.open(BytesIO(data)) as container:
        stream = container.streams.video[0]
        return {
            "codec": stream.codec_context.name,
            "pixels": stream.codec_context.pix_fmt,
            "fps": stream.average_rate,
            "comment": container.metadata.get("comment"),
            "frames": [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)],
        }


def clip_of(job: View) -> View:
    assert job["status"] == "completed", job["error"]
    (clip,) = job["images"]
    return clip


def shown(frames: Sequence[Any]) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in frames]


def shows(frames: Sequence[Image.Image], color: str, background: str, motion: str) -> None:
    """Assert background and colour at the start, in the middle and at the end, and the motion between."""
    pixels = [np.asarray(frame, np.float32) for frame in frames]
    three = [pixels[0], pixels[len(pixels) // 2], pixels[-1]]
    assert [background_color(nearest(frame, COLORS)) for frame in three] == [background] * 3
    blobs = [blob_of(frame, color, background) for frame in three]
    assert None not in blobs
    assert motion_between(blobs[0], blobs[-1]) == motion


@every_clip
def test_a_clip_has_the_asked_size_length_and_speed(api: Api, made, name):
    clip = clip_of(made[name])
    width, height = SIZES[name]
    video = decode(api.file(clip))
    assert (video["codec"], video["pixels"], video["fps"]) == ("h264", "yuv420p", 8)
    assert [frame.shape for frame in video["frames"]] == [(height, width, 3)] * 9
    assert (clip["media_type"], clip["width"], clip["height"]) == ("video", width, height)


@every_clip
def test_a_clip_carries_its_metadata(api: Api, made, name):
    clip = clip_of(made[name])
    carried = json.loads(decode(api.file(clip))["comment"])
    assert carried == {
        k: v for k, v in clip["metadata"].items() if k not in ("generation_time", "batch_size")
    }
    assert (carried["type"], carried["seed"], carried["fps"]) == ("video", 11, 8)
    assert (carried["frame_count"], carried["duration_seconds"]) == (9, 1.125)


@pytest.mark.parametrize("name", ["wan-i2v", "ltx-i2v"])
def test_a_clip_from_a_picture_names_its_source(made, upload, name):
    of_a_job, of_an_upload = clip_of(made[name]), clip_of(made[f"{name} of an upload"])
    assert of_a_job["metadata"]["source_image_id"] == made["flux"]["image_ids"][0]
    assert of_an_upload["metadata"]["source_image_id"] == upload["id"]
    assert made[name]["type"] == "i2v"


@pytest.mark.parametrize("name", ["wan-t2v", "ltx-t2v"])
def test_a_clip_moves(api: Api, made, name):
    frames = decode(api.file(clip_of(made[name])))["frames"]
    assert any(np.abs(frame.astype(int) - frames[0]).max() > 0 for frame in frames[1:])


@pytest.mark.parametrize("model", ["demo-wan-t2v", "demo-ltx-t2v"])
def test_a_clip_shows_what_its_prompt_says(api: Api, model):
    for prompt, seed, expected in ASKED:
        (job,) = api.completed(api.film(prompt, model, seed=seed))
        shows(shown(decode(api.file(clip_of(job)))["frames"]), *expected)


@pytest.mark.parametrize("model", ["demo-wan-i2v", "demo-ltx-i2v"])
def test_a_clip_from_a_picture_sets_in_motion_what_it_shows(api: Api, model):
    for (shape, color, background), prompt, seed, motion in MOVED:
        thing = Thing(shape=shape, color=color, size="large", x=0.45, y=0.5, radius=0.24)
        source = render(Scene(background=background, things=(thing,), place="center"), 64)
        file = BytesIO()
        source.save(file, "PNG")
        upload = api.upload(file.getvalue())
        (job,) = api.completed(api.animate(upload["id"], model, prompt, seed=seed))
        frames = shown(decode(api.file(clip_of(job)))["frames"])
        assert psnr(frames[0], source) > 22
        shows(frames, color, background, motion)


def test_the_same_seed_gives_the_same_clip(api: Api, made):
    settings = {k: v for k, v in made["ltx-i2v"]["settings"].items() if k not in ("type", "source_image_id")}
    source = made["flux"]["image_ids"][0]
    (again,) = api.completed(api.animate(source, "demo-ltx-i2v", **settings))
    assert api.files(again) == api.files(made["ltx-i2v"])


def test_a_source_picture_of_many_megabytes_reaches_the_worker(api: Api):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    picture = BytesIO()
    Image.fromarray(noise).save(picture, "PNG")
    assert len(picture.getvalue()) > 4 << 20, "more than a gRPC message holds by default"
    source = api.upload(picture.getvalue())["id"]
    (job,) = api.completed(api.animate(source, "demo-ltx-i2v", num_frames=9, num_inference_steps=2))
    assert clip_of(job)["metadata"]["source_image_id"] == source


def test_a_clip_is_served_in_ranges_with_a_poster(api: Api, made):
    clip = clip_of(made["wan-t2v"])
    whole = api.file(clip)
    part = api.http.get(clip["url"], headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole[4:12])
    assert part.headers["content-type"] == "video/mp4"
    poster = Image.open(BytesIO(api.http.get(clip["thumbnail_url"]).content))
    assert (poster.format, poster.size) == ("WEBP", (96, 64))
    assert api.http.get(f"/api/image/{clip['id']}").status_code == 400
