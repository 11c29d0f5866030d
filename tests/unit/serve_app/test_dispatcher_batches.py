"""Waiting jobs that are alike run as one call; each keeps its own end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from in_process import Workshop, small_registry, spec, until

from configs.models import MaxBatch
from configs.registry import Registry
from deployments.errors import OutOfMemory, ProcessDied
from storage.errors import DatabaseUnavailable
from storage.jobs import JobId, JobStatus
from tests.generation import artifacts_of

both_stores = pytest.mark.parametrize("stores", ["memory", "sqlite"], indirect=True)
DONE, CANCELLED, FAILED = JobStatus.COMPLETED, JobStatus.CANCELLED, JobStatus.FAILED


@pytest.fixture
def workshop(make_workshop: Any) -> Workshop:
    """Its model `sheet` makes up to four pictures at once; each other one."""
    sheet = spec("sheet", "flux", max_batch=MaxBatch(count=4))
    animate = spec("animate", "wan_i2v", max_batch=MaxBatch(count=4), limits=clip_limits())
    return make_workshop(registry=Registry([*small_registry().values(), sheet, animate]))


def clip_limits() -> dict[str, Any]:
    limits = small_registry()["animate"].limits
    return {"frames": limits.frames, "fps": limits.fps}


def calls(workshop: Workshop, deployment: str = "Flux") -> list[list[str]]:
    return [[request.job_id for request in call] for call in workshop.families[deployment].calls]


@both_stores
async def test_jobs_that_are_alike_run_as_one_call_and_others_after_them(workshop: Workshop) -> None:
    jobs = [workshop.add("sheet") for _ in range(5)]
    wide = workshop.add("sheet", width=128)
    async with workshop.dispatching():
        ended = await workshop.ended(*jobs, wide)
    assert calls(workshop) == [jobs[:4], jobs[4:], [wide]]
    assert [job.batch_size for job in ended] == [4, 4, 4, 4, 1, 1]
    for job in ended:
        (media,) = workshop.media(job.id)
        assert (job.status, media.metadata["prompt"]) == (DONE, f"a picture for {job.id}")


async def test_a_call_makes_what_each_job_would_make_alone(workshop: Workshop, make_workshop: Any) -> None:
    jobs = [workshop.add("sheet"), workshop.add("sheet")]
    async with workshop.dispatching():
        await workshop.ended(*jobs)
    (artifact,) = await artifacts_of(make_workshop().family, workshop.family.requests[0])
    (media,) = workshop.media(jobs[0])
    assert workshop.files.path(media.file_path).read_bytes() == artifact.data


async def test_outputs_count_towards_the_size_of_a_call(workshop: Workshop) -> None:
    first, second, third = (workshop.add("sheet", num_images=number) for number in (2, 2, 2))
    async with workshop.dispatching():
        await workshop.ended(first, second, third)
    assert calls(workshop) == [[first, second], [third]]


async def test_a_shared_call_takes_one_worker(workshop: Workshop) -> None:
    workshop.gate.close()
    jobs = [workshop.add("sheet"), workshop.add("sheet")]
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        assert (await dispatcher.overview()).running == {"Flux": 1}
        workshop.gate.open()
        await workshop.ended(*jobs)


@both_stores
async def test_a_cancelled_job_leaves_at_once_and_the_others_go_on(workshop: Workshop) -> None:
    workshop.gate.close(after_steps=1)
    gone, stays = workshop.add("sheet"), workshop.add("sheet")
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        workshop.stores.jobs.request_cancel(gone, now=workshop.job(gone).created_at)
        dispatcher.cancel(gone)
        await until(lambda: workshop.status(gone) is CANCELLED)
        assert workshop.status(stays) is JobStatus.PROCESSING
        workshop.gate.open()
        await workshop.ended(stays)
    assert (workshop.status(stays), workshop.media(gone)) == (DONE, ())
    assert len(workshop.media_files()) == 2


async def test_when_all_are_cancelled_the_worker_is_free_at_once(workshop: Workshop) -> None:
    workshop.gate.close(after_steps=1)
    jobs = [workshop.add("sheet"), workshop.add("sheet")]
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        for job_id in jobs:
            workshop.stores.jobs.request_cancel(job_id, now=workshop.job(job_id).created_at)
            dispatcher.cancel(job_id)
        ended = await workshop.ended(*jobs)
        assert [job.status for job in ended] == [CANCELLED, CANCELLED]
        await asyncio.wait_for(workshop.family.unload(), 1)


async def test_a_failure_ends_its_own_job_alone(workshop: Workshop) -> None:
    bad, good = workshop.add("sheet"), workshop.add("sheet")
    workshop.family.fail_next(OutOfMemory("too big", hint="smaller"), after_steps=1, job_id=bad)
    async with workshop.dispatching():
        failed, done = await workshop.ended(bad, good)
    assert (failed.status, done.status) == (FAILED, DONE)
    assert failed.error is not None
    assert (failed.error.code, failed.error.hint) == ("out_of_memory", "smaller")


async def test_the_death_of_the_worker_counts_for_every_job_and_all_run_again(workshop: Workshop) -> None:
    workshop.family.fail_next(ProcessDied("killed"), after_steps=1)
    jobs = [workshop.add("sheet"), workshop.add("sheet")]
    async with workshop.dispatching():
        ended = await workshop.ended(*jobs)
    assert [(job.status, job.attempts) for job in ended] == [(DONE, 2), (DONE, 2)]
    assert calls(workshop) == [jobs, jobs[:1], jobs[1:]], "each by itself: one may be the reason"


async def test_a_job_whose_claim_fails_is_left_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [workshop.add("sheet") for _ in range(3)]
    claim, refused = workshop.stores.jobs.claim, {jobs[1]}

    def unlucky(job_id: JobId, **claimant: Any) -> Any:
        if job_id in refused:
            refused.remove(job_id)
            raise DatabaseUnavailable("locked")
        return claim(job_id, **claimant)

    monkeypatch.setattr(workshop.stores.jobs, "claim", unlucky)
    async with workshop.dispatching():
        await workshop.ended(*jobs)
    assert calls(workshop) == [[jobs[0], jobs[2]], [jobs[1]]]


async def test_a_job_cancelled_just_before_its_claim_is_left_out(workshop: Workshop) -> None:
    jobs = [workshop.add("sheet") for _ in range(3)]
    dispatcher = workshop.dispatcher()
    start = dispatcher._start

    async def late_start(waiting: Any) -> None:
        workshop.stores.jobs.request_cancel(jobs[0], now=workshop.job(jobs[0]).created_at)
        await start(waiting)

    dispatcher._start = late_start  # type: ignore[method-assign]
    async with workshop.dispatching(dispatcher):
        ended = await workshop.ended(*jobs)
    assert [job.status for job in ended] == [CANCELLED, DONE, DONE]
    assert calls(workshop) == [jobs[1:]]


async def test_clips_of_one_picture_share_a_call_and_of_another_do_not(workshop: Workshop) -> None:
    first, second = workshop.add_media(), workshop.add_media()
    jobs = [workshop.add("animate", source_image_id=media.id) for media in (first, second, first)]
    async with workshop.dispatching():
        await workshop.ended(*jobs)
    assert calls(workshop, "I2V") == [[jobs[0], jobs[2]], [jobs[1]]]


async def test_a_deleted_source_picture_fails_the_jobs_and_holds_nobody_up(workshop: Workshop) -> None:
    media = workshop.add_media()
    jobs = [workshop.add("animate", source_image_id=media.id) for _ in range(2)]
    workshop.stores.media.delete(media.id)
    sheet = workshop.add("sheet")
    async with workshop.dispatching():
        ended = await workshop.ended(*jobs, sheet)
    assert [job.status for job in ended] == [FAILED, FAILED, DONE]
    assert calls(workshop, "I2V") == []


async def test_each_job_tells_of_its_own_progress(workshop: Workshop) -> None:
    workshop.gate.close(after_steps=1)
    one, two = workshop.add("sheet"), workshop.add("sheet", num_images=2)
    async with workshop.dispatching():
        await workshop.reached()
        await until(lambda: progress(workshop, one) == (1, 2) and progress(workshop, two) == (2, 4))
        workshop.gate.open()
        await workshop.ended(one, two)


def progress(workshop: Workshop, job_id: str) -> tuple[int | None, int | None]:
    told = workshop.job(job_id).progress
    return (told.step, told.total_steps) if told else (None, None)
