"""Prompt in, picture out."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from deployments.demo.judge import nearest
from deployments.demo.scenes import COLORS
from tests.serving import PROMPT, Api, View

pytestmark = pytest.mark.acceptance

ASKED = [
    ("a large red circle on a blue background", 3),
    ("a large yellow star on a purple background", 4),
    ("a large green square on a white background", 5),
    ("a large orange triangle on a cyan background", 6),
]


def colours(api: Api, image: View) -> list[str]:
    """Palette colours of the picture, the most frequent first."""
    pixels = np.asarray(api.picture(image).convert("RGB"), np.float32)
    counts = np.bincount(nearest(pixels, COLORS).ravel(), minlength=len(COLORS))
    return [COLORS[index] for index in counts.argsort()[::-1]]


@pytest.mark.parametrize(("name", "count", "size"), [("flux", 2, (64, 64)), ("sd35", 1, (96, 64))])
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
    assert carried == {k: v for k, v in image["metadata"].items() if k != "generation_time"}
    assert image["metadata"]["generation_time"] > 0
    assert (carried["model_id"], carried["prompt"], carried["seed"]) == ("demo-flux", PROMPT, 4)
    assert (carried["type"], carried["image_number"], carried["total_images"]) == ("image", 2, 2)
    assert chunks["parameters"].startswith(f"{PROMPT}\nSteps: 12, ")
    assert "Seed: 4, Size: 64x64, Model: demo-flux" in chunks["parameters"]
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
    second = api.picture(made["flux"]["images"][1])
    assert api.picture(single["images"][0]).tobytes() == second.tobytes()


def test_a_random_seed_is_recorded_and_repeats_the_picture(api: Api):
    (random,) = api.completed(api.paint())
    seed = random["images"][0]["metadata"]["seed"]
    (again,) = api.completed(api.paint(seed=seed))
    assert api.picture(again["images"][0]).tobytes() == api.picture(random["images"][0]).tobytes()


def test_the_demo_paints_the_asked_colours(api: Api):
    jobs = api.completed(*(api.paint(prompt, seed=seed) for prompt, seed in ASKED))
    painted = [colours(api, job["images"][0])[:2] for job in jobs]
    asked = [[word for word in prompt.split() if word in COLORS][::-1] for prompt, _ in ASKED]
    assert painted == asked


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
