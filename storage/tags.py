"""Tags: short names that people give to pictures and clips. Capitals do not tell one from another."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from storage.errors import TooManyTags

#: As `tag_of` gives it.
Tag = NewType("Tag", str)

LONGEST_TAG = 40
#: Of one picture or clip.
MOST_TAGS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class TagUse:
    """A tag as it is spelt most often, and how many pictures and clips have it."""

    tag: Tag
    count: int


def tag_of(text: str) -> Tag:
    """The tag that someone means: in Unicode's form NFC, its white space collapsed.

    Raises ValueError, with the end of a sentence, for what is no tag.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 1 <= len(name) <= LONGEST_TAG:
        raise ValueError(f"must have 1 to {LONGEST_TAG} characters")
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise ValueError("must not contain control characters")
    if not any(letter.isprintable() for letter in name):
        raise ValueError("must have a character that can be seen")
    return Tag(name)


def key_of(tag: Tag) -> str:
    """The same for all spellings of a tag; their order is that of a list."""
    return unicodedata.normalize("NFC", tag.casefold())


def in_order(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """Each once, as it is spelt first. Raises TooManyTags."""
    spellings: dict[str, Tag] = {}
    for tag in tags:
        spellings.setdefault(key_of(tag), tag)
    if len(spellings) > MOST_TAGS:
        raise TooManyTags
    return tuple(spellings[key] for key in sorted(spellings))


def changed(tags: Iterable[Tag], *, add: Iterable[Tag], remove: Iterable[Tag]) -> tuple[Tag, ...]:
    """Without some, then with others; those that stay keep their spelling. Raises TooManyTags."""
    gone = {key_of(tag) for tag in remove}
    return in_order([*(tag for tag in tags if key_of(tag) not in gone), *add])


def most_used_first(spellings: Iterable[tuple[Tag, int]]) -> tuple[TagUse, ...]:
    """The tags of these spellings, each of which so many pictures and clips have."""
    by_key: dict[str, list[tuple[int, Tag]]] = defaultdict(list)
    for tag, count in spellings:
        by_key[key_of(tag)].append((-count, tag))
    uses = {key: TagUse(tag=min(found)[1], count=-sum(n for n, _ in found)) for key, found in by_key.items()}
    return tuple(uses[key] for key in sorted(uses, key=lambda key: (-uses[key].count, key)))
