from collections import Counter
from random import Random

import pytest

from deployments.demo.scenes import COLORS, SHAPES, Scene, Split, sample_scene, split_of


def scenes(count: int, split: Split = "train") -> list[Scene]:
    rng = Random(1)
    return [sample_scene(rng, split) for _ in range(count)]


def test_a_seed_gives_the_same_scenes() -> None:
    assert scenes(5) == scenes(5)


def test_training_never_sees_a_combination_of_the_tests() -> None:
    kept, withheld = ({scene.key for scene in scenes(400, split)} for split in ("train", "test"))
    assert not kept & withheld
    assert all(split_of(scene) == "test" for scene in scenes(50, "test"))


def test_every_colour_and_shape_turns_up_in_both_splits() -> None:
    for split in ("train", "test"):
        things = [thing for scene in scenes(300, split) for thing in scene.things]
        assert {thing.color for thing in things} == set(COLORS)
        assert {thing.shape for thing in things} == set(SHAPES)


def test_nothing_is_painted_in_the_colour_of_its_background_or_neighbour() -> None:
    for scene in scenes(200):
        colors = Counter([scene.background, *(thing.color for thing in scene.things)])
        assert max(colors.values()) == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_two_things_keep_apart(split: Split) -> None:
    for scene in scenes(200, split):
        if scene.relation is None:
            continue
        one, other = scene.things
        distance = max(abs(one.x - other.x), abs(one.y - other.y))
        assert distance > (one.radius + other.radius) * 0.75
