from dataclasses import replace
from random import Random

import numpy as np
import pytest
from PIL import Image

from deployments.demo.drawing import render
from deployments.demo.judge import judge
from deployments.demo.scenes import SHAPES, Scene, Shape, Thing, sample_scene

THING = Thing(shape="star", color="red", size="medium", x=0.27, y=0.5, radius=0.21)
SCENE = Scene(background="blue", things=(THING,), place="left")
PAIR = Scene(
    background="white",
    things=(
        Thing(shape="circle", color="pink", size="small", x=0.27, y=0.5, radius=0.11),
        Thing(shape="square", color="red", size="large", x=0.73, y=0.5, radius=0.215),
    ),
    relation="left of",
)


def test_rendered_scenes_are_right_in_everything() -> None:
    rng = Random(5)
    scenes = [sample_scene(rng, "test") for _ in range(25)]
    assert all(judge(render(scene), scene).all for scene in scenes)


def test_noise_and_soft_edges_do_no_harm() -> None:
    small = render(SCENE, 64).resize((128, 128), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 8, (128, 128, 3))
    rough = Image.fromarray(np.clip(np.asarray(small) + noise, 0, 255).astype(np.uint8))
    assert judge(rough, SCENE).all


@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_asked_shape_is_right(shape: Shape) -> None:
    painted = replace(SCENE, things=(replace(THING, shape=shape),))
    verdict = judge(render(painted), SCENE)
    assert verdict.shapes == (shape == "star")
    assert verdict.background
    assert verdict.colors
    assert verdict.place


def test_each_flaw_is_seen_for_what_it_is() -> None:
    def flaws(painted: Scene) -> set[str]:
        verdict = judge(render(painted), SCENE)
        return {name for name in ("background", "place", "sizes") if not getattr(verdict, name)}

    assert flaws(replace(SCENE, background="green")) == {"background"}
    assert flaws(replace(SCENE, things=(replace(THING, x=0.6),))) == {"place"}
    assert flaws(replace(SCENE, things=(replace(THING, radius=0.12),))) == {"sizes"}


def test_a_wrong_colour_is_no_colour_and_a_stray_blob() -> None:
    verdict = judge(render(replace(SCENE, things=(replace(THING, color="green"),))), SCENE)
    assert not verdict.colors
    assert not verdict.clean


def test_a_relation_holds_one_way_only() -> None:
    assert judge(render(PAIR), PAIR).all
    swapped = replace(PAIR, relation="right of")
    assert not judge(render(PAIR), swapped).place
    missing = judge(render(replace(PAIR, things=PAIR.things[:1])), PAIR)
    assert missing.background
    assert not missing.colors


def test_outlined_scenes_are_right_as_outlines_and_filled_ones_are_not() -> None:
    rng = Random(5)
    scenes = [sample_scene(rng, "test") for _ in range(15)]
    verdicts = [judge(render(scene, style="outlined"), scene, "outlined") for scene in scenes]
    assert all(v.background and v.colors and v.place and v.shapes and v.clean for v in verdicts)
    assert not any(judge(render(scene), scene, "outlined").shapes for scene in scenes)
