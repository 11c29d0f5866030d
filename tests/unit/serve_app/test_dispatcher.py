"""The dispatcher with its runs, on both stores, over families without weights."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from in_process import Workshop, now, small_registry, spec, until
from PIL import Image

from configs.registry import Registry
from deployments.contract import GenerationRequest, JobEvent
from deployments.errors import LicenceRequired, OutOfMemory, ProcessDied
from serve_app import dispatcher as dispatcher_module
from serve_app import fleet, obstacles
from serve_app.families import ClusterState, DeploymentState, FamilyClient
from storage.errors import DatabaseUnavailable, DiskFull
from storage.jobs import JobId, JobStatus, Phase
from storage.media import MediaId

both_stores = pytest.mark.parametrize("stores", ["memory", "sqlite"], indirect=True)


@both_stores
async def test_a_job_completes_with_its_file_thumbnail_and_metadata(workshop: Workshop) -> None:
    job_id = workshop.add()
    async with workshop.dispatching():
        (job,) = await workshop.ended(job_id)
    (media,) = workshop.media(job_id)
    assert (job.status, job.attempts, job.media_path) == (JobStatus.COMPLETED, 1, media.file_path)
    assert job.run_seconds is not None
    assert job.load_seconds is not None
    assert media.metadata["prompt"] == f"a picture for {job_id}"
    assert media.metadata["seed"] == 7
    assert media.metadata["generation_time"] >= 0
    with Image.open(workshop.files.path(media.file_path)) as image:
        assert image.size == (media.width, media.height) == (64, 64)
        assert "a picture for" in image.text["cyberimage"]
    assert len(workshop.media_files()) == 2
    assert workshop.files.thumbnail(media.file_path).is_file()


async def test_outputs_are_kept_in_order_each_with_its_seed(workshop: Workshop) -> None:
    job_id = workshop.add(num_images=3)
    async with workshop.dispatching():
        await workshop.ended(job_id)
    outputs = workshop.media(job_id)
    assert [media.metadata["seed"] for media in outputs] == [7, 8, 9]
    assert [media.metadata["image_number"] for media in outputs] == [1, 2, 3]
    assert len({workshop.files.path(media.file_path).read_bytes() for media in outputs}) == 3


async def test_a_clip_is_stored_as_video_with_a_poster_frame(workshop: Workshop) -> None:
    job_id = workshop.add("clip")
    async with workshop.dispatching():
        await workshop.ended(job_id)
    (media,) = workshop.media(job_id)
    assert (media.media_type, media.file_path[-4:], media.metadata["frame_count"]) == ("video", ".mp4", 5)
    with Image.open(workshop.files.thumbnail(media.file_path)) as poster:
        assert poster.size == (64, 64)


async def test_the_source_picture_reaches_the_family(workshop: Workshop) -> None:
    source = workshop.add_media()
    job_id = workshop.add("animate", source_image_id=source.id)
    async with workshop.dispatching():
        await workshop.ended(job_id)
    (request,) = workshop.families["I2V"].requests
    assert request.source_image is not None
    assert Image.open(io.BytesIO(request.source_image)).size == (64, 64)
    assert workshop.media(job_id)[0].metadata["source_image_id"] == source.id


@both_stores
async def test_a_failure_is_recorded_with_code_message_and_hint_and_leaves_no_files(
    workshop: Workshop,
) -> None:
    workshop.family.fail_next(OutOfMemory("too big", hint="make it smaller"), after_steps=3)
    job_id = workshop.add(num_images=2)
    async with workshop.dispatching():
        (job,) = await workshop.ended(job_id)
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "out_of_memory")
    assert (job.error.message, job.error.hint) == ("too big", "make it smaller")
    assert workshop.media(job_id) == ()
    assert workshop.media_files() == []


async def test_the_next_job_runs_after_one_that_failed(workshop: Workshop) -> None:
    workshop.family.fail_next(LicenceRequired())
    failing, fine = workshop.add(), workshop.add()
    async with workshop.dispatching():
        await workshop.ended(failing, fine)
    assert (workshop.status(failing), workshop.status(fine)) == (JobStatus.FAILED, JobStatus.COMPLETED)


async def test_an_error_nobody_knows_fails_the_job_and_not_the_dispatcher(workshop: Workshop) -> None:
    workshop.family.fail_next(ZeroDivisionError())
    failing, fine = workshop.add(), workshop.add()
    async with workshop.dispatching():
        job, _ = await workshop.ended(failing, fine)
    assert job.error is not None
    assert job.error.code == "internal_error"
    assert workshop.status(fine) is JobStatus.COMPLETED


@both_stores
async def test_a_job_whose_worker_died_runs_again(workshop: Workshop) -> None:
    workshop.family.fail_next(ProcessDied("killed"), after_steps=3)
    job_id = workshop.add(num_images=2)
    async with workshop.dispatching():
        (job,) = await workshop.ended(job_id)
    assert (job.status, job.attempts) == (JobStatus.COMPLETED, 2)
    assert len(workshop.media(job_id)) == 2
    assert len(workshop.media_files()) == 4, "what the dead run had made is gone"


async def test_a_job_whose_worker_dies_three_times_fails_with_the_sentence(workshop: Workshop) -> None:
    for _ in range(3):
        workshop.family.fail_next(ProcessDied("killed"))
    job_id, fine = workshop.add(), workshop.add()
    async with workshop.dispatching():
        job, _ = await workshop.ended(job_id, fine)
    assert job.error is not None
    assert (job.status, job.attempts, job.error.code) == (JobStatus.FAILED, 3, "worker_died")
    sentence = "The worker died 3 times while running this job. The last time: killed."
    assert job.error.message == sentence
    assert workshop.status(fine) is JobStatus.COMPLETED


async def test_the_model_that_comes_next_is_announced_once_while_the_other_runs(workshop: Workshop) -> None:
    announced: list[str] = []
    workshop.gate.close(after_steps=1)
    jobs = [workshop.add("paint"), workshop.add("sketch"), workshop.add("sketch", seed=2)]
    dispatcher = workshop.dispatcher(prefetch=lambda spec: announced.append(spec.name))
    async with workshop.dispatching(dispatcher):
        await workshop.reached()
        await until(lambda: bool(announced))
        dispatcher.wake()
        assert workshop.status(jobs[0]) is JobStatus.PROCESSING
        workshop.gate.open()
        await workshop.ended(*jobs)
    assert announced == ["sketch"]


class Failing:
    """Implements Cluster: replicas of FLUX cannot start until they are mended."""

    def __init__(self) -> None:
        self.failing = True

    async def state(self) -> ClusterState:
        flux = DeploymentState(cannot_start=self.failing, message="Traceback\nImportError: no such library\n")
        return ClusterState(deployments={"Flux": flux})


class Nobody:
    """Implements FamilyClient: no replica comes, as at a Serve handle, until there is one."""

    def __init__(self, cluster: Failing, client: FamilyClient) -> None:
        self._cluster = cluster
        self._client = client

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        if self._cluster.failing:
            await asyncio.Event().wait()
        async for event in self._client.generate(requests):
            yield event

    async def unload(self) -> None: ...


async def test_jobs_whose_workers_cannot_start_fail_with_the_reason_and_later_ones_run(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "CLUSTER_TTL_S", 0.0)
    monkeypatch.setattr(dispatcher_module, "IDLE_LOOK_S", 0.01)
    monkeypatch.setattr(obstacles, "REST_S", 0.05)
    cluster = Failing()
    clients = workshop.clients | {"Flux": Nobody(cluster, workshop.clients["Flux"])}
    failing, other = workshop.add(), workshop.add("sketch")
    async with workshop.dispatching(workshop.dispatcher(cluster=cluster, clients=clients)) as dispatcher:
        job, _ = await workshop.ended(failing, other)
        cluster.failing = False
        later = workshop.add()
        dispatcher.wake()
        await workshop.ended(later)
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "worker_cannot_start")
    assert job.error.message == "The workers of Flux do not start: ImportError: no such library"
    assert (workshop.status(other), workshop.status(later)) == (JobStatus.COMPLETED, JobStatus.COMPLETED)


async def test_a_job_that_needs_more_gpus_than_there_are_fails_with_the_reason_in_time(
    workshop: Workshop,
) -> None:
    workshop.registry = Registry([spec("huge", "flux", num_gpus=4), spec("sketch", "sd35")])
    job_id, other = workshop.add("huge"), workshop.add("sketch")
    async with workshop.dispatching(workshop.dispatcher(no_capacity_s=600)):
        await workshop.ended(other)
        assert workshop.status(job_id) is JobStatus.PENDING
    async with workshop.dispatching(workshop.dispatcher(no_capacity_s=0)):
        (job,) = await workshop.ended(job_id)
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "no_capacity")
    assert job.error.message == "huge needs 4 GPUs, and there are 1."


async def test_each_job_waits_its_time_for_more_gpus_and_all_of_one_time_fail_together(
    workshop: Workshop,
) -> None:
    workshop.registry = Registry([spec("huge", "flux", num_gpus=4)])
    many = [workshop.add("huge") for _ in range(60)]
    async with workshop.dispatching(workshop.dispatcher(no_capacity_s=0.3)):
        ends = [job.completed_at for job in await workshop.ended(*many)]
        (later,) = await workshop.ended(workshop.add("huge"))
    assert max(ends) - min(ends) < timedelta(seconds=0.9), "not one lookahead after another"
    assert later.completed_at - later.created_at >= timedelta(seconds=0.3)


async def test_a_job_cancelled_while_it_waits_never_runs(workshop: Workshop) -> None:
    job_id, other = workshop.add(), workshop.add()
    workshop.stores.jobs.request_cancel(job_id, now=now())
    async with workshop.dispatching():
        await workshop.ended(other)
    assert workshop.status(job_id) is JobStatus.CANCELLED
    assert [request.job_id for request in workshop.family.requests] == [other]


@both_stores
@pytest.mark.parametrize("done", [0, 1, 2, 3], ids="after {} steps".format)
async def test_cancelling_a_running_job_leaves_no_media(workshop: Workshop, done: int) -> None:
    workshop.gate.close(after_steps=done)
    job_id = workshop.add(num_images=2)
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        cancel(workshop, dispatcher, job_id)
        (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.CANCELLED
    assert workshop.media(job_id) == ()
    assert workshop.media_files() == []


def cancel(workshop: Workshop, dispatcher: Any, job_id: JobId) -> None:
    workshop.stores.jobs.request_cancel(job_id, now=now())
    assert dispatcher.cancel(job_id)


async def test_the_next_job_runs_on_the_same_family_after_a_cancel(workshop: Workshop) -> None:
    workshop.gate.close()
    job_id, other = workshop.add(), workshop.add()
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        cancel(workshop, dispatcher, job_id)
        await workshop.ended(job_id)
        workshop.gate.open()
        await workshop.ended(other)
    assert workshop.status(other) is JobStatus.COMPLETED


async def test_cancelling_twice_is_cancelling_once(workshop: Workshop) -> None:
    workshop.gate.close()
    job_id = workshop.add()
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        for _ in range(3):
            dispatcher.cancel(job_id)
            await asyncio.sleep(0)
        (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.CANCELLED


async def test_a_cancel_request_that_only_the_database_knows_is_honoured(workshop: Workshop) -> None:
    workshop.gate.close()
    job_id = workshop.add()
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        workshop.stores.jobs.request_cancel(job_id, now=now())
        dispatcher.wake()
        (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.CANCELLED


async def test_a_cancel_while_an_output_is_written_removes_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.add(num_images=2)
    dispatcher = workshop.dispatcher()
    write, loop = workshop.files.write, asyncio.get_running_loop()

    def write_while_cancelled(*args: Any) -> str:
        workshop.stores.jobs.request_cancel(job_id, now=now())
        asyncio.run_coroutine_threadsafe(asyncio.to_thread(dispatcher.cancel, job_id), loop)
        loop.call_soon_threadsafe(dispatcher.cancel, job_id)
        return write(*args)

    monkeypatch.setattr(workshop.files, "write", write_while_cancelled)
    async with workshop.dispatching(dispatcher):
        (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.CANCELLED
    assert workshop.media_files() == []


async def test_a_cancel_while_the_end_is_recorded_keeps_row_and_files_together(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = workshop.add()
    dispatcher = workshop.dispatcher()
    complete, loop = workshop.stores.jobs.complete, asyncio.get_running_loop()

    def complete_while_cancelled(*args: Any, **values: Any) -> bool:
        loop.call_soon_threadsafe(dispatcher.cancel, job_id)
        return complete(*args, **values)

    monkeypatch.setattr(workshop.stores.jobs, "complete", complete_while_cancelled)
    async with workshop.dispatching(dispatcher):
        (job,) = await workshop.ended(job_id)
        await asyncio.sleep(0.01)
    assert job.status is JobStatus.COMPLETED
    assert len(workshop.media(job_id)) == 1
    assert len(workshop.media_files()) == 2


async def test_a_cancel_that_comes_before_the_run_begins_is_honoured(workshop: Workshop) -> None:
    job_id = workshop.add()
    dispatcher = workshop.dispatcher()
    run = dispatcher._run

    def run_and_cancel(jobs: Any) -> None:
        run(jobs)
        dispatcher.cancel(jobs[0].id)

    dispatcher._run = run_and_cancel  # type: ignore[method-assign]
    async with workshop.dispatching(dispatcher):
        (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.CANCELLED


@both_stores
async def test_a_second_dispatcher_takes_back_what_the_first_left(workshop: Workshop) -> None:
    workshop.gate.close(after_steps=2)
    running, waiting = workshop.add(num_images=2), workshop.add()
    async with workshop.dispatching(workshop.dispatcher("first")):
        await workshop.reached()
        assert workshop.status(running) is JobStatus.PROCESSING
    assert workshop.status(running) is JobStatus.PROCESSING, "a dispatcher that stops ends no job"
    assert workshop.media_files() == []
    async with workshop.dispatching(workshop.dispatcher("second")):
        jobs = await workshop.ended(running, waiting)
    assert [(job.status, job.attempts) for job in jobs] == [
        (JobStatus.COMPLETED, 2),
        (JobStatus.COMPLETED, 1),
    ]


async def test_a_dispatcher_that_starts_fails_a_job_that_has_died_too_often(workshop: Workshop) -> None:
    job_id = workshop.add()
    claim(workshop, job_id)
    async with workshop.dispatching(workshop.dispatcher("second", max_attempts=1)):
        (job,) = await workshop.ended(job_id)
    assert job.error is not None
    assert job.error.code == "worker_died"


def claim(workshop: Workshop, job_id: JobId) -> None:
    until = now() + timedelta(minutes=1)
    workshop.stores.jobs.claim(job_id, owner="first", now=now(), lease_until=until)


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(workshop: Workshop) -> None:
    workshop.stores.jobs.set_paused(True)
    job_id = workshop.add()
    async with workshop.dispatching() as dispatcher:
        await asyncio.sleep(0.03)
        assert workshop.status(job_id) is JobStatus.PENDING
        workshop.stores.jobs.set_paused(False)
        dispatcher.wake()
        await workshop.ended(job_id)


async def test_a_job_whose_model_left_the_registry_fails_and_others_run(workshop: Workshop) -> None:
    gone, fine = workshop.add("departed"), workshop.add()
    async with workshop.dispatching():
        job, other = await workshop.ended(gone, fine)
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "unknown_model")
    assert other.status is JobStatus.COMPLETED


async def test_a_full_disk_fails_the_job_with_a_sentence_and_leaves_no_files(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise DiskFull

    job_id = workshop.add(num_images=2)
    monkeypatch.setattr(workshop.files, "write", refuse)
    async with workshop.dispatching():
        (job,) = await workshop.ended(job_id)
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("storage", DiskFull.__doc__)
    assert workshop.media_files() == []


async def test_a_job_completes_without_its_thumbnail(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise DiskFull

    job_id = workshop.add()
    with monkeypatch.context() as patch:
        patch.setattr(workshop.files, "write_thumbnail", refuse)
        async with workshop.dispatching():
            (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.COMPLETED
    assert workshop.files.thumbnail(str(job.media_path)).is_file(), "made when it is asked for"


async def test_a_full_disk_ends_the_run_in_the_family_at_once(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise DiskFull

    monkeypatch.setattr(workshop.files, "write", refuse)
    workshop.gate.close(after_steps=2)
    job_id, other = workshop.add(num_images=2), workshop.add()
    async with workshop.dispatching():
        await workshop.ended(job_id, other)
    assert len(workshop.family.requests) == 2, "the family was ready for the next job"


async def test_an_end_that_cannot_be_recorded_is_tried_again(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()

    def refuse(*args: Any, **values: Any) -> None:
        loop.call_soon_threadsafe(refused.set)
        raise DatabaseUnavailable

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(dispatcher_module, "IDLE_LOOK_S", 0.001)
    job_id = workshop.add()
    async with workshop.dispatching():
        with monkeypatch.context() as broken:
            broken.setattr(workshop.stores.jobs, "complete", refuse)
            broken.setattr(workshop.stores.jobs, "fail", refuse)
            broken.setattr(workshop.stores.jobs, "release", refuse)
            await refused.wait()
            await asyncio.sleep(0.01)
            assert workshop.status(job_id) is JobStatus.PROCESSING
        (job,) = await workshop.ended(job_id)
    assert (job.status, len(workshop.media_files())) == (JobStatus.COMPLETED, 2)


async def test_a_database_that_is_away_for_a_while_does_not_end_the_dispatcher(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **values: Any) -> None:
        raise DatabaseUnavailable

    workshop.gate.close()
    job_id = workshop.add()
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        with monkeypatch.context() as broken:
            for method in ("waiting", "cancel_requests"):
                broken.setattr(workshop.stores.jobs, method, refuse)
            for _ in range(3):
                dispatcher.wake()
                await asyncio.sleep(0.005)
        workshop.gate.open()
        other = workshop.add()
        dispatcher.wake()
        await workshop.ended(job_id, other)


@pytest.mark.parametrize("what", ["row", "file"])
async def test_a_source_picture_that_was_deleted_fails_the_job(workshop: Workshop, what: str) -> None:
    source = workshop.add_media()
    job_id = workshop.add("animate", source_image_id=source.id)
    if what == "row":
        workshop.stores.media.delete(MediaId(source.id))
    workshop.files.delete(source.file_path)
    async with workshop.dispatching():
        (job,) = await workshop.ended(job_id)
    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "source_image_gone")
    assert workshop.families["I2V"].requests == []


async def test_higher_priorities_run_first_and_equal_ones_in_order(workshop: Workshop) -> None:
    low, first, second, high = (workshop.add(priority=priority) for priority in (-1, 0, 0, 5))
    async with workshop.dispatching():
        await workshop.ended(low, first, second, high)
    assert [request.job_id for request in workshop.family.requests] == [high, first, second, low]


async def test_models_of_different_families_take_turns_on_one_gpu(workshop: Workshop) -> None:
    workshop.gate.close()
    painted, sketched = workshop.add("paint"), workshop.add("sketch")
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        dispatcher.wake()
        await asyncio.sleep(0.02)
        assert workshop.status(sketched) is JobStatus.PENDING
        workshop.gate.open()
        await workshop.ended(painted, sketched)


async def test_two_gpus_run_two_families_at_once(make_workshop: Any) -> None:
    workshop = make_workshop(gpus=2.0)
    workshop.gate.close()
    jobs = [workshop.add("paint"), workshop.add("sketch")]
    async with workshop.dispatching():
        await until(lambda: {workshop.status(job_id) for job_id in jobs} == {JobStatus.PROCESSING})
        workshop.gate.open()
        await workshop.ended(*jobs)


async def test_a_job_too_large_for_the_cluster_waits_without_holding_others_up(make_workshop: Any) -> None:
    registry = Registry([*small_registry().values(), spec("huge", "sd35", num_gpus=2)])
    workshop = make_workshop(registry=registry, max_overtake_s=0.0)
    huge, fine = workshop.add("huge"), workshop.add()
    async with workshop.dispatching():
        await workshop.ended(fine)
    assert workshop.status(huge) is JobStatus.PENDING


async def test_progress_is_written_while_the_job_runs(workshop: Workshop) -> None:
    workshop.gate.close(after_steps=1)
    job_id = workshop.add(num_images=2)
    async with workshop.dispatching():
        await workshop.reached()
        await until(lambda: steps_done(workshop, job_id) is not None)
        progress = workshop.job(job_id).progress
        assert progress is not None
        assert (progress.phase, progress.total_steps) == (Phase.GENERATING, 4)
        workshop.gate.open()
        await workshop.ended(job_id)


def steps_done(workshop: Workshop, job_id: JobId) -> int | None:
    progress = workshop.job(job_id).progress
    return progress.step if progress else None


async def test_every_change_of_a_job_is_published(workshop: Workshop) -> None:
    job_id = workshop.add()
    with workshop.news.subscribe() as subscription:
        seen = []
        async with workshop.dispatching(), asyncio.timeout(5):
            while JobStatus.COMPLETED not in seen:
                seen.append((await subscription.next())[job_id])
    assert seen[0] == JobStatus.PROCESSING


async def test_the_overview_tells_what_is_loaded_and_what_runs(workshop: Workshop) -> None:
    workshop.gate.close()
    job_id = workshop.add()
    async with workshop.dispatching() as dispatcher:
        await workshop.reached()
        dispatcher._fleet.read_at = -1
        overview = await dispatcher.overview()
        assert (overview.running, overview.loaded) == ({"Flux": 1}, {"Flux": "paint"})
        assert not await dispatcher.unload("Flux"), "it is busy"
        workshop.gate.open()
        await workshop.ended(job_id)
        await asyncio.sleep(0.01)
        assert await dispatcher.unload("Flux")
    assert workshop.clients["Flux"].replicas == 0


async def test_leases_are_renewed_while_a_job_runs(workshop: Workshop) -> None:
    workshop.gate.close()
    job_id = workshop.add()
    async with workshop.dispatching(workshop.dispatcher(lease_s=0.03)):
        await workshop.reached()
        first = workshop.job(job_id).lease_expires_at
        await asyncio.sleep(0.05)
        assert workshop.job(job_id).lease_expires_at > first
