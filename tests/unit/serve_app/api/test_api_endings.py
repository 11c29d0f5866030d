"""Waiting for a job's end, as the APIs do that answer with what was made."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest
from in_process import Workshop, now

from configs.settings import Settings
from serve_app.api import Services, endings
from serve_app.api.callers import Caller
from serve_app.api.endings import ended, states
from serve_app.api.errors import NotFound
from storage.jobs import JobStatus

ADMIN, BOB = Caller(client=None, admin=True), Caller(client="key:bob", admin=False)


@pytest.fixture
def services(workshop: Workshop) -> Services:
    return workshop.services(workshop.dispatcher(), Settings(_env_file=None, models="demo"))


async def test_the_end_is_awaited(workshop: Workshop, services: Services) -> None:
    job_id = workshop.add()
    async with workshop.dispatching():
        assert (await ended(services, ADMIN, job_id)).status is JobStatus.COMPLETED


async def test_an_ended_job_is_given_at_once(workshop: Workshop, services: Services) -> None:
    job_id = workshop.add()
    workshop.stores.jobs.request_cancel(job_id, now=now())
    assert (await ended(services, ADMIN, job_id)).status is JobStatus.CANCELLED


async def test_after_its_time_the_job_is_given_as_it_is(workshop: Workshop, services: Services) -> None:
    started = time.monotonic()
    assert (await ended(services, ADMIN, workshop.add(), within_s=0.05)).status is JobStatus.PENDING
    assert 0.05 <= time.monotonic() - started < 5


async def test_every_state_is_given_once(workshop: Workshop, services: Services) -> None:
    job_id = workshop.add()
    async with workshop.dispatching():
        seen = [job async for job in states(services, ADMIN, job_id)]
    assert (seen[0].status, seen[-1].status) == (JobStatus.PENDING, JobStatus.COMPLETED)
    assert all(before != after for before, after in pairwise(seen))


async def test_an_end_without_news_is_seen_whatever_others_do(
    workshop: Workshop, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "RECHECK_S", 0.1)
    job_id = workshop.add()
    waiting = asyncio.create_task(ended(services, ADMIN, job_id))
    await asyncio.sleep(0)
    workshop.stores.jobs.request_cancel(job_id, now=now())
    async with asyncio.timeout(5):
        while not waiting.done():
            workshop.news.publish("another", JobStatus.PROCESSING)
            await asyncio.sleep(0.01)
    assert (await waiting).status is JobStatus.CANCELLED


@pytest.mark.parametrize("known", [True, False])
async def test_another_clients_job_is_not_found(workshop: Workshop, services: Services, known: bool) -> None:
    with pytest.raises(NotFound):
        await ended(services, BOB, workshop.add() if known else "no-job")


async def test_a_job_that_is_deleted_meanwhile_is_not_found(workshop: Workshop, services: Services) -> None:
    seen = states(services, ADMIN, job_id := workshop.add())
    await anext(seen)
    workshop.stores.jobs.request_cancel(job_id, now=now())
    workshop.stores.jobs.delete(job_id)
    with pytest.raises(NotFound):
        await anext(seen)
