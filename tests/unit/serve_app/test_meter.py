"""What is told to the metrics, and recorded for estimates, of a job's run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from in_process import Workshop, until

from configs.models import ModelSpec
from deployments.errors import OutOfMemory
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
