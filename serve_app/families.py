"""How the dispatcher reaches the families and learns what the cluster holds. Ray is one implementation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from deployments.contract import GenerationRequest, JobEvent


class WorkerDied(Exception):
    """The process that ran the job is gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentState:
    """One family deployment: replicas that can serve, and how Ray calls its condition.

    `cannot_start`: every try to start a replica has failed; `message` says why.
    """

    replicas: int = 0
    starting: int = 0
    cannot_start: bool = False
    condition: str = "HEALTHY"
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterState:
    """What the cluster holds: GPUs in all, and the family deployments by name."""

    gpus: float = 1.0
    deployments: Mapping[str, DeploymentState] = field(default_factory=dict)


class FamilyClient(Protocol):
    """Calls one family's deployment."""

    def generate(self, requests: tuple[GenerationRequest, ...]) -> AsyncGenerator[JobEvent, None]:
        """The events of jobs that run as one call, as Generator has them.

        Closing the iterator, or cancelling its consumer, ends the call within one step. Raises WorkerDied;
        jobs that have not ended may be run again.
        """
        ...

    async def unload(self) -> None:
        """Ask the replicas to go as soon as they are idle."""
        ...


class Cluster(Protocol):
    async def state(self) -> ClusterState: ...
