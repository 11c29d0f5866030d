"""The outputs of one call's jobs: which are made together, and how far each job is. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from deployments.contract import GenerationRequest, JobEvent, Progress, Saving


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One output of one job: the unit of work."""

    request: GenerationRequest
    output: int

    @property
    def job_id(self) -> str:
        return self.request.job_id

    @property
    def seed(self) -> int:
        return self.request.seed + self.output


AnySample = TypeVar("AnySample", bound=Sample)


def in_batches(
    samples: Iterable[AnySample],
    *,
    limit: Callable[[AnySample], int],
    fits: Callable[[AnySample, AnySample], bool],
) -> Iterator[tuple[AnySample, ...]]:
    """Neighbours that fit the first of them, at most `limit` of the first together (1 if it says less)."""
    batch: list[AnySample] = []
    for sample in samples:
        if batch and (len(batch) >= limit(batch[0]) or not fits(batch[0], sample)):
            yield tuple(batch)
            batch = []
        batch.append(sample)
    if batch:
        yield tuple(batch)


class StepCount:
    """Denoising steps done, for each job over all its outputs."""

    def __init__(self, requests: Iterable[GenerationRequest]) -> None:
        self._requests = {request.job_id: request for request in requests}
        self._done: Counter[str] = Counter()

    def begun(self) -> Iterator[JobEvent]:
        return (self._progress(job_id, 0) for job_id in self._requests)

    def after(self, step: int, batch: Sequence[Sample]) -> Iterator[JobEvent]:
        """The events after `step`, which counts from 1, of the call that makes `batch`."""
        for job_id, outputs in Counter(sample.job_id for sample in batch).items():
            yield self._progress(job_id, self._done[job_id] + step * outputs)
        for sample in batch:
            if step == sample.request.num_inference_steps:
                yield JobEvent(job_id=sample.job_id, event=Saving(output=sample.output))

    def made(self, batch: Sequence[Sample]) -> None:
        """The call that makes `batch` has succeeded: its steps stay done."""
        for sample in batch:
            self._done[sample.job_id] += sample.request.num_inference_steps

    def _progress(self, job_id: str, done: int) -> JobEvent:
        request = self._requests[job_id]
        total = request.num_inference_steps * request.num_outputs
        return JobEvent(job_id=job_id, event=Progress(step=done, total_steps=total))
