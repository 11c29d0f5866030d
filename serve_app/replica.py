"""A family inside a Ray Serve replica: one process, at most one model loaded, one job at a time."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from configs.models import FamilyName
from deployments import load_family
from deployments.contract import Event, GenerationRequest, Progress
from deployments.errors import GenerationError
from deployments.weights import DownloadSettings, fetch
from serve_app.scaling import UNLOAD_METRIC

log = logging.getLogger("cyberimage.replica")

#: Steps of small models take some 10 ms; telling the dispatcher of each would slow them down.
STEP_INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The last event of a job that could not be made: a GenerationError for other processes."""

    code: str
    message: str
    hint: str | None


async def without_haste(
    events: AsyncIterator[Event], interval_s: float = STEP_INTERVAL_S
) -> AsyncIterator[Event]:
    """The events, but of steps that follow one another faster than every `interval_s` seconds only some.

    The first and the last step are always among them.
    """
    due = 0.0
    async for event in events:
        if isinstance(event, Progress) and event.step < event.total_steps:
            if time.monotonic() < due:
                continue
            due = time.monotonic() + interval_s
        yield event


class FamilyReplica:
    """Serves the models of one deployment. The pipeline classes are imported when the process starts."""

    def __init__(self, family: FamilyName, downloads: DownloadSettings) -> None:
        self._family = load_family(family)(fetch=partial(fetch, settings=downloads))
        self._unload = False

    async def generate(self, request: GenerationRequest) -> AsyncIterator[Event | Failed]:
        """The family's events; in place of a GenerationError, a final Failed."""
        self._unload = False
        log.info("job %s: %s begins", request.job_id, request.model.name, extra={"job_id": request.job_id})
        try:
            async with aclosing(self._family.generate(request)) as events:
                async for event in without_haste(events):
                    yield event
        except GenerationError as error:
            log.warning("job %s: %s: %s", request.job_id, error.code, error, extra={"job_id": request.job_id})
            self._leave_if_broken()
            yield Failed(code=error.code, message=str(error), hint=error.hint)

    def _leave_if_broken(self) -> None:
        """End the process if its accelerator has failed for good, so that the job runs again in a new one.

        Ray's health check would take half a minute, in which every waiting job would fail here.
        """
        if not self._family.healthy:
            log.error("the accelerator has failed; this process ends")
            os._exit(1)

    async def unload(self) -> None:
        """Ask the autoscaling policy to stop this replica as soon as it is idle."""
        self._unload = True

    def check_health(self) -> None:
        """Called by Ray Serve: a process whose accelerator has failed for good must be replaced."""
        if not self._family.healthy:
            raise RuntimeError("the accelerator has failed; only a new process recovers from that")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Ray Serve; read by SharedGpuPolicy."""
        return {UNLOAD_METRIC: float(self._unload)}
