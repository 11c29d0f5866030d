"""One call's jobs on their way through a family: what is reported of them, and which have not ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from configs.models import ModelSpec
from deployments.batches import Sample, StepCount
from deployments.contract import Artifact, Failed, GenerationRequest, JobEvent, Loading, Preview
from deployments.errors import GenerationError

StepCallback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
Look = Callable[[int, Any, Sequence[int]], Sequence[bytes]]
"""Makes previews, or none: given a step from 0 on, the latents after it, and the places in them."""


class Stopped(BaseException):
    """The caller has gone. Not an Exception, so that nothing between the callback and the engine eats it."""


class Run:
    """One call on its way through the pipeline's thread. `emit` takes its events to the caller."""

    def __init__(self, requests: tuple[GenerationRequest, ...], emit: Callable[[JobEvent], object]) -> None:
        self.requests = requests
        self.stopped = threading.Event()
        self.steps = StepCount(requests)
        self._emit = emit
        self._missing = {request.job_id: request.num_outputs for request in requests}

    @property
    def spec(self) -> ModelSpec:
        return self.requests[0].model

    def check(self) -> None:
        if self.stopped.is_set():
            raise Stopped

    def wants(self, sample: Sample) -> bool:
        """Whether the sample's job has not ended yet."""
        return sample.job_id in self._missing

    def report_loading(self, message: str, fraction: float | None = None, *, replaces: bool = False) -> None:
        self.check()
        loading = Loading(message=message, fraction=fraction, replaces=replaces)
        self.report(JobEvent(job_id=job_id, event=loading) for job_id in self._missing)

    def report(self, events: Iterable[JobEvent]) -> None:
        for event in events:
            self._emit(event)

    def keep(self, job_id: str, artifact: Artifact) -> None:
        self._emit(JobEvent(job_id=job_id, event=artifact))
        self._missing[job_id] -= 1
        if not self._missing[job_id]:
            del self._missing[job_id]

    def fail(self, failure: GenerationError, job_ids: Iterable[str] | None = None) -> None:
        """End those of the jobs, or of all jobs, that have not ended."""
        failed = Failed(code=failure.code, message=str(failure), hint=failure.hint)
        for job_id in tuple(self._missing if job_ids is None else job_ids):
            if self._missing.pop(job_id, 0):
                self._emit(JobEvent(job_id=job_id, event=failed))

    def step_callback(self, batch: tuple[Sample, ...], look: Look | None = None) -> StepCallback:
        """To be called after each step of the batch. `look`, where given, is shown the step's `latents`."""

        def callback(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self.check()
            if look is not None:
                self.report(self._previews(look, batch, index, tensors["latents"]))
            self.report(self.steps.after(index + 1, batch))
            return {}

        return callback

    def _previews(self, look: Look, batch: Sequence[Sample], index: int, latents: Any) -> Iterator[JobEvent]:
        """Each job sees the first of its outputs in the batch."""
        firsts: dict[str, int] = {}
        for place, sample in enumerate(batch):
            if self.wants(sample):
                firsts.setdefault(sample.job_id, place)
        for job_id, data in zip(firsts, look(index, latents, tuple(firsts.values())), strict=False):
            yield JobEvent(job_id=job_id, event=Preview(data=data))
