from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import TooManyTags
from storage.tags import LONGEST_TAG, MOST_TAGS, Tag, changed, in_order, key_of, most_used_first, tag_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sea", "sea"),
        ("  long\t\n exposure ", "long exposure"),
        ("E\u0301lan", "Élan"),
        ("日本", "日本"),
        ("👩‍🚀", "👩‍🚀"),
        ("x" * 40, "x" * 40),
        ("e\u0301" * 40, "é" * 40),
    ],
)
def test_a_tag_is_composed_and_has_no_needless_space(text: str, expected: str) -> None:
    assert tag_of(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1 to 40 characters"),
        (" \t\u3000", "1 to 40 characters"),
        ("x" * 41, "1 to 40 characters"),
        ("a\x07b", "control characters"),
        ("\u200b\u200d", "a character that can be seen"),
    ],
)
def test_what_is_no_tag_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        tag_of(text)


@given(st.text(max_size=60))
def test_a_tag_is_a_tag_and_capitals_make_no_other(text: str) -> None:
    try:
        tag = tag_of(text)
    except ValueError:
        return
    assert tag_of(tag) == tag
    assert 1 <= len(tag) <= LONGEST_TAG
    assert tag.splitlines() == [tag]
    assert key_of(Tag(key_of(tag))) == key_of(tag)


def test_the_first_spelling_counts() -> None:
    assert in_order(map(Tag, ["Sea", "dusk", "SEA", "ÉLAN", "élan"])) == ("dusk", "Sea", "ÉLAN")


def test_tags_are_removed_and_added_and_others_keep_their_spelling() -> None:
    sea, dusk = Tag("Sea"), Tag("dusk")
    assert changed([sea, dusk], add=[Tag("sea"), Tag("calm")], remove=[Tag("DUSK")]) == ("calm", "Sea")


def test_there_may_not_be_too_many() -> None:
    most = [Tag(str(number)) for number in range(MOST_TAGS)]
    assert len(changed(most, add=most, remove=[])) == MOST_TAGS
    with pytest.raises(TooManyTags, match=str(MOST_TAGS)):
        changed(most, add=[Tag("x")], remove=[])
    assert len(changed(most, add=[Tag("x")], remove=[most[0]])) == MOST_TAGS


def test_a_tag_is_listed_as_it_is_spelt_most_often() -> None:
    uses = most_used_first([(Tag("sea"), 1), (Tag("Sea"), 2), (Tag("b"), 3), (Tag("a"), 1), (Tag("A"), 1)])
    assert [(use.tag, use.count) for use in uses] == [("b", 3), ("Sea", 3), ("A", 2)]
