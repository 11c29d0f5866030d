"""How the dispatcher reaches the families and learns what the cluster holds. Ray is one implementation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from deployments.contract import Event, GenerationRequest


class WorkerDied(Exception):
    """The process that ran the job is gone."""


class JobRejected(Exception):
    """The family could not make the job's pictures; the job fails with this code, message and hint."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentState:
    """One family deployment: replicas that can serve, and how Ray calls its condition."""

    replicas: int = 0
    starting: int = 0
    condition: str = "HEALTHY"
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterState:
    """What the cluster holds: GPUs in all, and the family deployments by name."""

    gpus: float = 1.0
    deployments: Mapping[str, DeploymentState] = field(default_factory=dict)


class FamilyClient(Protocol):
    """Calls one family's deployment."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The job's events. Closing the iterator, or cancelling its consumer, ends the run within one step.

        Raises:
            JobRejected: the job's own fault, or its model's.
            WorkerDied: nobody's; the job may be run again.
        """
        ...

    async def unload(self) -> None:
        """Ask the replicas to go as soon as they are idle."""
        ...


class Cluster(Protocol):
    async def state(self) -> ClusterState: ...
