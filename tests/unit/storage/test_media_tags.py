"""What every media index promises about tags, on each of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from job_examples import LATER, NOON, job, media

from storage.errors import TooManyTags
from storage.jobs import JobId
from storage.media import MediaId, MediaIndex, MediaQuery
from storage.stores import Stores
from storage.tags import MOST_TAGS, Tag


def tags(*names: str) -> tuple[Tag, ...]:
    return tuple(map(Tag, names))


def finish(stores: Stores, names: str, *, client: str | None = None) -> None:
    """Run a job for each letter, whose output has that id: made a second after the one before."""
    for number, name in enumerate(names):
        stores.jobs.add(job(name, client=client), max_pending=100)
        stores.jobs.claim(JobId(name), owner="me", now=NOON, lease_until=LATER)
        made = (media(name, job_id=name, created_at=NOON + timedelta(seconds=number)),)
        assert stores.jobs.complete(
            JobId(name), owner="me", now=LATER, media=made, load_seconds=0, run_seconds=1
        )


def tag(stores: Stores, ids: str, *names: str, client: str | None = None) -> int:
    return stores.media.change_tags([MediaId(each) for each in ids], add=tags(*names), client=client)


def tags_of(stores: Stores, name: str) -> tuple[str, ...]:
    found = stores.media.get(MediaId(name))
    assert found is not None
    return found.tags


def found(stores: Stores, *names: str, client: str | None = None) -> str:
    query = MediaQuery(tags=tags(*names), client=client)
    assert "".join(stores.media.ids(query)) == "".join(
        each.id for each in stores.media.page(query, limit=50).media
    )
    return "".join(stores.media.ids(query))


def uses(stores: Stores, client: str | None = None) -> list[tuple[str, int]]:
    return [(use.tag, use.count) for use in stores.media.tags(client=client)]


def test_tags_are_kept_in_order_and_replaced_as_a_whole(stores: Stores) -> None:
    finish(stores, "ab")
    assert tags_of(stores, "a") == ()
    assert stores.media.set_tags(MediaId("a"), tags("sea", "Dusk", "DUSK", "Élan vital"))
    assert tags_of(stores, "a") == ("Dusk", "sea", "Élan vital")
    assert stores.media.page(MediaQuery(), limit=2).media[1].tags == tags_of(stores, "a")
    assert stores.media.of_job("a")[0].tags == tags_of(stores, "a")
    assert tags_of(stores, "b") == ()
    assert stores.media.set_tags(MediaId("a"), tags("SEA"))
    assert tags_of(stores, "a") == ("SEA",)
    assert stores.media.set_tags(MediaId("a"), ())
    assert tags_of(stores, "a") == ()


def test_media_may_come_with_tags(index: MediaIndex) -> None:
    upload = media("u", job_id=None, tags=("dusk", "sea"))
    index.add(upload)
    assert index.get(upload.id) == upload


def test_several_media_are_tagged_at_once(stores: Stores) -> None:
    finish(stores, "abc")
    assert tag(stores, "a", "Sea", "calm") == 1
    ids = [MediaId(each) for each in ("a", "b", "b", "gone")]
    assert stores.media.change_tags(ids, add=tags("sea", "dusk"), remove=tags("CALM", "unknown")) == 2
    assert tags_of(stores, "a") == ("dusk", "Sea")
    assert tags_of(stores, "b") == ("dusk", "sea")
    assert tags_of(stores, "c") == ()
    assert stores.media.change_tags([MediaId("gone")], add=tags("sea")) == 0


def test_media_with_all_of_the_tags_are_found_whatever_their_capitals(stores: Stores) -> None:
    finish(stores, "abcd")
    tag(stores, "abc", "Sea")
    tag(stores, "bcd", "dusk")
    assert found(stores, "SEA") == found(stores, "sea", "Sea") == "cba"
    assert found(stores, "sea", "Dusk") == "cb"
    assert found(stores, "sea", "dusk", "calm") == ""
    assert found(stores, "se") == ""
    assert found(stores) == "dcba"


@pytest.mark.parametrize("few", [0, 1000])
def test_tagged_media_come_in_pages(stores: Stores, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("storage.sql_media.FEW", few)
    finish(stores, "abcdef")
    tag(stores, "acef", "sea", "dusk")
    query, cursor, shown = MediaQuery(tags=tags("sea", "dusk"), model="flux", words=("cat",)), None, []
    while True:
        page = stores.media.page(query, limit=2, cursor=cursor)
        shown.append("".join(each.id for each in page.media))
        assert page.total == 4
        if (cursor := page.next_cursor) is None:
            break
    assert shown == ["fe", "ca"]


def test_the_tags_in_use_are_counted_the_most_used_first(stores: Stores) -> None:
    finish(stores, "abc")
    assert uses(stores) == []
    tag(stores, "ab", "sea")
    tag(stores, "c", "Sea")
    tag(stores, "c", "calm", "Dusk")
    stores.media.add(media("u", job_id=None, tags=("upload",)))
    assert uses(stores) == [("sea", 3), ("calm", 1), ("Dusk", 1)]
    stores.media.set_tags(MediaId("c"), ())
    assert uses(stores) == [("sea", 2)]


def test_tags_of_another_client_are_neither_seen_nor_changed(stores: Stores) -> None:
    finish(stores, "ab", client="ann")
    finish(stores, "c", client="bob")
    tag(stores, "abc", "sea")
    assert stores.media.set_tags(MediaId("a"), tags("mine"), client="bob") is False
    assert tag(stores, "abc", "dusk", client="bob") == 1
    assert tags_of(stores, "a") == ("sea",)
    assert uses(stores, "ann") == [("sea", 2)]
    assert uses(stores, "bob") == [("dusk", 1), ("sea", 1)]
    assert (found(stores, "sea", client="ann"), found(stores, "sea", client="bob")) == ("ba", "c")


def test_unknown_media_has_no_tags(index: MediaIndex) -> None:
    assert index.set_tags(MediaId("x"), tags("sea")) is False
    assert index.tags() == ()


def test_one_with_too_many_tags_leaves_all_as_they_are(stores: Stores) -> None:
    finish(stores, "ab")
    most = [str(number) for number in range(MOST_TAGS)]
    tag(stores, "b", *most)
    assert tag(stores, "b", *most) == 1
    with pytest.raises(TooManyTags):
        tag(stores, "ab", "one more")
    with pytest.raises(TooManyTags):
        stores.media.set_tags(MediaId("b"), tags(*most, "one more"))
    assert (tags_of(stores, "a"), len(tags_of(stores, "b"))) == ((), MOST_TAGS)
    ids = [MediaId("a"), MediaId("b")]
    assert stores.media.change_tags(ids, add=tags("one more"), remove=tags("0")) == 2
    assert "one more" in tags_of(stores, "b")


@pytest.mark.parametrize("way", ["delete", "delete_all", "prune", "job"])
def test_deleted_media_take_their_tags_with_them(stores: Stores, way: str) -> None:
    finish(stores, "ab")
    tag(stores, "ab", "sea")
    name = MediaId("a")
    if way == "delete":
        deleted = stores.media.delete(name)
        assert deleted is not None
        assert (deleted.id, deleted.tags) == ("a", ())
    elif way == "delete_all":
        assert [each.tags for each in stores.media.delete_all([name])] == [()]
    elif way == "prune":
        assert [each.tags for each in stores.media.prune([name])] == [()]
    else:
        assert stores.jobs.delete(JobId("a")) is not None
    assert uses(stores) == [("sea", 1)]
    stores.media.add(media("a", job_id=None))
    assert tags_of(stores, "a") == ()


def test_tags_are_no_reason_to_keep_media(stores: Stores) -> None:
    finish(stores, "a")
    tag(stores, "a", "sea")
    assert [(each.id, each.tags) for each in stores.media.expendable(after=None, limit=9)] == [
        ("a", ("sea",))
    ]


def test_a_file_that_is_taken_in_again_begins_without_tags(stores: Stores) -> None:
    finish(stores, "a")
    tag(stores, "a", "sea")
    lost = stores.jobs.delete(JobId("a"))
    assert lost is not None
    assert stores.jobs.adopt(job("again"), media("a", job_id="again"))
    assert tags_of(stores, "a") == ()
    assert tag(stores, "a", "dusk") == 1
