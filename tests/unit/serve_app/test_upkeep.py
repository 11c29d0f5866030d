from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from in_process import Workshop, until

from configs.settings import Settings
from serve_app.upkeep import Upkeep, limits_of
from storage.errors import DatabaseUnavailable
from storage.jobs import JobId
from storage.retention import Limits, Retention

DAY = timedelta(days=1)


def upkeep(workshop: Workshop, *, days: float = 0, limits: Limits = Limits(age=DAY)) -> Upkeep:
    """As it will be done that many days from now."""
    retention = Retention(workshop.stores.jobs, workshop.stores.media, workshop.files)
    return Upkeep(
        retention,
        limits,
        blocking=workshop.blocking,
        now=lambda: datetime.now(UTC) + timedelta(days=days),
    )


def test_the_settings_say_what_may_stay() -> None:
    settings = Settings(_env_file=None, keep_days=1.5, max_media_gb=0.25)
    assert limits_of(settings) == Limits(age=timedelta(hours=36), size=250_000_000)
    assert not limits_of(Settings(_env_file=None)).any


async def test_old_media_and_jobs_go_and_favourites_stay_with_their_jobs(workshop: Workshop) -> None:
    async with workshop.dispatching():
        plain, loved = workshop.add(), workshop.add()
        await workshop.ended(plain, loved)
    waiting = workshop.add()
    kept = workshop.media(loved)[0]
    workshop.stores.media.set_favorite(kept.id, True)
    await upkeep(workshop, days=0).round()
    assert len(workshop.stores.media.file_paths()) == 2
    await upkeep(workshop, days=2).round()
    assert workshop.stores.media.file_paths() == {kept.file_path}
    assert [path for path in workshop.media_files() if path.endswith(".png")] == [kept.file_path]
    assert [workshop.stores.jobs.get(job_id) is None for job_id in (plain, loved, waiting)] == [
        True,
        False,
        False,
    ]


async def test_without_limits_only_keys_that_hold_no_longer_are_forgotten(workshop: Workshop) -> None:
    media, job_id = workshop.add_media(), workshop.add()
    workshop.stores.jobs.request_cancel(job_id, now=datetime.now(UTC))
    await upkeep(workshop, days=999, limits=Limits()).round()
    assert workshop.stores.media.get(media.id) is not None
    assert workshop.stores.jobs.get(JobId(job_id)) is not None


async def test_a_round_that_fails_is_followed_by_another(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serve_app.upkeep.INTERVAL_S", 0.001)
    media, prune = workshop.add_media(), workshop.stores.media.prune
    troubles: list[Exception] = [DatabaseUnavailable("away"), OSError("disk gone")]

    def trouble(media_ids: object) -> object:
        if troubles:
            raise troubles.pop(0)
        return prune(media_ids)  # type: ignore[arg-type]

    monkeypatch.setattr(workshop.stores.media, "prune", trouble)
    task = asyncio.create_task(upkeep(workshop, days=2).keep())
    with caplog.at_level(logging.WARNING):
        await until(lambda: workshop.stores.media.get(media.id) is None)
    task.cancel()
    await asyncio.wait([task])
    assert "away" in caplog.text
    assert "disk gone" in caplog.text
