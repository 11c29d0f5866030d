"""What becomes of jobs when something goes wrong between a claim and its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from in_process import Workshop, now, until

from deployments.contract import Artifact, GenerationRequest, JobEvent
from serve_app import dispatcher as dispatcher_module
from serve_app.families import FamilyClient
from storage.errors import DatabaseUnavailable
from storage.jobs import JobId, JobStatus
from storage.media import Life, MediaId

HOUR_S = 3600


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "IDLE_LOOK_S", 0.01)


def failing(times: int, error: Exception, then: Any) -> Any:
    """A function that raises so many times before it does what `then` does."""
    left = iter(range(times))

    def call(*arguments: Any, **values: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return then(*arguments, **values)

    return call


async def test_a_job_that_was_claimed_and_could_not_be_started_is_queued_again(workshop: Workshop) -> None:
    job_id = workshop.add()
    dispatcher = workshop.dispatcher()
    dispatcher._run = failing(1, KeyError("Flux"), dispatcher._run)  # type: ignore[method-assign]
    async with workshop.dispatching(dispatcher):
        (job,) = await workshop.ended(job_id)
    assert (job.status, job.attempts) == (JobStatus.COMPLETED, 2)


async def test_a_job_that_can_never_be_started_fails_after_three_attempts(workshop: Workshop) -> None:
    job_id, other = workshop.add(), workshop.add("sketch")
    dispatcher = workshop.dispatcher()
    dispatcher._run = failing(3, KeyError("Flux"), dispatcher._run)  # type: ignore[method-assign]
    async with workshop.dispatching(dispatcher):
        job, _ = await workshop.ended(job_id, other)
    assert job.error is not None
    assert (job.status, job.attempts) == (JobStatus.FAILED, 3)
    assert workshop.status(other) is JobStatus.COMPLETED


async def test_a_job_without_a_model_ends_though_its_failure_was_not_stored_at_first(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = workshop.stores.jobs
    monkeypatch.setattr(jobs, "fail", failing(1, DatabaseUnavailable(), jobs.fail))
    job_id = workshop.add("departed")
    async with workshop.dispatching():
        (job,) = await workshop.ended(job_id)
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "unknown_model")


class Forgetful:
    """Implements FamilyClient: its first call ends before its job does, without an error."""

    def __init__(self, client: FamilyClient) -> None:
        self._client = client
        self._forgets = True

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        async for event in self._client.generate(requests):
            yield event
            if self._forgets and isinstance(event.event, Artifact):
                self._forgets = False
                return

    async def unload(self) -> None: ...


async def test_a_job_whose_call_ends_too_early_is_not_complete_but_runs_again(workshop: Workshop) -> None:
    job_id = workshop.add(num_images=2)
    clients = workshop.clients | {"Flux": Forgetful(workshop.clients["Flux"])}
    async with workshop.dispatching(workshop.dispatcher(clients=clients)):
        (job,) = await workshop.ended(job_id)
    assert (job.status, job.attempts, len(workshop.media(job_id))) == (JobStatus.COMPLETED, 2, 2)
    assert len(workshop.media_files()) == 4


async def test_a_job_is_not_started_while_its_earlier_run_goes_on(workshop: Workshop) -> None:
    workshop.gate.close()
    job_id = workshop.add()
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        take_back(workshop)
        await until(lambda: len(workshop.family.calls) == 2)
        workshop.gate.open()
        (job,) = await workshop.ended(job_id)
        assert not dispatcher._fleet.runs
        assert [request.job_id for request in workshop.family.requests] == [job_id, job_id]
    assert (job.status, job.attempts) == (JobStatus.COMPLETED, 2)
    assert (len(workshop.media(job_id)), len(workshop.media_files())) == (1, 2)


def take_back(workshop: Workshop) -> None:
    """As another dispatcher does that believes this one dead."""
    taken = workshop.stores.jobs.recover(
        owner="another", now=now(), max_attempts=3, error=dispatcher_module.UNRECORDED
    )
    assert list(taken.values()) == [JobStatus.PENDING]


async def test_jobs_of_a_dispatcher_that_died_later_are_taken_back_when_their_lease_lapses(
    workshop: Workshop,
) -> None:
    first = workshop.add()
    async with workshop.dispatching(workshop.dispatcher(lease_s=0.05)):
        await workshop.ended(first)
        job_id = workshop.add()
        claimed = workshop.stores.jobs.claim(job_id, owner="another", now=now(), lease_until=now())
        assert claimed is not None
        (job,) = await workshop.ended(job_id)
    assert (job.status, job.attempts) == (JobStatus.COMPLETED, 2)


async def test_an_end_that_was_stored_though_storing_it_failed_is_told_and_keeps_its_files(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = workshop.stores.jobs.complete

    def complete_and_break(*arguments: Any, **values: Any) -> bool:
        complete(*arguments, **values)
        raise DatabaseUnavailable

    monkeypatch.setattr(workshop.stores.jobs, "complete", complete_and_break)
    job_id = workshop.add()
    heard: dict[str, str] = {}
    with workshop.news.subscribe({job_id}) as subscription:
        async with asyncio.timeout(10), workshop.dispatching():
            while heard.get(job_id) != JobStatus.COMPLETED:
                heard = await subscription.next()
    (media,) = workshop.media(job_id)
    assert workshop.job(job_id).status is JobStatus.COMPLETED
    assert workshop.files.path(media.file_path).is_file()


@pytest.fixture
def leftovers(workshop: Workshop) -> list[str]:
    """What an earlier dispatcher left beside a medium: a picture, a thumbnail, an unfinished file."""
    workshop.stores.media.set_life(Life(now(), now() + timedelta(seconds=1)))
    workshop.add_media()
    picture = workshop.files.write(MediaId("left"), "image", b"x", now())
    workshop.files.write_thumbnail(picture, b"x")
    unfinished = workshop.files.path(picture).with_name(f".left.png.{'0' * 32}.tmp")
    unfinished.write_bytes(b"x")
    return [name for name in workshop.media_files() if "left" in name]


async def test_what_a_dead_dispatcher_left_is_swept_soon_after_the_start(
    workshop: Workshop, leftovers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(leftovers) == 3
    monkeypatch.setattr(dispatcher_module, "ORPHAN_AGE", timedelta(seconds=0.05))
    async with workshop.dispatching():
        await until(lambda: len(workshop.media_files()) == 1)


async def test_the_sweep_spares_the_outputs_of_a_job_that_still_runs(workshop: Workshop) -> None:
    workshop.gate.close(after_steps=3)
    workshop.stores.media.set_life(Life(now() - timedelta(hours=2), now()))
    workshop.add_media()
    left = workshop.files.write(MediaId("left"), "image", b"x", now())
    job_id = workshop.add(num_images=2)
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        await until(lambda: any(run.files for run in dispatcher._fleet.runs.values()))
        for name in workshop.media_files():
            age(workshop, name)
        assert await asyncio.to_thread(dispatcher._sweep) == (left,)
        workshop.gate.open()
        (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.COMPLETED
    assert all(workshop.files.path(media.file_path).is_file() for media in workshop.media(job_id))


def age(workshop: Workshop, name: str) -> None:
    long_ago = now().timestamp() - HOUR_S
    os.utime(workshop.files.path(name), (long_ago, long_ago))


@pytest.mark.parametrize(
    ("life", "stays"), [((-9, -7), True), ((-6, -1), True), (None, True), ((-9, -6), False)], ids=str
)
async def test_pictures_from_when_it_did_not_run_are_another_databases(
    workshop: Workshop, life: tuple[int, int] | None, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a server that ran on PostgreSQL for a while, or since the backup that was restored."""
    monkeypatch.setattr(dispatcher_module, "ORPHAN_AGE", timedelta(seconds=0))
    if life is not None:
        begin, end = (now() + timedelta(hours=hours) for hours in life)
        workshop.stores.media.set_life(Life(begin, end))
    picture = workshop.files.write(MediaId("anothers"), "image", b"x", now())
    then = (now() - timedelta(hours=6.5)).timestamp()
    os.utime(workshop.files.path(picture), (then, then))
    async with workshop.dispatching() as dispatcher:
        await until(dispatcher._lives.known)
        await asyncio.to_thread(dispatcher._sweep)
    assert (picture in workshop.media_files()) is stays


async def test_a_life_goes_on_after_a_death_and_ends_with_a_pause(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = now() - timedelta(hours=2)
    workshop.stores.media.set_life(Life(begin, now() - timedelta(minutes=1)))
    async with workshop.dispatching():
        await until(lambda: workshop.stores.media.life.end > now() - timedelta(seconds=30))
    assert workshop.stores.media.life.begin == begin
    workshop.stores.media.set_life(Life(begin, now() - timedelta(minutes=3)))
    async with workshop.dispatching():
        await until(lambda: workshop.stores.media.life.begin > now() - timedelta(seconds=30))


async def test_a_sweep_that_fails_is_made_again(
    workshop: Workshop, leftovers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leftovers
    monkeypatch.setattr(dispatcher_module, "SWEEP_S", 0.01)
    monkeypatch.setattr(dispatcher_module, "ORPHAN_AGE", timedelta(seconds=0))
    sweep = workshop.files.sweep
    monkeypatch.setattr(workshop.files, "sweep", failing(1, PermissionError(), sweep))
    async with workshop.dispatching():
        await until(lambda: len(workshop.media_files()) == 1)


async def test_a_job_whose_server_died_three_times_says_so(workshop: Workshop) -> None:
    job_id = workshop.add()
    claim = workshop.stores.jobs.claim
    claim(JobId(job_id), owner="dead", now=now(), lease_until=now() + timedelta(minutes=1))
    async with workshop.dispatching(workshop.dispatcher(max_attempts=1)):
        (job,) = await workshop.ended(job_id)
    assert job.error is not None
    assert "The last time: the server had ended." in job.error.message


async def test_nothing_is_released_while_all_goes_well(workshop: Workshop) -> None:
    jobs = [workshop.add() for _ in range(5)]
    async with workshop.dispatching() as dispatcher:
        for _ in range(20):
            dispatcher.wake()
            await asyncio.sleep(0)
        ended = await workshop.ended(*jobs)
    assert [(job.status, job.attempts) for job in ended] == [(JobStatus.COMPLETED, 1)] * 5
