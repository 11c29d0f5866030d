from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from PIL import Image

from deployments.demo.clip_captions import CLIP_WORDS, clip_caption, clip_wording, motion_wording
from deployments.demo.clip_judge import judge_clip, psnr
from deployments.demo.clips import FRAMES, MOTIONS, SIZE, Clip, frames_of, sample_clip, split_of
from deployments.demo.scenes import Thing

FIRST = Thing(shape="star", color="red", size="medium", x=0.35, y=0.5, radius=0.18)
CLIP = Clip(background="blue", motion="right", first=FIRST, last=replace(FIRST, x=0.68))


def pictures(clip: Clip, count: int = 9) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in frames_of(clip, count)]


def flaws(frames: Sequence[Image.Image]) -> set[str]:
    verdict = judge_clip(frames, CLIP)
    names = ("background", "color", "motion", "shape", "smooth", "clean")
    return {name for name in names if not getattr(verdict, name)}


def test_the_splits_share_no_combination() -> None:
    rng = Random(1)
    train, test = ({sample_clip(rng, split).key for _ in range(400)} for split in ("train", "test"))
    assert not train & test


def test_a_clip_goes_evenly_from_its_first_to_its_last_scene() -> None:
    (start,), (middle,), (end,) = (CLIP.scene(progress).things for progress in (0, 0.5, 1))
    assert start == FIRST
    assert middle.x == pytest.approx((start.x + end.x) / 2)
    assert (end.x, end.y, end.radius) == (0.68, 0.5, FIRST.radius)


@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize("motion", MOTIONS)
def test_rendered_clips_are_right_in_everything(motion, anywhere) -> None:
    rng = Random(2)
    for clip in (sample_clip(rng, "test", motions=(motion,), anywhere=anywhere) for _ in range(3)):
        assert judge_clip(pictures(clip, 17), clip).all, clip


def test_unless_they_may_be_anywhere_things_move_by_whole_pixels_from_a_grid_of_eight() -> None:
    rng = Random(5)
    for clip in (sample_clip(rng) for _ in range(50)):
        places = [place * SIZE for place in (clip.first.x, clip.first.y)]
        assert all(place % 8 == 0 for place in places)
        moved = [
            (last - first) * SIZE
            for first, last in ((clip.first.x, clip.last.x), (clip.first.y, clip.last.y))
        ]
        assert all(step % (FRAMES - 1) == 0 for step in moved)
    loose = [sample_clip(rng, anywhere=True) for _ in range(50)]
    assert len({clip.first.x for clip in loose}) > 45


def test_each_flaw_is_seen_for_what_it_is() -> None:
    right = pictures(CLIP)
    assert flaws(right) == set()
    assert flaws(right[::-1]) == {"motion"}
    assert flaws([right[0]] * 9) == {"motion"}
    assert flaws(pictures(replace(CLIP, background="green"))) == {"background", "clean"}
    assert flaws([*right[:4], right[8], *right[5:]]) == {"smooth"}
    square = {"first": replace(FIRST, shape="square"), "last": replace(CLIP.last, shape="square")}
    assert flaws(pictures(replace(CLIP, **square))) == {"shape"}


def test_a_thing_that_vanishes_in_the_middle_has_no_colour_there() -> None:
    empty = Image.new("RGB", (64, 64), pictures(CLIP)[0].getpixel((0, 0)))
    frames = pictures(CLIP)
    frames[4] = empty
    assert {"color", "smooth"} <= flaws(frames)


def test_the_plain_caption_says_everything_once() -> None:
    assert clip_caption(CLIP) == "a red star moving right on a blue background"


def test_every_wording_names_the_thing_and_its_motion() -> None:
    rng = Random(3)
    said = set()
    for _ in range(500):
        clip = sample_clip(rng)
        text = clip_wording(clip, rng)
        assert clip.first.color in text
        assert clip.first.shape in text
        assert "  " not in text
        said.add(text)
        assert motion_wording(clip, rng)
    assert len(said) > 490


def test_every_word_of_a_motion_is_listed() -> None:
    rng = Random(4)
    clips = [sample_clip(rng) for _ in range(300)]
    words = {word for clip in clips for word in clip_caption(clip).split()}
    words |= {word.strip(".") for clip in clips for word in motion_wording(clip, rng).split(",")[0].split()}
    assert words <= set(CLIP_WORDS)


def test_distance_in_decibels() -> None:
    black, grey = Image.new("RGB", (8, 8)), Image.fromarray(np.full((8, 8, 3), 51, np.uint8))
    assert psnr(black, grey) == pytest.approx(13.98, abs=0.01)
    assert psnr(grey, grey) == 100


def test_only_the_key_decides_the_split() -> None:
    assert split_of(CLIP) == split_of(replace(CLIP, last=replace(CLIP.last, x=0.6)))
