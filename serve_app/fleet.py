"""The families' deployments as the dispatcher knows them: what Ray says, what runs, what is loaded."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from configs.models import ModelSpec
from deployments import FAMILIES
from deployments.contract import MemoryUse
from serve_app.arbiter import Deployment
from serve_app.estimates import Estimator
from serve_app.families import Cluster, ClusterState
from serve_app.forecast import RunningCall
from serve_app.gpus import Gpus
from serve_app.job_run import JobRun
from serve_app.shared_call import SharedCall
from serve_app.simulation import Replica
from storage.jobs import JobId, Warmth

#: Seconds for which a reading of the cluster holds.
CLUSTER_TTL_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What the families' deployments hold now, for the queue and model views."""

    cluster: ClusterState
    shares: dict[str, float]
    running: dict[str, int]
    loaded: dict[str, str]
    idle_seconds: dict[str, float]
    #: By the latest run of each that came to its last step.
    memory: dict[str, MemoryUse]


class Fleet:
    """Keeps the runs under way, and which model each deployment had last."""

    def __init__(self, registry: Mapping[str, ModelSpec], cluster: Cluster) -> None:
        self._registry = registry
        self._cluster = cluster
        self._shares = gpu_shares(registry)
        self._loaded: dict[str, str] = {}
        self._last_used: dict[str, float] = {}
        self._memory: dict[str, MemoryUse] = {}
        self._reading: asyncio.Task[None] | None = None
        self.runs: dict[JobId, JobRun] = {}
        #: The latest reading of the cluster, and when it was made; before the first, -1.
        self.state = ClusterState()
        self.read_at = -1.0

    def deployment_of(self, model: str) -> str:
        return FAMILIES[self._registry[model].family].deployment

    def share_of(self, model: str) -> float:
        """GPUs of a replica that serves the model."""
        return self._shares[self.deployment_of(model)]

    # -- reading the cluster

    async def read(self) -> ClusterState:
        """The cluster as it was a moment ago. All who want to know meanwhile wait for the same reading."""
        if self.read_at < 0 or time.monotonic() - self.read_at > CLUSTER_TTL_S:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        return self.state

    async def _read(self) -> None:
        self.state = await self._cluster.state()
        self.read_at = time.monotonic()

    async def read_now(self) -> ClusterState:
        self.read_at = -1.0
        return await self.read()

    async def read_for(self, models: Iterable[str]) -> ClusterState:
        """The cluster, as new as planning needs it: where nothing runs and one family waits, that is old.

        Ray takes up to 0.1 s to answer, by far the longest wait on a job's way to its replica.
        """
        deployments = set(map(self.deployment_of, models))
        if self.runs or len(deployments) > 1 or self.read_at < 0:
            return await self.read()
        return self.state

    # -- what has happened

    def ended(self, run: JobRun) -> None:
        """The run is over; its replica has the model if it came to a step."""
        del self.runs[run.job.id]
        deployment = self.deployment_of(run.job.model)
        if run.has_model:
            self._loaded[deployment] = run.job.model
        else:
            self._loaded.pop(deployment, None)
        if run.memory is not None:
            self._memory[deployment] = run.memory
        self._last_used[deployment] = time.monotonic()

    def unloaded(self, deployment: str) -> None:
        self._memory.pop(deployment, None)
        self._loaded.pop(deployment, None)

    # -- what there is

    def running(self) -> Counter[str]:
        """Calls under way, by deployment."""
        models = {run.call: run.job.model for run in self.runs.values()}
        return Counter(self.deployment_of(model) for model in models.values())

    def deployments(self) -> list[Deployment]:
        """As the arbiter sees them, by the latest reading."""
        running = self.running()
        return [self._describe(name, running) for name in self._shares]

    def _describe(self, name: str, running: Mapping[str, int]) -> Deployment:
        share, held = self._shares[name], self.state.deployments.get(name)
        return Deployment(
            name=name,
            share=share,
            replicas=max(held.replicas if held else 0, running[name]),
            running=running[name],
            max_replicas=max(1, int(self.state.gpus / share + 1e-9)) if share else 1,
            loaded=(self._loaded[name],) if name in self._loaded else (),
        )

    def has_loaded(self, model: str) -> bool:
        """Whether the model is the last that its deployment had."""
        return self._loaded.get(self.deployment_of(model)) == model

    def finds(self, model: str) -> Warmth:
        """What a run of the model would find now."""
        held = {each.name: each for each in self.deployments()}
        own = held[self.deployment_of(model)]
        if own.idle:
            return Warmth.WARM if model in own.loaded else Warmth.SWITCH
        gpus = Gpus(self.state.gpus)
        gpus.pack((each.share, each.replicas or self._just_used(each.name)) for each in held.values())
        return Warmth.COLD if gpus.fits(own.share) else Warmth.SWAP

    def _just_used(self, deployment: str) -> int:
        """1 if it had a job after the latest reading, which may not show its replica yet."""
        return int(self._last_used.get(deployment, 0.0) > self.read_at)

    def overview(self) -> Overview:
        """By the latest reading."""
        now = time.monotonic()
        running = self.running()
        in_use = {self.deployment_of(r.job.model): r.job.model for r in self.runs.values() if r.has_model}
        told = {self.deployment_of(r.job.model): r.memory for r in self.runs.values() if r.memory}
        up = {name for name, deployment in self.state.deployments.items() if deployment.replicas}
        return Overview(
            cluster=self.state,
            shares=self._shares,
            running=dict(running),
            loaded={name: model for name, model in (self._loaded | in_use).items() if name in up},
            memory={name: use for name, use in (self._memory | told).items() if name in up},
            idle_seconds={n: now - t for n, t in self._last_used.items() if n in up and not running[n]},
        )

    def calls(self, estimator: Estimator) -> Iterator[RunningCall]:
        """The calls under way, with the seconds that each still takes."""
        runs_of: dict[SharedCall, list[JobRun]] = {}
        for run in self.runs.values():
            runs_of.setdefault(run.call, []).append(run)
        for runs in runs_of.values():
            left = [run.left_s(estimator) for run in runs]
            model = runs[0].job.model
            yield RunningCall(
                jobs=tuple(run.job.id for run in runs),
                model=model,
                deployment=self.deployment_of(model),
                left_s=max((seconds for seconds in left if seconds is not None), default=None),
            )

    def idle_replicas(self) -> Iterator[Replica]:
        now = time.monotonic()
        for each in self.deployments():
            models = [*each.loaded, *(None for _ in range(each.idle))]
            for model in models[: each.idle]:
                idle_s = now - self._last_used.get(each.name, now)
                yield Replica(deployment=each.name, model=model, idle_s=idle_s)


def gpu_shares(registry: Mapping[str, ModelSpec]) -> dict[str, float]:
    """GPUs of one replica by deployment name: the largest share of its models, 1 for one without models."""
    shares = {entry.deployment: 0.0 for entry in FAMILIES.values()}
    used = set()
    for spec in registry.values():
        name = FAMILIES[spec.family].deployment
        used.add(name)
        shares[name] = max(shares[name], spec.num_gpus)
    return {name: share if name in used else 1.0 for name, share in shares.items()}
