"""Prompt in, picture out."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from deployments.demo.drawing import Style
from deployments.demo.judge import judge
from deployments.demo.scenes import RADIUS, Color, Place, Scene, Shape, Size, Thing, center_of
from tests.serving import PROMPT, Api

pytestmark = pytest.mark.acceptance

ASKED = [
    ("a large red circle on a blue background", 3),
    ("a large yellow star on a purple background", 4),
    ("a large green square on a white background", 5),
    ("a large orange triangle on a cyan background", 6),
]


def thing(color: Color, shape: Shape, place: Place = "center", size: Size = "medium") -> Thing:
    x, y = center_of(place, RADIUS[size])
    return Thing(shape=shape, color=color, size=size, x=x, y=y, radius=RADIUS[size])


MEANT = {
    "a large red circle on a blue background": Scene(
        background="blue", things=(thing("red", "circle", size="large"),), place="center"
    ),
    "photo of a green square in the top left": Scene(
        background="white", things=(thing("green", "square", "top left"),), place="top left"
    ),
    "a yellow star on the right on a black background": Scene(
        background="black", things=(thing("yellow", "star", "right"),), place="right"
    ),
    "a red star left of a blue square on a yellow background": Scene(
        background="yellow", things=(thing("red", "star"), thing("blue", "square")), relation="left of"
    ),
    "a white triangle above a purple circle on a cyan background": Scene(
        background="cyan", things=(thing("white", "triangle"), thing("purple", "circle")), relation="above"
    ),
}


def nearly_equal(first: Image.Image, other: Image.Image) -> bool:
    """No byte differs by more than 1: what rounding does to a picture that is made with others."""
    bytes_of = (np.asarray(picture.convert("RGB"), np.int16) for picture in (first, other))
    return int(abs(np.subtract(*bytes_of)).max()) <= 1


@pytest.mark.parametrize(("name", "count", "size"), [("flux", 2, (128, 128)), ("sd35", 1, (96, 64))])
def test_a_prompt_becomes_pictures_of_the_asked_size(api: Api, made, name, count, size):
    job = made[name]
    assert job["status"] == "completed", job["error"]
    assert job["type"] == "image"
    assert job["attempts"] == 1
    assert [image["media_type"] for image in job["images"]] == ["image"] * count
    for image in job["images"]:
        picture = api.picture(image)
        picture.load()
        assert (picture.format, picture.size, (image["width"], image["height"])) == ("PNG", size, size)


def test_a_png_carries_its_metadata(api: Api, made):
    image = made["flux"]["images"][1]
    chunks = api.picture(image).text
    carried = json.loads(chunks["cyberimage"])
    assert carried == {
        k: v for k, v in image["metadata"].items() if k not in ("generation_time", "batch_size")
    }
    assert image["metadata"]["generation_time"] > 0
    assert (carried["model_id"], carried["prompt"], carried["seed"]) == ("demo-flux", PROMPT, 4)
    assert (carried["type"], carried["image_number"], carried["total_images"]) == ("image", 2, 2)
    assert chunks["parameters"].startswith(f"{PROMPT}\nSteps: 12, ")
    assert "Seed: 4, Size: 128x128, Model: demo-flux" in chunks["parameters"]
    assert api.get(f"/api/image/{image['id']}/metadata") == image["metadata"]


def test_the_same_seed_gives_the_same_file(api: Api, made):
    settings = {"seed": 3, "num_images": 2}
    (again,) = api.completed(api.paint(**settings))
    (other,) = api.completed(api.paint(**settings | {"seed": 5}))
    assert api.files(again) == api.files(made["flux"])
    assert api.files(other) != api.files(again)


def test_output_k_is_the_single_output_of_seed_plus_k(api: Api, made):
    assert [image["metadata"]["seed"] for image in made["flux"]["images"]] == [3, 4]
    (single,) = api.completed(api.paint(seed=4))
    assert nearly_equal(api.picture(single["images"][0]), api.picture(made["flux"]["images"][1]))


def test_jobs_of_one_call_paint_what_each_paints_alone(api: Api):
    asked = [{"prompt": prompt, "seed": seed} for prompt, seed in ASKED]
    api.post("/api/queue/pause")
    try:
        waiting = [api.paint(**settings) for settings in asked]
    finally:
        api.post("/api/queue/resume")
    together = api.completed(*waiting)
    alone = [api.completed(api.paint(**settings))[0] for settings in asked]
    assert [job["batch_size"] for job in together + alone] == [4, 4, 4, 4, 1, 1, 1, 1]
    pictures = [[api.picture(job["images"][0]) for job in jobs] for jobs in (together, alone)]
    assert all(map(nearly_equal, *pictures))


def test_a_random_seed_is_recorded_and_repeats_the_picture(api: Api):
    (random,) = api.completed(api.paint())
    seed = random["images"][0]["metadata"]["seed"]
    (again,) = api.completed(api.paint(seed=seed))
    assert api.picture(again["images"][0]).tobytes() == api.picture(random["images"][0]).tobytes()


@pytest.mark.parametrize(
    ("model", "style"), [("demo-flux", "filled"), ("demo-flux-outline", "outlined"), ("demo-sd35", "filled")]
)
def test_the_demos_paint_what_the_prompt_means(api: Api, model: str, style: Style):
    jobs = api.completed(*(api.paint(prompt, model=model, seed=4) for prompt in MEANT))
    for job, (prompt, scene) in zip(jobs, MEANT.items(), strict=True):
        verdict = judge(api.picture(job["images"][0]), scene, style)
        assert verdict.all, f"{prompt}: {verdict}"


def test_progress_only_grows_and_reaches_the_last_step(api: Api):
    states = list(api.watch(api.paint(width=128, height=128, num_inference_steps=30, num_images=2)))
    steps = [job["progress"]["step"] for job in states if job["progress"]["step"] is not None]
    percents = [job["progress"]["percent"] for job in states]
    assert len(set(steps)) > 2
    assert all(before <= after for before, after in pairwise(steps))
    assert all(before <= after for before, after in pairwise(percents))
    assert {job["progress"]["total_steps"] for job in states} <= {None, 60}
    assert (states[-1]["status"], percents[-1]) == ("completed", 100)
    assert states[-1]["progress"]["completed"] is True
