"""What a person would type to get a scene: one canonical caption, and many other wordings of it."""

from __future__ import annotations

import string
from random import Random

from deployments.demo.scenes import Color, Place, Relation, Scene, Size, Thing

SIZE_WORDS: dict[Size, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("", "", "", "medium"),
    "large": ("large", "big", "huge"),
}
PLACE_WORDS: dict[Place, tuple[str, ...]] = {
    "center": ("", "", "in the center", "in the middle"),
    "left": ("on the left", "at the left", "on the left side", "to the left"),
    "right": ("on the right", "at the right", "on the right side", "to the right"),
    "top": ("at the top", "on the top", "on top", "at the upper side"),
    "bottom": ("at the bottom", "on the bottom", "at the lower side"),
    "top left": ("in the top left", "in the top left corner", "at the top left", "in the upper left corner"),
    "top right": (
        "in the top right",
        "in the top right corner",
        "at the top right",
        "in the upper right corner",
    ),
    "bottom left": (
        "in the bottom left",
        "in the bottom left corner",
        "at the bottom left",
        "in the lower left corner",
    ),
    "bottom right": (
        "in the bottom right",
        "in the bottom right corner",
        "at the bottom right",
        "in the lower right corner",
    ),
}
RELATION_WORDS: dict[Relation, tuple[str, ...]] = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
}
SIDES: dict[Relation, tuple[str, str]] = {
    "left of": ("on the left", "on the right"),
    "right of": ("on the right", "on the left"),
    "above": ("at the top", "at the bottom"),
    "below": ("at the bottom", "at the top"),
}
GROUND_WORDS = (
    "on {a} background",
    "on {a} background",
    "on {a} background",
    "on {color}",
    "against {a} background",
    "with {a} background",
    "on a plain {color} background",
    "on a solid {color} background",
)
OPENINGS = (
    "a photo of",
    "photo of",
    "a picture of",
    "picture of",
    "an image of",
    "a drawing of",
    "a painting of",
    "an illustration of",
    "draw",
    "paint",
    "show me",
    "there is",
)
ENDINGS = ("high quality", "simple", "flat design", "clean", "minimalist", "detailed", "digital art")


def caption(scene: Scene) -> str:
    """The plain wording: everything that the scene is, said once."""
    first, *others = (noun(thing) for thing in scene.things)
    where = f"{scene.relation} {others[0]}" if scene.relation else _plain_place(scene)
    return f"{first} {where} on {with_article(scene.background)} background".replace("  ", " ")


def bare_pair(scene: Scene, rng: Random) -> str:
    """Two things without their relation: `a red circle and a blue star`."""
    nouns = " and ".join(_noun(thing, rng) for thing in scene.things)
    return f"{nouns} {_ground(scene.background, rng)}".strip()


def wording(scene: Scene, rng: Random) -> str:
    """One of many ways to say it: synonyms, other orders, openings, words that mean nothing here."""
    if scene.relation is None and rng.random() < 0.2:
        text = _listed(scene, rng)
    else:
        text = _subject(scene, rng)
        ground = _ground(scene.background, rng)
        text = f"{ground}, {text}" if ground and rng.random() < 0.12 else f"{text} {ground}".strip()
        if rng.random() < 0.25:
            text = f"{rng.choice(OPENINGS)} {text}"
    return ended(text, rng, 0.15)


def ended(text: str, rng: Random, share: float) -> str:
    """The text, in that share of cases with words behind it that say nothing of the scene."""
    if rng.random() < share:
        text += f", {rng.choice(ENDINGS) if rng.random() < 0.6 else unknown_word(rng)}"
    return text + "." if rng.random() < 0.08 else text


def noun(thing: Thing, size: str | None = None) -> str:
    """The thing with its article: `a large red circle`. A medium thing's size goes without saying."""
    word = ("" if thing.size == "medium" else thing.size) if size is None else size
    return with_article(f"{word} {thing.color} {thing.shape}".strip())


def with_article(text: str) -> str:
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def unknown_word(rng: Random) -> str:
    """A word that no list has: spelled out by the tokenizers, and nothing in the picture comes of it."""
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 8)))


def _plain_place(scene: Scene) -> str:
    if scene.place is None or scene.place == "center":
        return ""
    return PLACE_WORDS[scene.place][0]


def _subject(scene: Scene, rng: Random) -> str:
    nouns = [_noun(thing, rng) for thing in scene.things]
    if scene.place is not None:
        return f"{nouns[0]} {rng.choice(PLACE_WORDS[scene.place])}".strip()
    assert scene.relation is not None
    if rng.random() < 0.7:
        return f"{nouns[0]} {rng.choice(RELATION_WORDS[scene.relation])} {nouns[1]}"
    first, second = (f"{name} {side}" for name, side in zip(nouns, SIDES[scene.relation], strict=True))
    return rng.choice((f"{first} and {second}", f"{first}, {second}", f"{second} and {first}"))


def _noun(thing: Thing, rng: Random) -> str:
    size = rng.choice(SIZE_WORDS[thing.size])
    style = rng.random()
    if style < 0.1:
        return f"{size} {thing.color} {thing.shape}".strip()
    if style < 0.16:
        return with_article(f"{thing.shape} that is {size and size + ' and '}{thing.color}")
    if style < 0.19:
        return with_article(f"{unknown_word(rng)} {size} {thing.color} {thing.shape}".replace("  ", " "))
    return noun(thing, size)


def _listed(scene: Scene, rng: Random) -> str:
    """Comma style: `red circle, large, top left, blue background`."""
    assert scene.place is not None
    (thing,) = scene.things
    size, place = rng.choice(SIZE_WORDS[thing.size]), rng.choice(PLACE_WORDS[scene.place])
    if rng.random() < 0.3:
        place = scene.place if place else ""
    ground = "" if _omitted(scene.background, rng) else f"{scene.background} background"
    opening = f"{rng.choice(OPENINGS)} " if rng.random() < 0.1 else ""
    return opening + ", ".join(part for part in (f"{thing.color} {thing.shape}", size, place, ground) if part)


def _ground(color: Color, rng: Random) -> str:
    if _omitted(color, rng):
        return ""
    return rng.choice(GROUND_WORDS).format(a=with_article(color), color=color)


def _omitted(color: Color, rng: Random) -> bool:
    """A background that nobody names is white."""
    return color == "white" and rng.random() < 0.6
