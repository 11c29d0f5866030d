import re
from random import Random

import pytest

from deployments.demo.captions import caption, wording
from deployments.demo.scenes import Scene, Thing, sample_scene

RED = Thing(shape="circle", color="red", size="large", x=0.36, y=0.36, radius=0.31)
BLUE = Thing(shape="star", color="blue", size="medium", x=0.73, y=0.5, radius=0.165)


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        (
            Scene(background="orange", things=(RED,), place="top left"),
            "a large red circle in the top left on an orange background",
        ),
        (Scene(background="white", things=(BLUE,), place="center"), "a blue star on a white background"),
        (
            Scene(background="black", things=(BLUE, RED), relation="right of"),
            "a blue star right of a large red circle on a black background",
        ),
    ],
)
def test_the_plain_caption_says_everything_once(scene: Scene, expected: str) -> None:
    assert caption(scene) == expected


def test_every_wording_names_colours_shapes_and_a_background_other_than_white() -> None:
    rng = Random(2)
    for _ in range(500):
        scene = sample_scene(rng)
        text = wording(scene, rng)
        assert all(f"{thing.color}" in text and thing.shape in text for thing in scene.things), text
        assert "  " not in text
        assert text == text.strip()


def test_a_scene_has_many_wordings() -> None:
    rng = Random(3)
    scene = Scene(background="white", things=(RED,), place="center")
    assert len({wording(scene, rng) for _ in range(200)}) > 100


def test_a_background_that_nobody_names_is_white() -> None:
    rng = Random(4)
    unnamed = 0
    for _ in range(300):
        scene = sample_scene(rng)
        if scene.background not in re.findall("[a-z]+", wording(scene, rng)):
            assert scene.background == "white"
            unnamed += 1
    assert unnamed > 5
