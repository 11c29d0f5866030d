"""Which waiting jobs start now. Pure: values in, a plan out; no clock, no I/O, no Ray, no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: GPU shares are sums of fractions; differences below this are rounding.
EPSILON = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A pending job. Order: priority down, then position up."""

    id: str
    model: str
    deployment: str
    priority: int = 0
    position: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """What a family's deployment holds. `share` is GPUs per replica; `loaded` the models that are there."""

    name: str
    share: float = 1.0
    replicas: int = 0
    running: int = 0
    max_replicas: int = 1
    loaded: frozenset[str] = frozenset()

    @property
    def idle(self) -> int:
        """Replicas that are up and have nothing to do."""
        return max(0, self.replicas - self.running)


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The waiting job that was first in line at the last plan, and for how many seconds it has been."""

    id: str
    waited_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Jobs to start, in this order, and the job that is first in line after them (None: nothing waits)."""

    starts: tuple[str, ...] = ()
    head: str | None = None


@dataclass(slots=True)
class _Gpus:
    """The capacity while a plan is made."""

    deployments: Mapping[str, Deployment]
    free: float
    started: Counter[str] = field(default_factory=Counter)

    def admits(self, job: Waiting) -> bool:
        """Whether one more job of that deployment fits. Idle replicas of others can always be evicted."""
        target = self.deployments[job.deployment]
        busy = target.running + self.started[job.deployment]
        return busy < target.max_replicas and target.share <= self.free + EPSILON

    def warmth(self, job: Waiting) -> int:
        """2: an idle replica that has the job's model; 1: an idle replica of its family; 0: none."""
        target = self.deployments[job.deployment]
        if target.idle <= self.started[job.deployment]:
            return 0
        return 2 if job.model in target.loaded else 1

    def start(self, job: Waiting) -> None:
        self.free -= self.deployments[job.deployment].share
        self.started[job.deployment] += 1


def plan(
    waiting: Iterable[Waiting],
    deployments: Iterable[Deployment],
    *,
    capacity: float,
    max_overtake_s: float,
    head: Head | None = None,
) -> Plan:
    """Choose the jobs that start now on `capacity` GPUs.

    The first in line starts as soon as its share is free. Until it has been first for
    `max_overtake_s` seconds, jobs of the same priority may start before it: those that a replica
    which is already up waits for, and those that fit where the first does not. After that, nothing
    starts that could delay it.

    Never admits more than the capacity, never more jobs than a deployment may have replicas, and
    counts only busy replicas: idle ones give way. A job whose share exceeds the whole capacity
    stays out of the line; it waits for a larger cluster and holds nobody up.
    """
    by_name = {deployment.name: deployment for deployment in deployments}
    possible = (job for job in waiting if by_name[job.deployment].share <= capacity + EPSILON)
    line = sorted(possible, key=lambda job: (-job.priority, job.position, job.id))
    busy = sum(deployment.share * deployment.running for deployment in by_name.values())
    gpus = _Gpus(deployments=by_name, free=capacity - busy)
    starts: list[str] = []
    while line and (job := _next(line, gpus, _patience(line[0], head, max_overtake_s))) is not None:
        gpus.start(job)
        starts.append(job.id)
        line.remove(job)
    return Plan(starts=tuple(starts), head=line[0].id if line else None)


def _patience(first: Waiting, head: Head | None, max_overtake_s: float) -> float:
    """Seconds for which the first in line may still be overtaken."""
    waited = head.waited_s if head is not None and head.id == first.id else 0.0
    return max_overtake_s - waited


def _next(line: list[Waiting], gpus: _Gpus, patience: float) -> Waiting | None:
    first = line[0]
    if patience <= 0:
        return first if gpus.admits(first) else _beside(line, gpus)
    peers = [job for job in line if job.priority == first.priority and gpus.admits(job)]
    if not peers:
        return _beside(line, gpus)
    warmest = max(gpus.warmth(job) for job in peers)
    if warmest == 0 and first in peers:
        return first
    return next(job for job in peers if gpus.warmth(job) == warmest)


def _beside(line: list[Waiting], gpus: _Gpus) -> Waiting | None:
    """A later job that cannot delay the first: the first waits for its own deployment, not for a GPU."""
    first = line[0]
    target = gpus.deployments[first.deployment]
    at_its_limit = target.running + gpus.started[first.deployment] >= target.max_replicas
    if not at_its_limit:
        return None
    return next((job for job in line[1:] if gpus.admits(job)), None)
