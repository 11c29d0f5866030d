"""What a person would type to get a clip, or to set the thing of a picture in motion."""

from __future__ import annotations

from random import Random

from deployments.demo.captions import (
    GROUND_WORDS,
    SIZE_WORDS,
    ended,
    noun,
    unknown_word,
    with_article,
)
from deployments.demo.clips import Clip, Motion
from deployments.demo.scenes import Color, Thing
from deployments.demo.tokenizers import WORDS

MOTION_WORDS: dict[Motion, tuple[str, ...]] = {
    "left": ("moving left", "moving to the left", "moving from right to left", "going left", "sliding left"),
    "right": (
        "moving right",
        "moving to the right",
        "moving from left to right",
        "going right",
        "sliding right",
    ),
    "up": ("moving up", "moving upwards", "rising", "going up", "moving from bottom to top"),
    "down": ("moving down", "moving downwards", "falling", "going down", "moving from top to bottom"),
    "growing": ("growing", "growing larger", "getting bigger", "getting larger", "becoming bigger"),
    "shrinking": ("shrinking", "getting smaller", "becoming smaller"),
    "still": ("", "", "standing still", "not moving"),
}
VERBS: dict[Motion, tuple[str, ...]] = {
    "left": ("moves left", "moves to the left", "goes left", "slides to the left"),
    "right": ("moves right", "moves to the right", "goes right", "slides to the right"),
    "up": ("moves up", "moves upwards", "rises", "goes up"),
    "down": ("moves down", "moves downwards", "falls", "goes down"),
    "growing": ("grows", "gets bigger", "becomes larger", "gets larger"),
    "shrinking": ("shrinks", "gets smaller", "becomes smaller"),
    "still": ("stands still", "does not move"),
}
OPENINGS = ("a video of", "video of", "a clip of", "an animation of", "show me", "there is")
ENDED = 0.1
"""Share of wordings with words behind them that say nothing of the clip."""
PACES = ("slowly", "quickly", "smoothly")
CLIP_WORDS = [
    *WORDS,
    *"""
    moves move goes go sliding slides drifting rising rises falling falls upwards downwards leftwards
    rightwards upward downward leftward rightward grows grow getting gets becoming becomes bigger larger
    smaller shrinks shrink standing stands stays staying not does it its object shape thing animation
    make lets let towards across motion going smoothly then frame screen movie gif size until edge
    """.split(),  # noqa: SIM905 (as WORDS)
]


def clip_caption(clip: Clip) -> str:
    """The plain wording: `a red circle moving right on a blue background`."""
    motion = MOTION_WORDS[clip.motion][0] or MOTION_WORDS[clip.motion][2]
    return f"{noun(clip.first)} {motion} on {with_article(clip.background)} background"


def clip_wording(clip: Clip, rng: Random) -> str:
    """One of many ways to say it: synonyms, other orders, openings, words that mean nothing here."""
    subject, ground, motion = _noun(clip.first, rng), _ground(clip.background, rng), _motion(clip.motion, rng)
    style = rng.random()
    if style < 0.5:
        text = f"{subject} {motion} {ground}"
    elif style < 0.65:
        text = f"{subject} {ground} {motion}"
    elif style < 0.75:
        text = f"{subject} {ground}, {motion}" if motion else f"{subject} {ground}"
    elif style < 0.85:
        text = f"{ground}, {subject} {motion}" if ground else f"{subject} {motion}"
    elif style < 0.9:
        text = ", ".join(part for part in (f"{clip.first.color} {clip.first.shape}", motion, ground) if part)
    else:
        text = f"{subject} {_verb(clip.motion, rng)} {ground}"
    if rng.random() < 0.2:
        text = f"{rng.choice(OPENINGS)} {text}"
    return ended(" ".join(text.split()), rng, ENDED)


def motion_wording(clip: Clip, rng: Random) -> str:
    """Of the motion alone, for a picture that shows the rest: `the circle moves right`."""
    thing = clip.first
    name = rng.choice((f"the {thing.shape}", f"the {thing.color} {thing.shape}", "it", "the object"))
    motion = rng.choice([words for words in MOTION_WORDS[clip.motion] if words])
    verb = _verb(clip.motion, rng)
    text = rng.choice((motion, motion, f"{name} {verb}", f"{name} {verb}", f"{name} is {motion}", verb))
    return ended(text, rng, ENDED)


def _motion(motion: Motion, rng: Random) -> str:
    words = rng.choice(MOTION_WORDS[motion][:1] * 2 + MOTION_WORDS[motion])
    return _paced(words, rng)


def _verb(motion: Motion, rng: Random) -> str:
    return _paced(rng.choice(VERBS[motion]), rng)


def _paced(words: str, rng: Random) -> str:
    if not words or rng.random() > 0.08:
        return words
    return rng.choice(("{0} {1}", "{1} {0}")).format(rng.choice(PACES), words)


def _noun(thing: Thing, rng: Random) -> str:
    size = rng.choice(SIZE_WORDS[thing.size])
    style = rng.random()
    if style < 0.1:
        return f"{size} {thing.color} {thing.shape}".strip()
    if style < 0.14:
        return with_article(f"{unknown_word(rng)} {size} {thing.color} {thing.shape}".replace("  ", " "))
    return noun(thing, size)


def _ground(color: Color, rng: Random) -> str:
    """A background that nobody names is white."""
    if color == "white" and rng.random() < 0.6:
        return ""
    return rng.choice(GROUND_WORDS).format(a=with_article(color), color=color)
