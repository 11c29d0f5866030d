"""The family without weights keeps the contract of the real ones."""

from __future__ import annotations

import asyncio
import io
from contextlib import aclosing

import av
import pytest
from PIL import Image

from configs.models import FamilyName
from deployments.contract import Artifact, Failed, Loading, Progress, Saving
from deployments.errors import OutOfMemory, ProcessDied, SourceImageUnreadable
from deployments.fake import FakeFamily
from tests.generation import (
    artifacts_of,
    events_of,
    failure_of,
    generation_request,
    made,
    model_spec,
    stop_after,
    together,
)

FLUX = model_spec("flux")


async def test_events_come_in_order_and_steps_count_over_all_outputs() -> None:
    events = await events_of(FakeFamily(), generation_request(FLUX, num_outputs=2))
    kinds = [type(event) for event in events]
    assert kinds == [Loading, Progress, Progress, Progress, Saving, Saving, Artifact, Artifact]
    steps = [(event.step, event.total_steps) for event in events if isinstance(event, Progress)]
    assert steps == [(0, 4), (2, 4), (4, 4)]


async def test_a_loaded_model_is_not_loaded_again() -> None:
    family = FakeFamily()
    assert family.loaded_model is None
    await events_of(family, generation_request(FLUX))
    assert family.loaded_model == FLUX.name
    assert not isinstance((await events_of(family, generation_request(FLUX)))[0], Loading)
    await family.unload()
    assert family.loaded_model is None


async def test_it_tells_whether_a_model_takes_the_place_of_another() -> None:
    family = FakeFamily()
    for name, replaces in [("one", False), ("other", True)]:
        event, *_ = await events_of(family, generation_request(model_spec("flux", name=name)))
        assert event == Loading(message=f"Loading {name}", replaces=replaces)


async def test_pictures_depend_on_prompt_and_seed_and_nothing_else() -> None:
    family, request = FakeFamily(), generation_request(FLUX, num_outputs=2)
    first, second = await artifacts_of(family, request)
    (again,) = await artifacts_of(FakeFamily(), generation_request(FLUX))
    (other,) = await artifacts_of(family, generation_request(FLUX, prompt="a blue car"))
    assert (first.seed, second.seed) == (7, 8)
    pixels = [Image.open(io.BytesIO(each.data)).tobytes() for each in (first, again, second, other)]
    assert pixels[0] == pixels[1]
    assert len(set(pixels)) == 3


@pytest.mark.parametrize("family", ["wan_t2v", "wan_i2v", "ltx_t2v", "ltx_i2v"])
async def test_clips_have_the_frames_size_and_rate_that_were_asked_for(family: FamilyName) -> None:
    request = generation_request(model_spec(family), width=64, height=32, num_frames=5, fps=8)
    (clip,) = await artifacts_of(FakeFamily(), request)
    with av.open(io.BytesIO(clip.data)) as container:
        frames = list(container.decode(video=0))
        assert (len(frames), frames[0].width, frames[0].height) == (5, 64, 32)
        assert container.streams.video[0].average_rate == 8
    assert (clip.media_type, clip.metadata["frame_count"]) == ("video", 5)


async def test_a_source_picture_that_cannot_be_decoded_fails_the_job() -> None:
    request = generation_request(model_spec("wan_i2v"), source_image=b"text")
    assert (await failure_of(FakeFamily(), request)).code == SourceImageUnreadable.code


async def test_a_fault_comes_after_its_step_in_one_call() -> None:
    family = FakeFamily()
    family.fail_next(OutOfMemory("full", hint="smaller"), after_steps=1)
    *_, step, failed = await events_of(family, generation_request(FLUX))
    assert step == Progress(step=1, total_steps=2)
    assert failed == Failed(code="out_of_memory", message="full", hint="smaller")
    assert len(await artifacts_of(family, generation_request(FLUX))) == 1


async def test_a_process_that_dies_ends_the_call() -> None:
    family = FakeFamily()
    family.fail_next(ProcessDied("killed"))
    with pytest.raises(ProcessDied):
        await events_of(family, generation_request(FLUX))


async def test_jobs_of_one_call_have_their_own_events_and_faults() -> None:
    family = FakeFamily()
    family.fail_next(OutOfMemory("full"), after_steps=1, job_id="second")
    jobs = [generation_request(FLUX, job_id=name, seed=seed) for seed, name in enumerate(("first", "second"))]
    events = await together(family, *jobs)
    (artifact,) = made(events["first"])
    (alone,) = await artifacts_of(FakeFamily(), jobs[0])
    assert (artifact.data, artifact.metadata["batch_size"]) == (alone.data, 2)
    assert isinstance(events["second"][-1], Failed)
    assert family.calls == [tuple(jobs)]


async def test_a_run_that_is_stopped_leaves_the_family_ready() -> None:
    family = FakeFamily()
    request = generation_request(FLUX)
    assert len(await stop_after(family, request, Progress)) == 2
    assert len(await artifacts_of(family, request)) == 1


async def test_runs_take_turns_and_can_be_held_before_a_step() -> None:
    held = asyncio.Event()
    family = FakeFamily(before_step=lambda done: held.wait())
    first = asyncio.create_task(events_of(family, generation_request(FLUX)))
    await asyncio.sleep(0)
    second = asyncio.create_task(events_of(family, generation_request(FLUX)))
    await asyncio.sleep(0.005)
    assert len(family.requests) == 1
    held.set()
    await asyncio.gather(first, second)
    assert len(family.requests) == 2


async def test_a_step_takes_its_time_and_can_be_cancelled() -> None:
    async with aclosing(FakeFamily(step_s=60).generate((generation_request(FLUX),))) as events:
        assert isinstance((await anext(events)).event, Loading)
        assert (await anext(events)).event == Progress(step=0, total_steps=2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await anext(events)
