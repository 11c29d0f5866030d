"""A family: one model loaded, one request running, in one thread of its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from configs.models import FamilyName, LocalSource, ModelSpec
from deployments.artifacts import finish
from deployments.contract import Event, GenerationRequest, Loading, Progress, Saving
from deployments.errors import BrokenWeights, GenerationError, GenerationFailed, OutOfMemory
from deployments.loading import Fetch, load_pipeline
from deployments.placement import Placement, place
from deployments.recipe import Recipe

logger = logging.getLogger(__name__)

StepCallback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]


class _Stopped(BaseException):
    """The caller has gone. Not an Exception, so that nothing between the callback and the engine eats it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loaded:
    spec: ModelSpec
    recipe: Recipe
    pipe: Any
    placement: Placement


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One request on its way through the pipeline's thread."""

    request: GenerationRequest
    emit: Callable[[Event], object]
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def total_steps(self) -> int:
        return self.request.num_inference_steps * self.request.num_outputs

    def check(self) -> None:
        if self.stopped.is_set():
            raise _Stopped

    def report_loading(self, message: str, fraction: float | None = None) -> None:
        self.check()
        self.emit(Loading(message=message, fraction=fraction))

    def report_step(self, output: int, step: int) -> None:
        """`step` counts from 1 within `output`."""
        self.check()
        steps = self.request.num_inference_steps
        self.emit(Progress(step=output * steps + step, total_steps=self.total_steps))
        if step == steps:
            self.emit(Saving(output=output))

    def step_callback(self, output: int) -> StepCallback:
        def callback(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self.report_step(output, index + 1)
            return {}

        return callback


class Family:
    """Loads and runs the models of one deployment; the Generator protocol. Runs without Ray.

    Requests run one after another in the order of their first iteration. Asking for another model frees the
    loaded one first.
    """

    recipes: ClassVar[Mapping[FamilyName, Recipe]] = {}

    def __init__(self, *, fetch: Fetch) -> None:
        self._fetch = fetch
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=type(self).__name__)
        self._loaded: _Loaded | None = None
        self._healthy = True

    @property
    def loaded_model(self) -> str | None:
        return self._loaded.spec.name if self._loaded else None

    @property
    def healthy(self) -> bool:
        """False once the accelerator has failed in a way that only a new process recovers from."""
        return self._healthy

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        run = _Run(request=request, emit=lambda e: loop.call_soon_threadsafe(events.put_nowait, e))
        job = self._thread.submit(self._work, run)
        done = asyncio.wrap_future(job)
        done.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            if (failure := await done) is not None:
                raise failure
        finally:
            run.stopped.set()
            if not job.cancel():
                await asyncio.wait([done])

    async def unload(self) -> None:
        """Free the loaded model, after the running request if there is one."""
        await asyncio.wrap_future(self._thread.submit(self._free))

    def close(self) -> None:
        """Give up the thread. Requests that have not begun are dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _work(self, run: _Run) -> GenerationError | None:
        """The whole run, in the thread. Returns what went wrong: a raised error would keep its frames."""
        failure: GenerationError | None = None
        try:
            run.check()
            self._paint(run, self._ensure_loaded(run))
        except _Stopped:
            logger.info("job %s: stopped", run.request.job_id)
        except Exception as error:
            failure = self._diagnose(error, run.request)
        if isinstance(failure, OutOfMemory):
            free_memory()
        return failure

    def _ensure_loaded(self, run: _Run) -> _Loaded:
        spec = run.request.model
        if self._loaded is None or self._loaded.spec != spec:
            self._free()
            files = self._fetch(spec, progress=run.report_loading)
            run.report_loading(f"Loading {spec.name}")
            self._loaded = self._load(spec, files)
            run.check()
        return self._loaded

    def _load(self, spec: ModelSpec, files: Any) -> _Loaded:
        started = time.perf_counter()
        recipe = self.recipes[spec.family]
        pipe = load_pipeline(recipe, spec, files)
        placement = place(pipe, spec)
        logger.info("%s loaded in %.1f s (%s)", spec.name, time.perf_counter() - started, placement)
        return _Loaded(spec=spec, recipe=recipe, pipe=pipe, placement=placement)

    def _free(self) -> None:
        if self._loaded is not None:
            logger.info("%s freed", self._loaded.spec.name)
            self._loaded = None
            free_memory()

    def _paint(self, run: _Run, loaded: _Loaded) -> None:
        request, recipe, pipe = run.request, loaded.recipe, loaded.pipe
        run.emit(Progress(step=0, total_steps=run.total_steps))
        try:
            arguments = recipe.arguments(pipe, request) | recipe.encode(pipe, request)
            for output in range(request.num_outputs):
                self._paint_output(run, loaded, arguments, output)
        except BaseException:
            # A call that ends early leaves offload hooks and cached steps of the transformer behind.
            pipe.maybe_free_model_hooks()
            raise

    def _paint_output(self, run: _Run, loaded: _Loaded, arguments: dict[str, Any], output: int) -> None:
        run.check()
        started = time.perf_counter()
        device = loaded.recipe.generator_device(loaded.pipe)
        (pictures,) = loaded.pipe(
            **arguments,
            generator=torch.Generator(device).manual_seed(run.request.seed + output),
            output_type="pt",
            return_dict=False,
            callback_on_step_end=run.step_callback(output),
            callback_on_step_end_tensor_inputs=[],
        )
        seconds = time.perf_counter() - started
        sampler = type(loaded.pipe.scheduler).__name__
        run.emit(finish(run.request, pictures[0], output=output, seconds=seconds, sampler=sampler))

    def _diagnose(self, error: Exception, request: GenerationRequest) -> GenerationError:
        """The error to report. Logs the traceback and empties its frames, which hold the run's tensors."""
        if not isinstance(error, GenerationError):
            logger.error("job %s: %s", request.job_id, "".join(traceback.format_exception(error)))
        self._healthy = self._healthy and not isinstance(error, torch.AcceleratorError)
        failure = as_generation_error(error, request.model, loaded=self._loaded is not None)
        traceback.clear_frames(error.__traceback__)
        failure.__traceback__ = failure.__context__ = failure.__cause__ = None
        return failure


def as_generation_error(error: Exception, spec: ModelSpec, *, loaded: bool) -> GenerationError:
    """What `error` means to the person who asked; `loaded` tells generating from loading."""
    if isinstance(error, GenerationError):
        return error
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if is_out_of_memory(error):
        size = "a smaller size or fewer frames" if spec.is_video else "a smaller size"
        hint = f"Ask for {size}, or set `memory: offload` for {spec.name} in the model registry."
        return OutOfMemory(f"Not enough memory for this request on {spec.name}.", hint=hint)
    if not loaded:
        return BrokenWeights(f"The files of {spec.name} cannot be loaded. {reason}", hint=_repair_hint(spec))
    return GenerationFailed(f"{spec.name} failed. {reason}")


def _repair_hint(spec: ModelSpec) -> str:
    if isinstance(spec.source, LocalSource):
        return f"Check the folder {spec.repo}."
    return f"Delete the files of {spec.repo} and download them again: cyberimage pull {spec.name}"


def is_out_of_memory(error: BaseException) -> bool:
    """The accelerator's or the host's memory is full; torch's CPU allocator says so only in words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def free_memory() -> None:
    """Give back what is no longer referenced, to the accelerator too."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
