"""What keeps jobs from ever starting: how long it may, and what their owners are told."""

from __future__ import annotations

from collections.abc import Iterable

from configs.models import ModelSpec
from storage.jobs import JobError

#: Seconds for which a deployment gets no jobs whose replica cannot start. Ray Serve forgets its failures, and
#: tries again, only when nobody has wanted a replica for a moment.
REST_S = 3.0


class Obstacles:
    """Jobs that need more GPUs than there are, and deployments whose replicas do not start."""

    def __init__(self, no_capacity_s: float) -> None:
        """`no_capacity_s`: how long a job waits for a larger cluster."""
        self.no_capacity_s = no_capacity_s
        self._needing: dict[str, float] = {}
        self._resting: dict[str, float] = {}

    def overdue(self, needing: Iterable[str], now: float) -> frozenset[str]:
        """The models that have needed more than there is for too long, of all that do now."""
        self._needing = {model: self._needing.get(model, now) for model in needing}
        return frozenset(m for m, since in self._needing.items() if now - since >= self.no_capacity_s)

    def rest(self, deployment: str, now: float) -> None:
        """Its replicas do not start."""
        self._resting[deployment] = now + REST_S

    def resting(self, now: float) -> frozenset[str]:
        """Deployments that get no jobs now."""
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        return frozenset(self._resting)


def no_capacity(spec: ModelSpec, share: float, gpus: float) -> JobError:
    return JobError(
        code="no_capacity",
        message=f"{spec.name} needs {share:g} GPUs, and there are {gpus:g}.",
        hint=f"Add GPUs to the cluster, or lower `num_gpus` of {spec.name}, and of the others in its "
        "deployment, in the model registry: a replica takes the largest.",
    )


def cannot_start(deployment: str, message: str) -> JobError:
    """`message` is Ray's; its last line is the error."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return JobError(
        code="worker_cannot_start",
        message=f"The workers of {deployment} do not start: {lines[-1] if lines else 'no reason given'}",
        hint="The Ray dashboard has the whole error, under Serve.",
    )
