"""What every media index promises, on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from job_examples import LATER, NOON, job, media

from storage.errors import InvalidCursor
from storage.jobs import JobId
from storage.media import Life, Media, MediaId, MediaIndex, MediaQuery
from storage.stores import Stores


def finish(stores: Stores, *outputs: Media, name: str = "job", client: str | None = None) -> None:
    """Run a job that makes these outputs."""
    stores.jobs.add(job(name, client=client), max_pending=100)
    stores.jobs.claim(JobId(name), owner="me", now=NOON, lease_until=LATER)
    made = tuple(replace(each, job_id=name) for each in outputs)
    assert stores.jobs.complete(JobId(name), owner="me", now=LATER, media=made, load_seconds=0, run_seconds=1)


def output(name: str, **values: Any) -> Media:
    return media(name, job_id="job", **values)


def found(index: MediaIndex, *words: str, **query: Any) -> str:
    return "".join(each.id for each in index.page(MediaQuery(words=words, **query), limit=50).media)


def test_an_upload_has_no_job_and_is_not_in_the_gallery(index: MediaIndex) -> None:
    upload = media("u", job_id=None)
    index.add(upload)
    assert index.get(upload.id) == upload
    assert upload.is_upload
    assert index.page(MediaQuery(), limit=9).total == 0


def test_media_of_another_client_is_not_there(stores: Stores) -> None:
    index = stores.media
    finish(stores, output("a"), client="ann")
    index.add(media("u", job_id=None), client="ann")
    index.add(media("n", job_id=None))
    for name, client in [("a", "bob"), ("u", "bob"), ("n", "ann")]:
        assert index.get(MediaId(name), client=client) is None
        assert index.set_favorite(MediaId(name), True, client=client) is False
        assert index.delete(MediaId(name), client=client) is None
    assert index.get(MediaId("u"), client="ann") == index.get(MediaId("u")) is not None
    assert index.set_favorite(MediaId("a"), True, client="ann")
    assert index.delete(MediaId("u"), client="ann") is not None


def test_unknown_media_is_none(index: MediaIndex) -> None:
    assert index.get(MediaId("x")) is None
    assert index.delete(MediaId("x")) is None
    assert index.set_favorite(MediaId("x"), True) is False
    assert index.of_job("x") == ()


def test_a_jobs_outputs_come_in_order_of_their_numbers(stores: Stores) -> None:
    finish(stores, *(output(name, image_number=k) for k, name in ((10, "a"), (2, "b"), (1, "c"))))
    assert "".join(each.id for each in stores.media.of_job("job")) == "cba"


def test_a_favourite_is_remembered_and_found(stores: Stores) -> None:
    finish(stores, output("a"), output("b"))
    assert stores.media.set_favorite(MediaId("a"), True)
    assert found(stores.media, favorite=True) == "a"
    assert found(stores.media, favorite=False) == "b"
    assert stores.media.set_favorite(MediaId("a"), False)
    assert found(stores.media, favorite=True) == ""


def test_deleted_media_is_returned_once_and_leaves_its_job(stores: Stores) -> None:
    finish(stores, output("a"))
    deleted = stores.media.delete(MediaId("a"))
    assert deleted is not None
    assert deleted.file_path == "2026/03/01/a.png"
    assert stores.media.delete(MediaId("a")) is None
    assert stores.jobs.get(JobId("job")) is not None


def test_the_gallery_is_narrowed_by_model_type_and_client(stores: Stores) -> None:
    finish(stores, output("a"), output("b", media_type="video"), client="ann")
    finish(stores, output("c", model_id="sd35"), name="other")
    assert found(stores.media, model="sd35") == "c"
    assert found(stores.media, media_type="video") == "b"
    assert found(stores.media, client="ann") == "ba"
    assert found(stores.media, client="ann", media_type="image", model="flux") == "a"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "dcba"),
        (("cat",), "ba"),
        (("CAT", "red"), "a"),
        (("cat", "cat", "wood"), ""),
        (("flux", "élan"), "c"),
        (("ÉLAN",), "c"),
        (("1234",), "b"),
        (("100%",), "d"),
        (("%",), "d"),
        (("_",), "d"),
        (("\\",), "d"),
        (("/",), ""),
        (("'; --",), ""),
    ],
)
def test_every_word_must_occur_in_prompt_model_or_seed(
    stores: Stores, words: tuple[str, ...], expected: str
) -> None:
    prompts = {"a": "A red Cat", "b": "a cat", "c": "Élan vital", "d": "100% \\ dog_house"}
    finish(stores, *(output(name, prompt=prompts[name], seed=9 if name != "b" else 1234) for name in prompts))
    assert found(stores.media, *words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("seed:9",), "b"),
        (("SEED:9", "cat"), "b"),
        (("seed:9", "dog"), ""),
        (("seed:19",), "a"),
        (("seed:",), "d"),
        (("seed:%",), ""),
        (("seed:9", "seed:19"), ""),
    ],
)
def test_a_whole_seed_is_asked_for(stores: Stores, words: tuple[str, ...], expected: str) -> None:
    seeds = {"a": 19, "b": 9, "c": 95, "d": 3}
    prompts = {"a": "a cat, 9 lives", "b": "a cat", "c": "ends in a line\n9", "d": "about seed: 9"}
    finish(stores, *(output(name, prompt=prompts[name], seed=seeds[name]) for name in seeds))
    assert found(stores.media, *words) == expected


def pages(index: MediaIndex, query: MediaQuery, limit: int) -> Iterator[tuple[str, int]]:
    cursor: str | None = None
    while True:
        page = index.page(query, limit=limit, cursor=cursor)
        yield "".join(each.id for each in page.media), page.total
        cursor = page.next_cursor
        if cursor is None:
            return


def test_pages_run_newest_first_and_know_the_total(stores: Stores) -> None:
    finish(
        stores,
        *(output(name, created_at=NOON + timedelta(microseconds=k // 2)) for k, name in enumerate("abcde")),
    )
    assert list(pages(stores.media, MediaQuery(), 2)) == [("ed", 5), ("cb", 5), ("a", 5)]
    assert list(pages(stores.media, MediaQuery(words=("cat",)), 5)) == [("edcba", 5)]


def test_pages_can_be_reached_by_offset(stores: Stores) -> None:
    finish(stores, *(output(name) for name in "abcde"))
    page = stores.media.page(MediaQuery(), limit=2, offset=3)
    assert "".join(each.id for each in page.media) == "ba"
    assert page.next_cursor is None
    assert stores.media.page(MediaQuery(), limit=2, offset=9).media == ()


def test_a_cursor_that_was_never_issued_is_refused(index: MediaIndex) -> None:
    with pytest.raises(InvalidCursor):
        index.page(MediaQuery(), limit=1, cursor="made-up")


def test_every_files_path_is_known(stores: Stores) -> None:
    finish(stores, output("a"))
    stores.media.add(media("u", job_id=None))
    assert stores.media.file_paths() == {"2026/03/01/a.png", "2026/03/01/u.png"}


def test_media_are_found_by_when_they_were_made(stores: Stores) -> None:
    hour = timedelta(hours=1)
    finish(stores, *(output(name, created_at=NOON + k * hour) for k, name in enumerate("abc")))
    assert found(stores.media, since=NOON + hour) == "cb"
    assert found(stores.media, until=NOON + hour) == "a"
    assert found(stores.media, since=NOON + hour, until=NOON + 2 * hour) == "b"


def test_the_ids_of_a_query_are_those_of_all_its_pages(stores: Stores) -> None:
    finish(stores, *(output(name) for name in "abc"), client="ann")
    stores.media.add(media("u", job_id=None), client="ann")
    stores.media.set_favorite(MediaId("b"), True)
    assert "".join(stores.media.ids(MediaQuery(client="ann"))) == found(stores.media)
    assert "".join(stores.media.ids(MediaQuery(favorite=False))) == found(stores.media, favorite=False)
    assert stores.media.ids(MediaQuery(client="bob")) == ()


def test_several_are_deleted_at_once_and_only_the_clients_own(stores: Stores) -> None:
    finish(stores, output("a"), output("b"), output("c"), client="ann")
    finish(stores, output("d"), name="another", client="bob")
    wanted = [MediaId(name) for name in ("a", "c", "d", "x")]
    assert {media.id for media in stores.media.delete_all(wanted, client="ann")} == {"a", "c"}
    assert {media.id for media in stores.media.delete_all(wanted)} == {"d"}
    assert found(stores.media) == "b"


def test_the_last_life_of_a_server_is_remembered(index: MediaIndex) -> None:
    assert index.life is None
    for hours in (1, 2):
        index.set_life(life := Life(NOON, NOON + timedelta(hours=hours)))
        assert index.life == life
    index.set_life(None)
    assert index.life is None
