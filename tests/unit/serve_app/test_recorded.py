from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from in_process import Workshop, until

from serve_app import recorded
from serve_app.recorded import Recorded
from storage.errors import DatabaseUnavailable

SIZE = {"width": 64, "height": 64, "num_inference_steps": 2, "guidance_scale": 4.0, "num_images": 1}


@pytest.fixture
async def kept(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorded]:
    monkeypatch.setattr(recorded, "INTERVAL_S", 0.0)
    kept = Recorded(workshop.stores.jobs, workshop.blocking)
    workshop.record("paint", run_s=2.0, load_s=1.0)
    task = asyncio.create_task(kept.keep())
    yield kept
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_was_recorded_is_read_at_the_start(kept: Recorded) -> None:
    await until(lambda: kept.estimator.run_s("paint", SIZE) == 2.0)


async def test_it_is_read_again_when_jobs_have_ended(kept: Recorded, workshop: Workshop) -> None:
    await until(lambda: kept.estimator.run_s("paint", SIZE) is not None)
    workshop.record("sketch", run_s=3.0, load_s=1.0)
    kept.job_ended()
    await until(lambda: kept.estimator.run_s("sketch", SIZE) == 3.0)


async def test_a_database_that_does_not_answer_is_asked_again(
    kept: Recorded, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def refuse(*, latest: int) -> None:
        asked.append(latest)
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(workshop.stores.jobs, "records", refuse)
        kept.job_ended()
        await until(lambda: len(asked) > 1)
    await until(lambda: kept.estimator.run_s("paint", SIZE) == 2.0)
