"""A family inside a Ray Serve replica: no torch here; the model is in a process of the replica's own."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from configs.models import FamilyName
from deployments import FAMILIES
from deployments.contract import Event, Failed, GenerationRequest, JobEvent, Progress
from deployments.errors import ProcessDied
from deployments.process.families import make_family
from deployments.process.launch import Launcher
from deployments.process.proxy import ModelProcess
from deployments.weights import DownloadSettings
from serve_app.logs import join_serve_log
from serve_app.scaling import UNLOAD_METRIC

log = logging.getLogger("cyberimage.replica")

#: Steps of small models take some 10 ms; telling the dispatcher of each would slow them down.
STEP_INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Died:
    """The last event of a call whose model process is gone: a ProcessDied for other processes."""

    reason: str


async def without_haste(
    events: AsyncIterator[JobEvent], interval_s: float = STEP_INTERVAL_S
) -> AsyncIterator[JobEvent]:
    """The events, but of a job's steps that follow one another faster than every `interval_s` only some.

    The first and the last step are always among them.
    """
    due: dict[str, float] = defaultdict(float)
    async for each in events:
        if isinstance(each.event, Progress) and each.event.step < each.event.total_steps:
            if time.monotonic() < due[each.job_id]:
                continue
            due[each.job_id] = time.monotonic() + interval_s
        yield each


class FamilyReplica:
    """Serves the models of one deployment, through a process that has at most one of them loaded."""

    def __init__(
        self,
        family: FamilyName,
        downloads: DownloadSettings,
        zygote: Callable[[], Path | None],
        stop_within_s: float,
        previews: bool,
    ) -> None:
        """`zygote` finds the socket of this node's, None if model processes are not to be forked."""
        join_serve_log()
        self._model = ModelProcess(
            partial(make_family, family, downloads, previews=previews),
            title=f"cyberimage: {FAMILIES[family].deployment}",
            launch=Launcher(zygote=zygote()),
            stop_within_s=stop_within_s,
        )
        self._unload = False
        log.info("replica of %s is up", FAMILIES[family].deployment, extra={"family": family})

    async def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncIterator[JobEvent | Died]:
        """The family's events; in place of a ProcessDied, a final Died."""
        self._unload = False
        about = {request.job_id: _about(request) for request in requests}
        for job_id, extra in about.items():
            log.info("job %s: %s begins", job_id, extra["model"], extra=extra)
        try:
            async with aclosing(self._model.generate(requests)) as events:
                logged = _logged(events, about)
                async for each in without_haste(logged, STEP_INTERVAL_S * len(requests)):
                    yield each
        except ProcessDied as death:
            for job_id, extra in about.items():
                log.warning("job %s: its model process is gone: %s", job_id, death, extra=extra)
            yield Died(reason=str(death))

    async def unload(self) -> None:
        """End the model's process, and ask the autoscaling policy to stop this replica too."""
        await self._model.unload()
        self._unload = True

    def __del__(self) -> Awaitable[None] | None:
        """Called and awaited by Ray Serve when it stops the replica, before its GPU is given to another."""
        return self._model.close() if self._model.is_up else None

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Ray Serve; read by SharedGpuPolicy."""
        return {UNLOAD_METRIC: float(self._unload)}


def _about(request: GenerationRequest) -> dict[str, Any]:
    return {"job": request.job_id, "model": request.model.name, "family": request.model.family}


async def _logged(
    events: AsyncIterator[JobEvent], about: dict[str, dict[str, Any]]
) -> AsyncIterator[JobEvent]:
    """The events, with a line in the log where a job enters another phase."""
    async for each in events:
        if (text := _milestone(each.event)) is not None:
            level = logging.WARNING if isinstance(each.event, Failed) else logging.INFO
            log.log(level, "job %s: %s", each.job_id, text, extra=about[each.job_id])
        yield each


def _milestone(event: Event) -> str | None:
    match event:
        case Progress(step=0):
            return "the model is loaded"
        case Progress(step=1):
            return "first step"
        case Progress(step=step, total_steps=total) if step == total:
            return "last step"
        case Failed(code=code, message=message):
            return f"{code}: {message}"
        case _:
            return None
