"""The engine alone, on a pipeline made for the purpose."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from configs.models import MaxBatch
from deployments.contract import Artifact, Failed, GenerationRequest, Loading, Progress, Saving
from deployments.engine import Family
from deployments.errors import BrokenWeights, GenerationFailed, LicenceRequired, OutOfMemory
from deployments.recipe import Recipe, encode_prompt
from tests.generation import (
    LocalFiles,
    artifacts_of,
    events_of,
    failure_of,
    generation_request,
    made,
    model_spec,
    stop_after,
    together,
)


class Scheduler:
    config: ClassVar[dict[str, Any]] = {}


class Pipe:
    """Paints a grey square; `at_step` is what a test wants to happen at each of its steps."""

    at_step: ClassVar[Callable[[int], None]]
    made: ClassVar[list[weakref.ref[Pipe]]]
    fails_to_load: ClassVar[Exception | None]

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self.scheduler = Scheduler()
        self.calls: list[dict[str, Any]] = []
        self.encoded: list[str] = []
        self.hooks_freed = 0

    @classmethod
    def from_pretrained(cls, folder: Any, **options: Any) -> Pipe:
        assert not any(ref() for ref in cls.made), "the model before is still in memory"
        if cls.fails_to_load is not None:
            raise cls.fails_to_load
        pipe = cls()
        cls.made.append(weakref.ref(pipe))
        return pipe

    def set_progress_bar_config(self, **options: Any) -> None: ...

    def maybe_free_model_hooks(self) -> None:
        self.hooks_freed += 1

    def encode_prompt(self, prompt: str) -> tuple[torch.Tensor]:
        self.encoded.append(prompt)
        return (torch.zeros(1),)

    def __call__(self, **call: Any) -> tuple[torch.Tensor]:
        self.calls.append(call)
        latents = torch.zeros(4)
        for step in range(call["num_inference_steps"]):
            type(self).at_step(step)
            call["callback_on_step_end"](self, step, None, {"latents": latents})
        greys = [torch.full((1, 3, 16, 16), seed / 255) for seed in seeds_of(call)]
        return (torch.cat(greys),)


def seeds_of(call: dict[str, Any]) -> list[int]:
    """The seed of each sample: a single one has a generator, several have a list."""
    generator = call["generator"]
    generators = generator if isinstance(generator, list) else [generator]
    return [each.initial_seed() for each in generators]


class PaintGrey(Recipe):
    pipeline = Pipe
    transformer = None

    def encode(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        return encode_prompt(pipe, ("prompt_embeds",), request, prompt=request.prompt)

    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        return {"num_inference_steps": request.num_inference_steps}

    def grid(self, pipe: Any, latents: torch.Tensor, arguments: Any) -> torch.Tensor:
        return latents

    def decode_grid(self, pipe: Any, grid: torch.Tensor) -> torch.Tensor:
        return grid


class Grey(Family):
    recipes: ClassVar[Any] = {"flux": PaintGrey()}

    @property
    def pipe(self) -> Pipe:
        assert self._loaded is not None
        return self._loaded.pipe


def fetch_nothing(spec: Any, *, progress: Any) -> LocalFiles:
    return LocalFiles(folder=Path("nowhere"))


JOB = generation_request(model_spec("flux"))
LONG = generation_request(model_spec("flux"), num_inference_steps=10_000)
MATES = tuple(generation_request(JOB.model, job_id=name, seed=seed) for seed, name in enumerate("abcd"))
FULL = torch.OutOfMemoryError("CUDA out of memory")


@pytest.fixture(autouse=True)
def _fresh_pipe() -> None:
    Pipe.at_step = staticmethod(lambda step: None)
    Pipe.made, Pipe.fails_to_load = [], None


@pytest.fixture
def family() -> Iterator[Grey]:
    family = Grey(fetch=fetch_nothing)
    yield family
    family.close()


def raising(error: Exception) -> Callable[[int], None]:
    def at_step(step: int) -> None:
        raise error

    return staticmethod(at_step)


async def test_the_prompt_is_encoded_once_and_each_output_has_its_seed(family):
    await events_of(family, generation_request(JOB.model, num_outputs=3))
    assert family.pipe.encoded == ["a red circle"]
    assert [seeds_of(call) for call in family.pipe.calls] == [[7, 8, 9]]


async def test_a_job_of_more_outputs_than_a_call_may_make_has_several(family):
    request = generation_request(model_spec("flux", max_batch=MaxBatch(count=2)), num_outputs=5)
    assert [artifact.output for artifact in await artifacts_of(family, request)] == [0, 1, 2, 3, 4]
    assert [seeds_of(call) for call in family.pipe.calls] == [[7, 8], [9, 10], [11]]


async def test_an_output_is_handed_over_before_the_next_call_begins(family):
    spec = model_spec("flux", max_batch=MaxBatch(count=1))
    events = await events_of(family, generation_request(spec, num_outputs=2))
    kinds = [type(event) for event in events]
    assert kinds.index(Artifact) < kinds.index(Progress, kinds.index(Artifact))


async def test_only_the_first_request_loads(family):
    assert family.loaded_model is None
    first, second = await events_of(family, JOB), await events_of(family, JOB)
    assert any(isinstance(event, Loading) for event in first)
    assert not any(isinstance(event, Loading) for event in second)
    assert family.loaded_model == "tiny-flux"


async def test_another_model_is_loaded_after_the_first_is_gone(family):
    first = await events_of(family, JOB)
    other = await events_of(family, generation_request(model_spec("flux", name="other")))
    assert first[0] == Loading(message="Loading tiny-flux")
    assert other[0] == Loading(message="Loading other", replaces=True)
    assert family.loaded_model == "other"
    assert len(Pipe.made) == 2


async def test_a_changed_spec_is_another_model(family):
    await events_of(family, JOB)
    await events_of(family, generation_request(model_spec("flux", memory="full")))
    assert len(Pipe.made) == 2


async def test_unloading_frees_the_model(family):
    await events_of(family, JOB)
    await family.unload()
    assert family.loaded_model is None
    assert Pipe.made[0]() is None


async def test_closing_the_stream_ends_the_run_within_a_step(family):
    await events_of(family, JOB)
    steps: list[int] = []
    Pipe.at_step = staticmethod(steps.append)
    async with aclosing(family.generate((LONG,))) as events:
        async for each in events:
            if isinstance(each.event, Progress) and each.event.step == 3:
                break
        begun = len(steps)
    assert len(steps) < LONG.num_inference_steps
    ended = len(steps)
    await asyncio.sleep(0.05)
    assert len(steps) == ended
    assert begun >= 3
    assert family.pipe.hooks_freed == 1


async def test_the_step_after_the_caller_has_gone_is_the_last(family):
    steps: list[int] = []
    in_third_step, step_may_end = threading.Event(), threading.Event()

    def at_step(step: int) -> None:
        steps.append(step)
        if step == 2:
            in_third_step.set()
            step_may_end.wait(5)

    Pipe.at_step = staticmethod(at_step)
    task = asyncio.create_task(events_of(family, LONG))
    await asyncio.to_thread(in_third_step.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    step_may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == [0, 1, 2]


async def test_a_request_stopped_while_it_waits_never_runs(family):
    step_may_end = threading.Event()
    Pipe.at_step = staticmethod(lambda step: step_may_end.wait(5))
    first = asyncio.create_task(events_of(family, JOB))
    second = asyncio.create_task(events_of(family, generation_request(JOB.model, prompt="never")))
    await asyncio.sleep(0.02)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(second, 1)
    step_may_end.set()
    await first
    assert family.pipe.encoded == ["a red circle"]


async def test_requests_at_the_same_time_run_one_after_another(family):
    running: list[bool] = []

    def alone(step: int) -> None:
        assert not running
        running.append(True)
        running.clear()

    Pipe.at_step = staticmethod(alone)
    results = await asyncio.gather(*(artifacts_of(family, JOB) for _ in range(5)))
    assert len({artifact.data for (artifact,) in results}) == 1


async def test_the_event_loop_goes_on_while_the_pipeline_works(family):
    step_may_end = threading.Event()
    Pipe.at_step = staticmethod(lambda step: step_may_end.wait(5))
    task = asyncio.create_task(events_of(family, JOB))
    for _ in range(10):
        await asyncio.sleep(0.001)
    step_may_end.set()
    assert await task


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    ],
    ids=["accelerator", "host", "cpu-allocator", "cublas", "beside-torchs-allocator"],
)
async def test_full_memory_fails_that_job_alone(family, error):
    Pipe.at_step = raising(error)
    failed = await failure_of(family, JOB)
    assert (failed.code, "memory: offload" in failed.hint) == (OutOfMemory.code, True)
    assert family.healthy
    Pipe.at_step = staticmethod(lambda step: None)
    assert len(await artifacts_of(family, JOB)) == 1
    assert family.pipe.hooks_freed == 1


@pytest.mark.parametrize("placement", ["offload", "offload_layers"])
async def test_offloading_is_not_offered_where_it_is_done(family, monkeypatch, placement):
    monkeypatch.setattr("deployments.engine.place", lambda pipe, spec: placement)
    Pipe.at_step = raising(FULL)
    hint = (await failure_of(family, JOB)).hint
    assert hint == "Ask for a smaller size; the weights of tiny-flux wait in main memory already."


async def test_pinned_memory_goes_back_when_the_model_goes(family, monkeypatch):
    emptied: list[str] = []
    await events_of(family, JOB)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    for name in ("empty_cache", "empty_host_cache"):
        monkeypatch.setattr(torch.accelerator, name, partial(emptied.append, name))
    await family.unload()
    assert emptied == ["empty_cache", "empty_host_cache"]


async def test_what_the_pipeline_says_reaches_the_person(family, caplog):
    Pipe.at_step = raising(ValueError("height must be divisible by 16"))
    failed = await failure_of(family, JOB)
    assert failed.code == GenerationFailed.code
    assert "height must be divisible by 16" in failed.message
    assert "Traceback" in caplog.text
    assert "job job" in caplog.text
    assert family.healthy


async def test_a_failed_job_keeps_no_tensor_alive(family):
    tensors: list[weakref.ref[torch.Tensor]] = []

    def fill(step: int) -> None:
        big = torch.zeros(1000)
        tensors.append(weakref.ref(big))
        raise torch.OutOfMemoryError("CUDA out of memory")

    Pipe.at_step = staticmethod(fill)
    gc.disable()
    try:
        assert (await failure_of(family, JOB)).code == OutOfMemory.code
        assert tensors[0]() is None
    finally:
        gc.enable()


async def test_a_broken_accelerator_shows_in_the_familys_health(family):
    Pipe.at_step = raising(torch.AcceleratorError("CUDA error: device-side assert triggered"))
    assert (await failure_of(family, JOB)).code == GenerationFailed.code
    assert not family.healthy


async def test_weights_that_cannot_be_loaded_are_named_and_may_be_tried_again(family):
    Pipe.fails_to_load = OSError("no file named model.safetensors")
    failed = await failure_of(family, JOB)
    assert failed.code == BrokenWeights.code
    assert "tiny-flux" in failed.message
    assert "no file named model.safetensors" in failed.message
    assert family.loaded_model is None
    Pipe.fails_to_load = None
    assert len(await artifacts_of(family, JOB)) == 1


async def test_full_memory_while_loading_is_not_taken_for_broken_weights(family):
    Pipe.fails_to_load = torch.OutOfMemoryError("CUDA out of memory")
    assert (await failure_of(family, JOB)).code == OutOfMemory.code


async def test_a_download_reports_how_far_it_is():
    def fetch(spec: Any, *, progress: Any) -> LocalFiles:
        progress("Downloading tiny-flux", 0.5)
        return fetch_nothing(spec, progress=progress)

    family = Grey(fetch=fetch)
    events = await events_of(family, JOB)
    assert events[0] == Loading(message="Downloading tiny-flux", fraction=0.5)
    family.close()


async def test_what_the_download_says_passes_through():
    def fetch(spec: Any, *, progress: Any) -> LocalFiles:
        raise LicenceRequired("Accept the licence", hint="https://example.org")

    family = Grey(fetch=fetch)
    failed = await failure_of(family, JOB)
    assert (failed.code, failed.message) == (LicenceRequired.code, "Accept the licence")
    assert failed.hint == "https://example.org"
    family.close()


async def test_a_download_ends_when_its_caller_has_gone():
    ended = threading.Event()

    def fetch(spec: Any, *, progress: Any) -> LocalFiles:
        try:
            while True:
                progress("Downloading", None)
                threading.Event().wait(0.001)
        finally:
            ended.set()

    family = Grey(fetch=fetch)
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(stop_after(family, JOB, Loading), 1)
    assert ended.is_set()
    family.close()


# -- several jobs in one call


class Overfull:
    """The step of a pipeline that fails with `error` where `fails` says so of the seeds of its call."""

    def __init__(self, fails: Callable[[list[int]], bool], error: Exception = FULL) -> None:
        self._fails, self._error = fails, error

    def __call__(self, step: int) -> None:
        (pipe,) = (made for ref in Pipe.made if (made := ref()) is not None)
        if self._fails(seeds_of(pipe.calls[-1])):
            raise self._error


async def test_jobs_run_as_one_call_and_each_has_its_own_events(family):
    events = [each async for each in family.generate(MATES)]
    assert [seeds_of(call) for call in family.pipe.calls] == [[0, 1, 2, 3]]
    for seed, name in enumerate("abcd"):
        loading, *steps, saving, artifact = [each.event for each in events if each.job_id == name]
        assert isinstance(loading, Loading)
        assert steps == [Progress(step=step, total_steps=2) for step in range(3)]
        assert (saving, artifact.seed) == (Saving(output=0), seed)


async def test_what_does_not_fit_into_memory_together_is_made_one_by_one(family):
    Pipe.at_step = Overfull(lambda seeds: len(seeds) > 1)
    events = await together(family, *MATES)
    assert [artifact.seed for each in events.values() for artifact in made(each)] == [0, 1, 2, 3]
    assert [seeds_of(call) for call in family.pipe.calls] == [[0, 1, 2, 3], [0], [1], [2], [3]]


async def test_after_that_fewer_are_made_at_once(family):
    Pipe.at_step = Overfull(lambda seeds: len(seeds) > 4)
    request = generation_request(JOB.model, num_outputs=8)
    assert len(await artifacts_of(family, request)) == len(await artifacts_of(family, request)) == 8
    assert [len(seeds_of(call)) for call in family.pipe.calls] == [8, *[1] * 8, 4, 4]


async def test_a_job_that_fails_by_itself_fails_alone(family):
    Pipe.at_step = Overfull(lambda seeds: 2 in seeds, ValueError("not this one"))
    events = await together(family, *MATES)
    assert [name for name, each in events.items() if isinstance(each[-1], Artifact)] == ["a", "b", "d"]
    assert "not this one" in events["c"][-1].message


async def test_a_picture_that_is_not_a_number_fails_its_job_alone(family, monkeypatch):
    call = Pipe.__call__

    def spoilt(pipe: Pipe, **arguments: Any) -> tuple[torch.Tensor]:
        (pictures,) = call(pipe, **arguments)
        pictures[1] = torch.nan
        return (pictures,)

    monkeypatch.setattr(Pipe, "__call__", spoilt)
    events = await together(family, *MATES)
    assert [type(each[-1]) for each in events.values()] == [Artifact, Failed, Artifact, Artifact]
    assert len(family.pipe.calls) == 1


async def test_a_job_of_several_outputs_fails_once_and_makes_no_more(family):
    Pipe.at_step = raising(ValueError("no"))
    spec = model_spec("flux", max_batch=MaxBatch(count=2))
    events = await events_of(family, generation_request(spec, num_outputs=6))
    assert [type(event) for event in events].count(Failed) == 1
    assert [seeds_of(call) for call in family.pipe.calls] == [[7, 8], [7]]


async def test_a_broken_accelerator_fails_every_job_at_once(family):
    Pipe.at_step = raising(torch.AcceleratorError("CUDA error: device-side assert triggered"))
    events = await together(family, *MATES)
    assert all(isinstance(each[-1], Failed) for each in events.values())
    assert len(family.pipe.calls) == 1
    assert not family.healthy


async def test_weights_that_cannot_be_loaded_fail_every_job(family):
    Pipe.fails_to_load = OSError("no file")
    events = await together(family, *MATES)
    assert {each[-1].code for each in events.values()} == {BrokenWeights.code}


async def test_a_prompt_that_cannot_be_encoded_fails_its_job_alone(family, monkeypatch):
    encode = Pipe.encode_prompt

    def refusing(pipe: Pipe, prompt: str) -> tuple[torch.Tensor]:
        if prompt == "bad":
            raise ValueError("bad prompt")
        return encode(pipe, prompt)

    monkeypatch.setattr(Pipe, "encode_prompt", refusing)
    bad = generation_request(JOB.model, job_id="bad", prompt="bad")
    events = await together(family, bad, *MATES)
    assert [seeds_of(call) for call in family.pipe.calls] == [[0, 1, 2, 3]]
    assert "bad prompt" in events["bad"][-1].message
