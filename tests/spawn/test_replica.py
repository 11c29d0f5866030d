"""What a replica passes on of a family's events, and how it ends its model's process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest

from deployments.contract import Artifact, Event, JobEvent, Loading, Progress, Saving
from deployments.fake import FakeFamily
from deployments.process.launch import Launcher
from deployments.process.proxy import ModelProcess
from deployments.weights import DownloadSettings
from serve_app.replica import Died, FamilyReplica, without_haste
from serve_app.scaling import UNLOAD_METRIC
from tests.generation import generation_request, model_spec
from tests.processes import survivors


async def run_of(steps: int, *jobs: str) -> AsyncIterator[JobEvent]:
    for job in jobs:
        yield JobEvent(job_id=job, event=Loading(message="Loading"))
    for step in range(steps + 1):
        for job in jobs:
            yield JobEvent(job_id=job, event=Progress(step=step, total_steps=steps))
    for job in jobs:
        yield JobEvent(job_id=job, event=Saving(output=0))


async def test_of_hasty_steps_each_jobs_first_and_last_are_told() -> None:
    told = [each async for each in without_haste(run_of(12, "a", "b"), interval_s=60)]
    for job in ("a", "b"):
        assert [each.event for each in told if each.job_id == job] == [
            Loading(message="Loading"),
            Progress(step=0, total_steps=12),
            Progress(step=12, total_steps=12),
            Saving(output=0),
        ]


async def test_of_slow_steps_every_one_is_told() -> None:
    told = [each.event async for each in without_haste(run_of(12, "a"), interval_s=0)]
    assert [event.step for event in told if isinstance(event, Progress)] == list(range(13))


@pytest.fixture
async def replica() -> AsyncIterator[FamilyReplica]:
    """One whose model process runs a family without weights."""
    replica = FamilyReplica("flux", DownloadSettings(), lambda: None, 5, previews=False)
    replica._model = ModelProcess(FakeFamily, title="cyberimage: Fake", launch=Launcher())
    yield replica
    await replica._model.close()


async def told_by(replica: FamilyReplica, steps: int = 2) -> list[Event | Died]:
    request = generation_request(model_spec("flux"), num_inference_steps=steps)
    events: list[Event | Died] = []
    async for each in replica.generate((request,)):
        events.append(each.event if isinstance(each, JobEvent) else each)
    return events


def model_process() -> psutil.Process:
    (process,) = psutil.Process().children()
    return process


async def test_events_come_from_a_process_of_the_replicas_own(replica: FamilyReplica) -> None:
    assert isinstance((await told_by(replica))[-1], Artifact)
    assert "cyberimage: Fake tiny-flux" in " ".join(model_process().cmdline())


async def test_the_death_of_the_model_process_is_the_calls_last_event(replica: FamilyReplica) -> None:
    await told_by(replica)
    call = asyncio.create_task(told_by(replica, steps=100_000))
    await asyncio.sleep(0)
    model_process().kill()
    assert (await call)[-1] == Died(reason="killed by signal 9; out of memory is the usual reason")


async def test_unloading_leaves_no_process_and_asks_to_be_stopped(replica: FamilyReplica) -> None:
    await told_by(replica)
    process = model_process()
    assert replica.record_autoscaling_stats() == {UNLOAD_METRIC: 0.0}
    await replica.unload()
    assert not survivors([process], within=0)
    assert replica.record_autoscaling_stats() == {UNLOAD_METRIC: 1.0}


async def test_a_stopped_replica_leaves_no_process(replica: FamilyReplica) -> None:
    await told_by(replica)
    process = model_process()
    stopping = replica.__del__()
    assert stopping is not None
    await stopping
    assert not survivors([process], within=0)
    assert replica.__del__() is None
