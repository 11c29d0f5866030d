from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from job_examples import job

from storage.errors import DatabaseDamaged
from storage.jobs import JobId, JobStatus
from storage.recovery import set_aside_if_damaged
from storage.stores import open_stores

NIGHT = datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC)
PAGE = 4096


@pytest.fixture
def url(database_file: Path) -> str:
    address = f"sqlite:///{database_file}"
    with open_stores(address) as stores:
        for number in range(8):
            stores.jobs.add(job(f"job-{number}", prompt="a red fox" * 2000), max_pending=9)
    return address


def spoil(file: Path, begin: int, end: int) -> bytes:
    data = bytearray(file.read_bytes())
    data[begin:end] = b"\xaa" * (end - begin)
    file.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize(("begin", "end"), [(0, 100), (PAGE, 20 * PAGE)], ids=["header", "pages"])
def test_a_damaged_database_is_set_aside_and_a_new_one_begun(
    url: str, database_file: Path, begin: int, end: int
) -> None:
    damaged = spoil(database_file, begin, end)
    aside = set_aside_if_damaged(url, now=NIGHT)
    assert aside is not None
    assert aside.file == database_file.with_name("jobs.db.corrupt-20260301T235958Z")
    assert aside.file.read_bytes() == damaged
    assert aside.problem
    assert "\n" not in aside.problem
    assert not database_file.exists()
    with open_stores(url) as stores:
        assert stores.jobs.counts()[JobStatus.PENDING] == 0
        stores.jobs.add(job("new"), max_pending=1)
    assert set_aside_if_damaged(url, now=NIGHT) is None


def test_a_file_that_is_cut_off_is_damaged(url: str, database_file: Path) -> None:
    database_file.write_bytes(database_file.read_bytes()[: 5 * PAGE])
    assert set_aside_if_damaged(url, now=NIGHT) is not None


def test_a_log_that_was_not_written_back_goes_along(url: str, database_file: Path) -> None:
    spoil(database_file, 0, 100)
    log = database_file.with_name("jobs.db-wal")
    log.write_bytes(b"the latest jobs")
    aside = set_aside_if_damaged(url, now=NIGHT)
    assert aside is not None
    assert aside.file.with_name(aside.file.name + "-wal").exists()
    assert not log.exists()


def test_a_whole_database_stays_though_its_process_was_killed(url: str, database_file: Path) -> None:
    with open_stores(url) as stores:
        stores.jobs.add(job("in the log"), max_pending=99)
        copy = database_file.with_name("killed.db")
        for part in ("", "-wal"):
            copy.with_name(copy.name + part).write_bytes(
                database_file.with_name(database_file.name + part).read_bytes()
            )
    killed = f"sqlite:///{copy}"
    assert set_aside_if_damaged(killed, now=NIGHT) is None
    with open_stores(killed) as stores:
        assert stores.jobs.get(JobId("in the log")) is not None


def test_what_is_not_there_locked_or_elsewhere_is_not_damaged(url: str, tmp_path: Path) -> None:
    assert set_aside_if_damaged(f"sqlite:///{tmp_path}/none.db", now=NIGHT) is None
    assert not (tmp_path / "none.db").exists()
    assert set_aside_if_damaged("postgresql+psycopg://x@localhost/y", now=NIGHT) is None
    with sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert set_aside_if_damaged(url, now=NIGHT) is None
        other.execute("ROLLBACK")
    other.close()


def test_damage_that_shows_while_serving_is_told_apart(url: str, database_file: Path) -> None:
    spoil(database_file, 2 * PAGE, 20 * PAGE)
    with open_stores(url) as stores, pytest.raises(DatabaseDamaged, match="next start"):
        stores.jobs.page(limit=200)
