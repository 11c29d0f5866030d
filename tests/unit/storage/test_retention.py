"""What is over the limits goes, oldest first, and nothing else: on each of the stores."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from job_examples import LATER, NOON, job, media

from storage.files import LocalMediaFiles
from storage.jobs import JobId
from storage.media import MediaId
from storage.retention import Limits, Retention
from storage.stores import Stores

DAY = timedelta(days=1)
KB = 1000


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class House:
    """Media of one kilobyte each, made a day apart: `a` on the first day."""

    def __init__(self, stores: Stores, root: Path) -> None:
        self.stores = stores
        self.files = LocalMediaFiles(root)
        self.retention = Retention(stores.jobs, stores.media, self.files)

    def fill(self, names: str, favorites: str = "", size: int = KB) -> None:
        for age, name in enumerate(names):
            made = NOON + age * DAY
            path = self.files.write(MediaId(name), "image", bytes(size), made)
            one = media(name, job_id=None, created_at=made, favorite=name in favorites)
            self.stores.media.add(replace(one, file_path=path))

    def animate(self, name: str) -> None:
        """A waiting job whose source is this picture."""
        settings = {"type": "i2v", "source_image_id": name}
        self.stores.jobs.add(job(f"of {name}", type="i2v", settings=settings), max_pending=9)

    def remove(self, **limits: object) -> str:
        now = NOON + 10 * DAY
        planned = [each.media.id for each in self.retention.excess(Limits(**limits), now=now)]  # type: ignore[arg-type]
        removed = [each.media.id for each in self.retention.remove(Limits(**limits), now=now)]  # type: ignore[arg-type]
        assert sorted(removed) == sorted(planned)
        return "".join(planned)

    @property
    def left(self) -> str:
        kept = {name for name in "abcdefgh" if self.stores.media.get(MediaId(name))}
        files = {path.removesuffix(".png")[-1] for path in self.stores.media.file_paths()}
        on_disk = {path.stem for path in self.files.path("x").parent.rglob("*.png")}
        assert kept == files == on_disk
        return "".join(sorted(kept))


@pytest.fixture
def house(stores: Stores, tmp_path: Path) -> House:
    return House(stores, tmp_path / "media")


def test_without_limits_everything_stays(house: House) -> None:
    house.fill("abc")
    assert house.remove() == ""
    assert house.left == "abc"


def test_what_is_older_goes_with_its_files(house: House) -> None:
    house.fill("abcdef")
    assert house.remove(age=7 * DAY) == "abc"
    assert house.left == "def"


def test_the_oldest_go_until_the_rest_has_room(house: House) -> None:
    house.fill("abcdef")
    assert house.remove(size=6 * KB) == ""
    assert house.remove(size=4 * KB - 1) == "abc"
    assert house.remove(size=0) == "def"
    assert house.left == ""


def test_a_thumbnail_takes_room_too(house: House) -> None:
    house.fill("ab")
    house.files.write_thumbnail("2026/03/01/a.png", bytes(KB))
    assert house.remove(size=2 * KB) == "a"


def test_files_that_the_gallery_does_not_know_drive_none_out_that_it_knows(house: House) -> None:
    house.fill("ab")
    (house.files.path("x").parent / "2026/03/01/of another database.mp4").write_bytes(bytes(9 * KB))
    assert house.remove(size=2 * KB) == ""


def test_favourites_stay_whatever_the_limits(house: House) -> None:
    house.fill("abcd", favorites="ac")
    assert house.remove(age=timedelta(0), size=0) == "bd"
    assert house.left == "ac"


def test_the_source_of_a_waiting_job_stays_until_the_job_has_ended(house: House) -> None:
    house.fill("abc")
    house.animate("b")
    assert house.remove(size=0) == "ac"
    house.stores.jobs.claim(JobId("of b"), owner="me", now=NOON, lease_until=LATER)
    assert house.remove(size=0) == ""
    house.stores.jobs.finish_cancel(JobId("of b"), owner="me", now=NOON)
    assert house.remove(size=0) == "b"


def test_what_becomes_a_favourite_or_a_source_meanwhile_stays(house: House) -> None:
    house.fill("abc")
    house.stores.media.set_favorite(MediaId("a"), True)
    house.animate("b")
    gone = house.stores.media.prune([MediaId(name) for name in "abcx"])
    assert [each.id for each in gone] == ["c"]


def test_more_than_one_batch_goes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.retention.BATCH", 2)
    house.fill("abcdefgh", favorites="abc")
    house.animate("d")
    assert house.remove(age=timedelta(0)) == "efgh"
    assert house.left == "abcd"


def end(stores: Stores, *names: str, outputs: int = 0) -> None:
    for name in names:
        stores.jobs.add(job(name, idempotency_key=name), max_pending=9)
        stores.jobs.claim(JobId(name), owner="me", now=NOON, lease_until=LATER)
        made = tuple(media(f"{name}{k}", job_id=name) for k in range(outputs))
        stores.jobs.complete(JobId(name), owner="me", now=NOON, media=made, load_seconds=0, run_seconds=0)


def test_old_ended_jobs_without_media_are_forgotten(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.retention.BATCH", 1)
    stores = house.stores
    end(stores, "a", "b")
    end(stores, "c", outputs=1)
    stores.jobs.add(job("d"), max_pending=9)
    limits = Limits(age=DAY)
    assert house.retention.forget_jobs(Limits(size=0), now=NOON + 9 * DAY) == 0
    assert house.retention.forget_jobs(limits, now=NOON + DAY) == 0
    assert house.retention.forget_jobs(limits, now=NOON + 2 * DAY) == 2
    assert [each.id for each in stores.jobs.page(limit=9).jobs] == ["d", "c"]
