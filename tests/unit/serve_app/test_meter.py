"""What is told to the metrics, and recorded for estimates, of a job's run."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from in_process import Workshop, now, spec, until

from configs.models import ModelSpec
from configs.registry import Registry
from deployments.contract import Event, GenerationRequest, Loading, Progress
from deployments.errors import OutOfMemory
from serve_app import fleet, job_run
from serve_app.job_run import JobRun
from serve_app.meter import RunEnd
from storage.jobs import JobStatus, Warmth


class Noting:
    """Implements Meter."""

    def __init__(self) -> None:
        self.ends: list[RunEnd] = []
        self.waits: list[dict[str, int]] = []

    def ended(self, end: RunEnd) -> None:
        self.ends.append(end)

    def waiting(self, numbers: Mapping[str, int], registry: Mapping[str, ModelSpec]) -> None:
        self.waits.append(dict(numbers))


@pytest.fixture
def meter() -> Noting:
    return Noting()


async def test_each_end_is_told_with_model_family_and_state(workshop: Workshop, meter: Noting) -> None:
    workshop.families["SD35"].fail_next(OutOfMemory())
    jobs = [workshop.add("paint"), workshop.add("sketch")]
    async with workshop.dispatching(workshop.dispatcher(meter=meter)):
        await workshop.ended(*jobs)
    ends = {(end.model.name, end.model.family, end.status) for end in meter.ends}
    assert ends == {("paint", "flux", JobStatus.COMPLETED), ("sketch", "sd35", JobStatus.FAILED)}


async def test_a_completed_job_is_told_with_its_times(workshop: Workshop, meter: Noting) -> None:
    job_id = workshop.add()
    async with workshop.dispatching(workshop.dispatcher(meter=meter)):
        await workshop.ended(job_id)
    (end,) = meter.ends
    job = workshop.job(job_id)
    assert (end.load_s, end.run_s, end.warmth) == (job.load_seconds, job.run_seconds, job.warmth)
    assert job.started_at is not None
    assert end.wait_s == (job.started_at - job.created_at).total_seconds()


async def test_waiting_jobs_are_counted_by_model(workshop: Workshop, meter: Noting) -> None:
    workshop.stores.jobs.set_paused(True)
    for model in ("paint", "paint", "clip"):
        workshop.add(model)
    async with workshop.dispatching(workshop.dispatcher(meter=meter)):
        await until(lambda: bool(meter.waits))
    assert meter.waits[0] == {"paint": 2, "clip": 1}


async def test_a_run_records_what_it_found(workshop: Workshop) -> None:
    async with workshop.dispatching():
        for model, warmth in [("paint", Warmth.COLD), ("paint", Warmth.WARM), ("sketch", Warmth.SWAP)]:
            (job,) = await workshop.ended(workshop.add(model))
            assert job.warmth is warmth


@pytest.mark.parametrize(("gone", "warmth"), [(True, Warmth.COLD), (False, Warmth.SWITCH)])
async def test_a_switch_is_told_from_a_start_though_the_cluster_was_not_read_between(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, gone: bool, warmth: Warmth
) -> None:
    monkeypatch.setattr(fleet, "CLUSTER_TTL_S", math.inf)
    workshop.registry = Registry([spec("paint", "flux"), spec("ink", "flux")])
    async with workshop.dispatching() as dispatcher:
        await workshop.ended(workshop.add("paint"))
        assert dispatcher._fleet.state.deployments["Flux"].replicas == 0, "read before the replica came up"
        if gone:
            await dispatcher._fleet.read_now()
            await workshop.clients["Flux"].unload()
            await workshop.family.unload()
        ink = workshop.add("ink")
        dispatcher.wake()
        (job,) = await workshop.ended(ink)
    assert job.warmth is warmth


class Timed:
    """In place of a SharedCall: events, each after so many seconds by `clock`."""

    size = 1

    def __init__(self, clock: list[float], *events: tuple[float, Event]) -> None:
        self._clock = clock
        self._events = events

    async def events(self, request: GenerationRequest) -> AsyncIterator[Event]:
        for seconds, event in self._events:
            self._clock[0] += seconds
            yield event

    async def leave(self, job_id: str) -> None: ...


async def test_a_download_does_not_count_as_loading(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(job_run, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    call: Any = Timed(
        clock,
        (3, Loading(message="Looking up")),
        (1, Loading(message="Downloading", fraction=0.0)),
        (900, Loading(message="Downloading", fraction=0.5)),
        (900, Loading(message="Downloading", fraction=1.0)),
        (1, Loading(message="Loading")),
        (7, Progress(step=0, total_steps=2)),
        (5, Progress(step=2, total_steps=2)),
    )
    lease_until = now() + timedelta(minutes=1)
    job = workshop.stores.jobs.claim(workshop.add(), owner="me", now=now(), lease_until=lease_until)
    assert job is not None
    await JobRun(job, workshop.registry["paint"], call, workshop.dispatcher()._desk).execute()
    ended = workshop.job(job.id)
    assert (ended.load_seconds, ended.run_seconds, ended.warmth) == (12, 5, Warmth.COLD)
