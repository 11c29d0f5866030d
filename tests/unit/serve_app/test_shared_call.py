"""Several jobs in one call: each sees its own events, and none disturbs another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from in_process import Gate

from configs.models import MaxBatch
from deployments.contract import Artifact, Event, Failed, GenerationRequest, JobEvent, Progress
from deployments.errors import OutOfMemory, ProcessDied
from deployments.fake import FakeFamily
from serve_app.families import WorkerDied
from serve_app.local import LocalFamilyClient
from serve_app.shared_call import SharedCall
from tests.generation import generation_request, model_spec

SPEC = model_spec("flux")
FIRST, SECOND = (generation_request(SPEC, job_id=name, prompt=name) for name in ("first", "second"))


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def family(gate: Gate) -> FakeFamily:
    return FakeFamily(before_step=gate)


@pytest.fixture
def call(family: FakeFamily) -> SharedCall:
    return SharedCall(LocalFamilyClient(family), ["first", "second"])


async def events_of(call: SharedCall, request: GenerationRequest) -> list[Event]:
    async with aclosing(call.events(request)) as events:
        return [event async for event in events]


def follow(call: SharedCall, request: GenerationRequest) -> asyncio.Task[list[Event]]:
    return asyncio.create_task(events_of(call, request))


async def test_both_run_as_one_call_and_each_gets_its_own_picture(
    family: FakeFamily, call: SharedCall
) -> None:
    both = await asyncio.gather(events_of(call, SECOND), events_of(call, FIRST))
    assert family.calls == [(FIRST, SECOND)]
    prompts = [e.metadata["prompt"] for events in both for e in events if isinstance(e, Artifact)]
    assert prompts == ["second", "first"]


async def test_the_call_waits_until_every_job_has_joined(family: FakeFamily, call: SharedCall) -> None:
    first = follow(call, FIRST)
    await asyncio.sleep(0.01)
    assert family.calls == []
    await asyncio.gather(first, follow(call, SECOND))
    assert len(family.calls) == 1


class Cancelled(FakeFamily):
    """Ray's handle raises what was raised in the replica, be it a cancellation."""

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        raise asyncio.CancelledError
        yield


async def test_a_call_that_is_cancelled_elsewhere_ends_for_every_job() -> None:
    call = SharedCall(LocalFamilyClient(Cancelled()), ["first", "second"])
    ends = await asyncio.gather(events_of(call, FIRST), events_of(call, SECOND), return_exceptions=True)
    assert all(isinstance(end, WorkerDied) for end in ends)


async def test_a_job_that_never_joins_does_not_hold_the_others_up(
    family: FakeFamily, call: SharedCall
) -> None:
    first = follow(call, FIRST)
    await asyncio.sleep(0)
    await call.leave("second")
    assert isinstance((await first)[-1], Artifact)
    assert family.calls == [(FIRST,)]


async def test_a_call_that_nobody_joins_is_never_made(family: FakeFamily, call: SharedCall) -> None:
    await call.leave("first")
    await call.leave("second")
    assert family.calls == []


async def test_a_job_leaves_at_once_and_the_others_go_on(call: SharedCall, gate: Gate) -> None:
    gate.close(after_steps=1)
    first, second = follow(call, FIRST), follow(call, SECOND)
    await gate.reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not second.done()
    gate.open()
    assert isinstance((await second)[-1], Artifact)


async def test_when_the_last_one_leaves_the_call_ends(
    family: FakeFamily, call: SharedCall, gate: Gate
) -> None:
    gate.close(after_steps=1)
    both = [follow(call, FIRST), follow(call, SECOND)]
    await gate.reached.wait()
    for each in both:
        each.cancel()
    await asyncio.wait(both)
    await asyncio.wait_for(family.unload(), 1)


async def test_a_failure_ends_its_own_job_alone(family: FakeFamily, call: SharedCall) -> None:
    family.fail_next(OutOfMemory("full"), after_steps=1, job_id="first")
    first, second = await asyncio.gather(follow(call, FIRST), follow(call, SECOND))
    assert isinstance(first[-1], Failed)
    assert isinstance(second[-1], Artifact)


async def test_the_death_of_the_worker_reaches_every_job(family: FakeFamily, call: SharedCall) -> None:
    family.fail_next(ProcessDied("killed"), after_steps=1)
    both = await asyncio.gather(follow(call, FIRST), follow(call, SECOND), return_exceptions=True)
    assert all(isinstance(each, WorkerDied) for each in both)


async def test_an_error_nobody_knows_reaches_every_job(family: FakeFamily, call: SharedCall) -> None:
    family.fail_next(ZeroDivisionError())
    both = await asyncio.gather(follow(call, FIRST), follow(call, SECOND), return_exceptions=True)
    assert all(isinstance(each, ZeroDivisionError) for each in both)


async def test_a_job_ends_with_its_last_output_though_others_have_more_to_make(gate: Gate) -> None:
    spec = model_spec("flux", max_batch=MaxBatch(count=1))
    short, long = (generation_request(spec, job_id=n, num_outputs=o) for n, o in (("short", 1), ("long", 3)))
    call = SharedCall(LocalFamilyClient(FakeFamily(before_step=gate)), ["short", "long"])
    gate.close(after_steps=2)
    waiting, other = follow(call, short), follow(call, long)
    assert isinstance((await asyncio.wait_for(waiting, 1))[-1], Artifact)
    assert not other.done()
    gate.open()
    assert [type(event) for event in await other].count(Artifact) == 3


async def test_each_job_sees_its_own_steps(call: SharedCall) -> None:
    first, second = await asyncio.gather(follow(call, FIRST), follow(call, SECOND))
    for events in (first, second):
        assert [event.step for event in events if isinstance(event, Progress)] == [0, 1, 2]
