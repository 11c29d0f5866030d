"""Why a waiting job waits: a code for programs, a sentence for people, and what has to leave first. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from serve_app.arbiter import Deployment, Waiting, plan
from serve_app.forecast import Expected, Forecast, Present, RunningCall
from serve_app.gpus import Gpus


class Why(StrEnum):
    """What keeps a job from starting now."""

    #: The queue is paused.
    PAUSED = "paused"
    #: Its deployment needs more GPUs than there are.
    TOO_LARGE = "too_large"
    #: Its deployment could not start a replica, and is tried again in a moment.
    CANNOT_START = "cannot_start"
    #: It starts at the next look at the queue.
    STARTING = "starting"
    #: It is first in line, and no GPU has room for it.
    GPU_BUSY = "gpu_busy"
    #: Its deployment runs as many jobs as it may.
    DEPLOYMENT_BUSY = "deployment_busy"
    #: It is first in line, and later jobs go ahead, because they end sooner.
    OVERTAKEN = "overtaken"
    #: Others are first.
    IN_LINE = "in_line"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """`leaving`: the loaded model (the deployment, if that is not known) that goes before the job starts."""

    why: Why
    message: str
    leaving: str | None = None


def reasons(present: Present, expected: Forecast) -> dict[str, Reason]:
    """The reason of each job in line, by id."""
    teller = _Teller(present, expected)
    return {job.id: teller.reason(place, job) for place, job in enumerate(present.line, start=1)}


class _Teller:
    def __init__(self, present: Present, expected: Forecast) -> None:
        self._present = present
        self._expected = expected
        self._deployments = {each.name: each for each in present.deployments}
        decision = plan(
            [job for job in present.line if job.deployment not in present.resting],
            present.deployments,
            gpus=present.gpus,
            max_overtake_s=present.max_overtake_s,
            overtaken_s=present.overtaken_s,
        )
        line = {job.id: job for job in present.line}
        self._starting = {job_id: line[job_id] for job_id in decision.started}
        calls = [line[start.jobs[0]].deployment for start in decision.starts]
        self._opening = [name for name in calls if not self._deployments[name].idle]
        self._first = decision.head

    def reason(self, position: int, job: Waiting) -> Reason:
        if self._present.paused:
            return Reason(why=Why.PAUSED, message="The queue is paused")
        deployment = self._deployments[job.deployment]
        if not Gpus(self._present.gpus).fits(deployment.share):
            return Reason(why=Why.TOO_LARGE, message=_too_large(deployment, self._present.gpus))
        if job.deployment in self._present.resting:
            message = f"{job.deployment} could not start; it is tried again in a moment"
            return Reason(why=Why.CANNOT_START, message=message)
        if job.id in self._starting:
            return Reason(why=Why.STARTING, message="Starting", leaving=self._leaving(job))
        if deployment.running >= deployment.max_replicas:
            return self._behind_its_own(job)
        if job.id == self._first:
            return self._first_in_line(job)
        return self._in_line(position, job)

    def _behind_its_own(self, job: Waiting) -> Reason:
        own = [call for call in self._present.running if call.deployment == job.deployment]
        message = f"Waiting for {_models(own) or job.deployment} to finish{self._about(job)}"
        return Reason(why=Why.DEPLOYMENT_BUSY, message=message, leaving=self._leaving(job))

    def _first_in_line(self, job: Waiting) -> Reason:
        leaving = self._leaving(job)
        present = self._present
        if (overtaken_s := present.overtaken_s.get(job.id)) is not None:
            left = max(0.0, job.window_s(present.max_overtake_s, present.gpus) - overtaken_s)
            quicker = _models(present.running) or "others"
            message = f"Jobs of {quicker} go first, because they end sooner, for {_spoken(left)} at most"
            return Reason(why=Why.OVERTAKEN, message=message, leaving=leaving)
        busy = leaving or _models(present.running) or "another job"
        return Reason(
            why=Why.GPU_BUSY, message=f"Waiting for {busy} to finish{self._about(job)}", leaving=leaving
        )

    def _in_line(self, position: int, job: Waiting) -> Reason:
        others = "1 job goes first" if position == 2 else f"{position - 1} jobs go first"
        leaving = self._leaving(job)
        ahead = others if position > 1 else "Others end sooner and go first"
        leaves = f", and {leaving} has to leave" if leaving else ""
        return Reason(why=Why.IN_LINE, message=f"{ahead}{leaves}{self._about(job)}", leaving=leaving)

    def _about(self, job: Waiting) -> str:
        expected: Expected | None = self._expected.jobs.get(job.id)
        return f" ({_spoken(expected.start_s)})" if expected is not None else ""

    def _leaving(self, job: Waiting) -> str | None:
        """Whom the job's model replaces as things are: none where it is loaded or there is free room."""
        present = self._present
        own = [call for call in present.running if call.deployment == job.deployment]
        own_idle = [each for each in present.idle if each.deployment == job.deployment]
        models = [call.model for call in own] + [each.model for each in own_idle]
        if job.model in models:
            return None
        if own_idle:
            return own_idle[0].model
        if self._has_room(job):
            return None
        if idle := [each for each in present.idle if each.deployment != job.deployment]:
            longest = max(idle, key=lambda each: each.idle_s)
            return longest.model or longest.deployment
        if present.running:
            return min(present.running, key=_soonest).model
        return next((each.model for each in self._starting.values()), None)

    def _has_room(self, job: Waiting) -> bool:
        """Whether a replica for the job fits beside those that are up, and those that start before it."""
        before = [] if job.id in self._starting else self._opening
        gpus = Gpus(self._present.gpus)
        gpus.pack(
            (each.share, each.replicas + before.count(each.name)) for each in self._deployments.values()
        )
        return gpus.fits(self._deployments[job.deployment].share)


def _soonest(call: RunningCall) -> float:
    return float("inf") if call.left_s is None else call.left_s


def _models(calls: Iterable[RunningCall]) -> str:
    return ", ".join(sorted({call.model for call in calls}))


def _too_large(deployment: Deployment, gpus: float) -> str:
    have = f"the cluster has {gpus:g}" if gpus else "the cluster has none"
    return f"{deployment.name} needs {deployment.share:g} GPU{'s' if deployment.share > 1 else ''} and {have}"


def _spoken(seconds: float) -> str:
    """`about 12 s`, `about 3 min`, `about 2.5 h`."""
    if seconds < 100:
        return f"about {max(1, round(seconds))} s"
    if seconds < 100 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"
