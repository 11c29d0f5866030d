"""A family: one model loaded, one call running, in one thread of its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch

from configs.models import FamilyName, LocalSource, ModelSpec
from deployments.artifacts import Making, finish
from deployments.batches import Sample, in_batches
from deployments.components import Origin, origins, shared
from deployments.contract import GenerationRequest, JobEvent
from deployments.errors import BrokenWeights, GenerationError, GenerationFailed, OutOfMemory
from deployments.host_memory import loading_takes, refuse_short_memory
from deployments.loading import Fetch, ModelFiles, load_pipeline
from deployments.lookouts import looking_up
from deployments.placement import Placement, lift, place, refuse_unusable_gpu
from deployments.previews import Previews
from deployments.recipe import Recipe
from deployments.run import Run, Stopped

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared(Sample):
    """A sample with the arguments of its pipeline call."""

    arguments: Mapping[str, Any]


@dataclass(kw_only=True, slots=True)
class _Loaded:
    """A model in memory. `share` is the part of its `max_batch` that has not been too much for the memory.

    It has no `previews` where they are not wanted, or where the decoder is not kept where it computes.
    """

    spec: ModelSpec
    recipe: Recipe
    pipe: Any
    origins: Mapping[str, Origin]
    placement: Placement
    previews: Previews | None
    share: float = 1.0

    def batch_size(self, sample: _Prepared) -> int:
        return int(self.recipe.batch_size(self.pipe, sample.request) * self.share)

    def fits(self, first: _Prepared, other: _Prepared) -> bool:
        return self.recipe.fits(first.arguments, other.arguments)

    def components_for(self, wanted: Mapping[str, Origin]) -> dict[str, Any]:
        """Those of its components that a model of such origins has too, free to be taken over."""
        if not lift(self.pipe, self.placement):
            return {}
        mine = shared(wanted, self.origins)
        return {k: part for k, part in self.pipe.components.items() if k in mine and part is not None}


class Family:
    """Loads and runs the models of one deployment; the Generator protocol. Runs without Ray.

    Calls run one after another in the order of their first iteration. Asking for another model frees the
    loaded one first, but for the components that are loaded from the same files: the other takes them over.

    Outputs of one call are made together where their arguments allow. Each is what it would be alone but for
    rounding, since matrix kernels add in an order that depends on the batch: in float32 a pixel differs by at
    most 1 of 255, and 99.99 % by nothing; in bfloat16 by some steps, 17 at most with untrained weights
    (tests/models/test_batched_pipelines.py).
    """

    recipes: ClassVar[Mapping[FamilyName, Recipe]] = {}

    def __init__(self, *, fetch: Fetch, previews: bool = False) -> None:
        self._fetch = fetch
        self._previews = previews
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

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[JobEvent | None] = asyncio.Queue()
        run = Run(requests, emit=lambda event: loop.call_soon_threadsafe(events.put_nowait, event))
        work = self._thread.submit(self._work, run)
        done = asyncio.wrap_future(work)
        done.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await done
        finally:
            run.stopped.set()
            if not work.cancel():
                await asyncio.wait([done])

    async def unload(self) -> None:
        """Free the loaded model, after the running call if there is one."""
        await asyncio.wrap_future(self._thread.submit(self._free))

    def close(self) -> None:
        """Give up the thread. Calls that have not begun are dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _work(self, run: Run) -> None:
        """The whole call, in the thread."""
        try:
            run.check()
            loaded = self._ensure_loaded(run)
            with looking_up(loaded.pipe, run.check):
                self._make_all(run, loaded)
        except Stopped:
            logger.info("job %s: stopped", _names(run.requests))
        except Exception as error:
            run.fail(self._diagnose(error, run.requests))

    def _ensure_loaded(self, run: Run) -> _Loaded:
        spec = run.spec
        if self._loaded is None or self._loaded.spec != spec:
            refuse_unusable_gpu(spec)
            report = partial(run.report_loading, replaces=self._loaded is not None)
            files = self._fetch(spec, progress=report)
            report(f"Loading {spec.name}")
            self._loaded = self._load(spec, files)
            run.check()
        return self._loaded

    def _load(self, spec: ModelSpec, files: ModelFiles) -> _Loaded:
        """The model, in place of the one that is loaded."""
        started = time.perf_counter()
        recipe = self.recipes[spec.family]
        sources = origins(recipe, spec, files)
        kept = self._free(sources)
        refuse_short_memory(spec, loading_takes(recipe, spec, files, kept))
        pipe = load_pipeline(recipe, spec, files, kept)
        placement = place(pipe, spec)
        seconds = time.perf_counter() - started
        others = f"; kept {', '.join(sorted(kept))}" if kept else ""
        logger.info("%s loaded in %.2f s (%s)%s", spec.name, seconds, placement, others)
        return _Loaded(
            spec=spec,
            recipe=recipe,
            pipe=pipe,
            origins=sources,
            placement=placement,
            previews=Previews(pipe, recipe) if self._previews and placement == "full" else None,
        )

    def _free(self, wanted: Mapping[str, Origin] | None = None) -> dict[str, Any]:
        """Free the loaded model, but for its components that a model of such origins has too: these."""
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return {}
        kept = loaded.components_for(wanted or {})
        logger.info("%s freed", loaded.spec.name)
        del loaded
        free_memory()
        return kept

    def _make_all(self, run: Run, loaded: _Loaded) -> None:
        run.report(run.steps.begun())
        if loaded.previews is not None:
            loaded.previews.begin()
        prepared = self._prepare_all(run, loaded)
        for batch in in_batches(prepared, limit=loaded.batch_size, fits=loaded.fits):
            self._make(run, loaded, batch)

    def _prepare_all(self, run: Run, loaded: _Loaded) -> Iterator[_Prepared]:
        """The samples of the jobs that can be made; the others have failed."""
        for request in run.requests:
            run.check()
            try:
                with _cleaned(loaded):
                    arguments = loaded.recipe.arguments(loaded.pipe, request)
                    arguments |= loaded.recipe.encode(loaded.pipe, request)
            except Exception as error:
                run.fail(self._diagnose(error, [request]), [request.job_id])
                continue
            for output in range(request.num_outputs):
                yield _Prepared(request=request, output=output, arguments=arguments)

    def _make(self, run: Run, loaded: _Loaded, batch: tuple[_Prepared, ...]) -> None:
        """The outputs of `batch`, together; where that fails, one by one: a job fails for its own reasons."""
        batch = tuple(sample for sample in batch if run.wants(sample))
        if not batch:
            return
        try:
            self._call(run, loaded, batch)
            return
        except Exception as error:
            failure = self._diagnose(error, [sample.request for sample in batch])
        if not self._healthy:
            return run.fail(failure)
        if len(batch) == 1:
            return run.fail(failure, [batch[0].job_id])
        if isinstance(failure, OutOfMemory):
            loaded.share /= 2
        logger.warning("job %s: one by one", _names(sample.request for sample in batch))
        for sample in batch:
            self._make(run, loaded, (sample,))

    def _call(self, run: Run, loaded: _Loaded, batch: tuple[_Prepared, ...]) -> None:
        run.check()
        started = time.perf_counter()
        device = loaded.recipe.generator_device(loaded.pipe)
        generators = [torch.Generator(device).manual_seed(sample.seed) for sample in batch]
        arguments = loaded.recipe.together([sample.arguments for sample in batch])
        loaded.recipe.set_tiles(loaded.pipe, arguments)
        look = loaded.previews.of_call(arguments).after if loaded.previews else None
        with _cleaned(loaded):
            (pictures,) = loaded.pipe(
                **arguments,
                generator=generators if len(batch) > 1 else generators[0],
                output_type="pt",
                return_dict=False,
                callback_on_step_end=run.step_callback(batch, look),
                callback_on_step_end_tensor_inputs=["latents"] if look else [],
            )
        run.steps.made(batch)
        seconds, sampler = time.perf_counter() - started, type(loaded.pipe.scheduler).__name__
        making = Making(seconds=seconds, batch_size=len(batch), sampler=sampler)
        for sample, picture in zip(batch, pictures, strict=True):
            self._finish(run, sample, picture, making)

    def _finish(self, run: Run, sample: _Prepared, picture: Any, making: Making) -> None:
        run.check()
        if not run.wants(sample):
            return
        try:
            run.keep(sample.job_id, finish(sample, picture, making))
        except Exception as error:
            failure = self._diagnose(error, [sample.request])
            run.fail(failure, [sample.job_id] if self._healthy else None)

    def _diagnose(self, error: Exception, requests: Iterable[GenerationRequest]) -> GenerationError:
        """The error to report. Logs the traceback and empties its frames, which hold the run's tensors."""
        requests = tuple(requests)
        if not isinstance(error, GenerationError):
            logger.error("job %s: %s", _names(requests), "".join(traceback.format_exception(error)))
        self._healthy = self._healthy and not is_broken_accelerator(error)
        model = requests[0].model
        loaded = self._loaded if self._loaded is not None and self._loaded.spec == model else None
        failure = as_generation_error(error, model, placement=loaded.placement if loaded else None)
        traceback.clear_frames(error.__traceback__)
        failure.__traceback__ = failure.__context__ = failure.__cause__ = None
        if isinstance(failure, OutOfMemory):
            free_memory()
        return failure


def _names(requests: Iterable[GenerationRequest]) -> str:
    return ", ".join(Counter(request.job_id for request in requests))


@contextmanager
def _cleaned(loaded: _Loaded) -> Iterator[None]:
    """Clean up after a call that ends early."""
    try:
        yield
    except BaseException:
        loaded.recipe.clean(loaded.pipe)
        raise


def as_generation_error(error: Exception, spec: ModelSpec, *, placement: Placement | None) -> GenerationError:
    """What `error` means to the person who asked; `placement` is None while the model was being loaded."""
    if isinstance(error, GenerationError):
        return error
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if is_out_of_memory(error):
        message = f"Not enough memory for this request on {spec.name}."
        return OutOfMemory(message, hint=_memory_hint(spec, placement))
    if placement is None:
        return BrokenWeights(f"The files of {spec.name} cannot be loaded. {reason}", hint=_repair_hint(spec))
    return GenerationFailed(f"{spec.name} failed. {reason}")


def _memory_hint(spec: ModelSpec, placement: Placement | None) -> str:
    """What would need less memory; offloading only where it is not what has been done."""
    size = "Ask for a smaller size or fewer frames" if spec.is_video else "Ask for a smaller size"
    if placement in ("offload", "offload_layers") or spec.memory == "offload":
        return f"{size}; the weights of {spec.name} wait in main memory already."
    return f"{size}, or set `memory: offload` for {spec.name} in the model registry."


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


def is_broken_accelerator(error: BaseException) -> bool:
    """After most CUDA errors every later call fails too, but not after full memory.

    CUDA reports that beside torch's allocator when it pins host memory or loads a kernel. Its documentation
    of cudaErrorMemoryAllocation lacks the "leaves the process in an inconsistent state" of the others:
    https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
    """
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def free_memory() -> None:
    """Give back what is no longer referenced, to the accelerator too, and the host memory pinned for it."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
        torch.accelerator.empty_host_cache()
