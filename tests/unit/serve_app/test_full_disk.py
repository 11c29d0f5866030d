"""A disk that is full, a real one: jobs say so, the database stays whole, and all is well after."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from in_process import Workshop, open_workshop, until

from storage import open_stores

PAINT = {"model_id": "paint", "prompt": "a red fox", "settings": {"seed": 1}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


class Ballast:
    """A file that takes all the room there is."""

    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def load(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def drop(self) -> None:
        self._file.unlink()


@pytest.fixture
def ballast(disk: Path) -> Ballast:
    return Ballast(disk)


@pytest.fixture
def workshop(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """All of it on the small disk."""
    monkeypatch.setattr("serve_app.api.server.LEAST_FREE", 200_000)
    with (
        open_stores(f"sqlite:///{disk}/cyberimage.sqlite3") as stores,
        open_workshop(stores, disk) as workshop,
    ):
        yield workshop


def check_whole(disk: Path) -> None:
    with closing(sqlite3.connect(disk / "cyberimage.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_full_disk_refuses_jobs_and_is_told_and_recovers(
    workshop: Workshop, disk: Path, ballast: Ballast
) -> None:
    async with workshop.serving(data_dir=disk) as client:
        assert (await client.get("/health")).status_code == 200
        ballast.load()
        health = await client.get("/health")
        refused = [await client.post("/api/generate", json=PAINT) for _ in range(20)]
        assert (health.status_code, health.json()["reason"]) == (503, "the disk is full: 0 MB are free")
        assert refused[-1].status_code == 507
        assert "disk is full" in refused[-1].json()["message"]
        taken = [reply.json()["job_id"] for reply in refused if reply.status_code == 200]
        assert sum(workshop.stores.jobs.counts().values()) == len(taken)
        ballast.drop()
        assert (await client.get("/health")).status_code == 200
        job_id = (await client.post("/api/generate", json=PAINT)).json()["job_id"]
        *_, last = await workshop.ended(*taken, job_id)
    assert last.status.value == "completed"
    check_whole(disk)


async def test_a_server_that_starts_on_a_full_disk_runs_once_there_is_room(
    workshop: Workshop, disk: Path, ballast: Ballast
) -> None:
    job_id = workshop.add()
    ballast.load()
    async with workshop.dispatching():
        await asyncio.sleep(0.2)
        ballast.drop()
        (job,) = await workshop.ended(job_id)
    assert job.status.value == "completed"


async def test_a_disk_that_fills_up_while_a_job_runs_fails_it_with_the_reason_or_has_it_run_again(
    workshop: Workshop, disk: Path, ballast: Ballast
) -> None:
    workshop.gate.close(after_steps=1)
    async with workshop.dispatching() as dispatcher:
        job_id = workshop.add()
        await workshop.reached()
        ballast.load()
        workshop.gate.open()
        await until(lambda: job_id not in dispatcher._fleet.runs)
        ballast.drop()
        after = workshop.add()
        job, last = await workshop.ended(job_id, after)
    assert last.status.value == "completed"
    assert job.status.value == "completed" or (job.error and "disk is full" in job.error.message)
    known = {media.file_path for each in (job_id, after) for media in workshop.media(each)}
    assert {path for path in workshop.media_files() if path.endswith(".png")} == known
    check_whole(disk)
