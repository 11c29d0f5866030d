"""The loop that turns waiting jobs into finished ones: decide, act, record."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from configs.models import ModelSpec
from deployments import FAMILIES
from serve_app.arbiter import Deployment, Head, Plan, Waiting, plan
from serve_app.families import Cluster, ClusterState, FamilyClient
from serve_app.job_run import Desk, JobRun, worker_died
from storage import StorageError
from storage.jobs import Job, JobError, JobId, JobStatus, WaitingJob

log = logging.getLogger("cyberimage.dispatcher")

#: Waiting jobs of each model that a plan looks at.
LOOKAHEAD = 64
#: Seconds after which the loop looks again though nobody woke it: a wake may be lost with its process.
IDLE_LOOK_S = 1.0
#: Seconds for which a reading of the cluster holds.
CLUSTER_TTL_S = 0.5

#: A file without a row is a leftover once it is this old; a younger one may be a job's that is ending.
ORPHAN_AGE = timedelta(hours=1)
#: Seconds between attempts to record a job's end that could not be recorded.
RELEASE_RETRY_S = 5.0

UNRECORDED = JobError(
    code="storage",
    message="The job's end could not be recorded.",
    hint="See whether the disk of the data directory is full.",
)
MODEL_GONE = JobError(
    code="unknown_model",
    message="The model of this job is no longer in the registry.",
    hint="Submit the job again with another model.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What the families' deployments hold now, for the queue and model views."""

    cluster: ClusterState
    shares: dict[str, float]
    running: dict[str, int]
    loaded: dict[str, str]
    idle_seconds: dict[str, float]


class Dispatcher:
    """Runs the jobs of one database. There must be one per database; claims guard against a second."""

    def __init__(
        self,
        *,
        desk: Desk,
        registry: Mapping[str, ModelSpec],
        clients: Mapping[str, FamilyClient],
        cluster: Cluster,
        max_overtake_s: float,
        lease_s: float,
    ) -> None:
        """`clients` by deployment name."""
        self._desk = desk
        self._registry = registry
        self._shares = gpu_shares(registry)
        self._clients = clients
        self._cluster = cluster
        self._max_overtake_s = max_overtake_s
        self._lease_s = lease_s
        self._runs: dict[JobId, JobRun] = {}
        self._releases: set[asyncio.Task[None]] = set()
        self._loaded: dict[str, str] = {}
        self._last_used: dict[str, float] = {}
        self._head: tuple[str, float] | None = None
        self._state = ClusterState()
        self._state_at = -CLUSTER_TTL_S
        self._woken = asyncio.Event()

    # -- what others may call

    def wake(self) -> None:
        """Something changed: look at the queue again."""
        self._woken.set()

    def cancel(self, job_id: JobId) -> bool:
        """Stop a running job. False if it does not run here."""
        run = self._runs.get(job_id)
        if run is not None:
            run.cancel()
        return run is not None

    async def unload(self, deployment: str) -> bool:
        """Ask an idle deployment to go. False if it is busy."""
        if self._running()[deployment]:
            return False
        state = await self._cluster.state()
        if deployment in state.deployments and state.deployments[deployment].replicas:
            await self._clients[deployment].unload()
            self._loaded.pop(deployment, None)
        return True

    async def overview(self) -> Overview:
        now = time.monotonic()
        running = self._running()
        state = await self._read_cluster()
        in_use = {self._deployment_of(r.job.model): r.job.model for r in self._runs.values() if r.has_model}
        up = {name for name, deployment in state.deployments.items() if deployment.replicas}
        return Overview(
            cluster=state,
            shares=self._shares,
            running=dict(running),
            loaded={name: model for name, model in (self._loaded | in_use).items() if name in up},
            idle_seconds={n: now - t for n, t in self._last_used.items() if n in up and not running[n]},
        )

    # -- the loop

    async def run(self) -> None:
        """Recover what an earlier dispatcher left, then dispatch until cancelled; running jobs end, too."""
        await self._recover()
        keeper = asyncio.create_task(self._keep_leases())
        try:
            while True:
                await self._look()
                await self._sleep()
        finally:
            for task in (keeper, *self._releases):
                task.cancel()
            await asyncio.gather(*(run.abandon() for run in list(self._runs.values())))
            await asyncio.gather(*self._desk.background)

    async def _look(self) -> None:
        self._woken.clear()
        try:
            await self._honour_cancels()
            await self._dispatch()
        except Exception:
            log.exception("dispatch")

    async def _sleep(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_LOOK_S):
                await self._woken.wait()

    async def _recover(self) -> None:
        """Take back the jobs of an earlier dispatcher, and remove files that it wrote and did not record."""
        desk = self._desk
        recovered = await desk.blocking(
            desk.jobs.recover,
            owner=desk.owner,
            now=desk.now(),
            max_attempts=desk.max_attempts,
            error=worker_died(desk.max_attempts),
        )
        if recovered:
            log.info("took back %d jobs of an earlier dispatcher", len(recovered))
        for job_id in recovered:
            if (job := await desk.blocking(desk.jobs.get, job_id)) is not None:
                desk.news.publish(job_id, job.status)
        if swept := await desk.blocking(self._sweep):
            log.info("removed %d files that belong to no job", len(swept))

    def _sweep(self) -> tuple[str, ...]:
        known = self._desk.media.file_paths()
        return self._desk.files.sweep(known, older_than=self._desk.now() - ORPHAN_AGE)

    async def _dispatch(self) -> None:
        waiting = await self._desk.blocking(self._waiting)
        if not waiting:
            self._head = None
            return
        for job in waiting:
            if job.model not in self._registry:
                await self._claim(job)
        by_id = {job.id: job for job in waiting if job.model in self._registry}
        decision = self._plan(by_id.values(), await self._cluster_for(by_id.values()))
        if not decision.starts:
            decision = self._plan(by_id.values(), await self._read_cluster())
        for job_id in decision.starts:
            await self._claim(by_id[JobId(job_id)])

    def _waiting(self) -> tuple[WaitingJob, ...]:
        jobs = self._desk.jobs
        return () if jobs.paused else jobs.waiting(per_model=LOOKAHEAD)

    def _plan(self, waiting: Iterable[WaitingJob], state: ClusterState) -> Plan:
        now = time.monotonic()
        decision = plan(
            [self._describe(job) for job in waiting],
            self._deployments(state),
            capacity=state.gpus,
            max_overtake_s=self._max_overtake_s,
            head=Head(id=self._head[0], waited_s=now - self._head[1]) if self._head else None,
        )
        if decision.head is None:
            self._head = None
        elif self._head is None or self._head[0] != decision.head:
            self._head = (decision.head, now)
        return decision

    def _describe(self, job: WaitingJob) -> Waiting:
        return Waiting(
            id=job.id,
            model=job.model,
            deployment=self._deployment_of(job.model),
            priority=job.priority,
            position=job.position,
        )

    def _deployments(self, state: ClusterState) -> list[Deployment]:
        running = self._running()
        deployments = []
        for name, share in self._shares.items():
            held = state.deployments.get(name)
            deployments.append(
                Deployment(
                    name=name,
                    share=share,
                    replicas=max(held.replicas if held else 0, running[name]),
                    running=running[name],
                    max_replicas=max(1, int(state.gpus / share + 1e-9)) if share else 1,
                    loaded=frozenset({self._loaded[name]} if name in self._loaded else ()),
                )
            )
        return deployments

    def _deployment_of(self, model: str) -> str:
        return FAMILIES[self._registry[model].family].deployment

    def _running(self) -> Counter[str]:
        return Counter(self._deployment_of(run.job.model) for run in self._runs.values())

    async def _cluster_for(self, waiting: Iterable[WaitingJob]) -> ClusterState:
        """The cluster, as new as planning needs it: where nothing runs and one family waits, that is old.

        Ray takes up to 0.1 s to answer, by far the longest wait on a job's way to its replica.
        """
        deployments = {self._deployment_of(job.model) for job in waiting}
        if self._runs or len(deployments) > 1 or self._state_at < 0:
            return await self._read_cluster()
        return self._state

    async def _read_cluster(self) -> ClusterState:
        if time.monotonic() - self._state_at > CLUSTER_TTL_S:
            self._state = await self._cluster.state()
            self._state_at = time.monotonic()
        return self._state

    # -- acting

    async def _claim(self, waiting: WaitingJob) -> None:
        desk = self._desk
        now = desk.now()
        lease_until = now + timedelta(seconds=self._lease_s)
        job = await desk.blocking(
            desk.jobs.claim, waiting.id, owner=desk.owner, now=now, lease_until=lease_until
        )
        if job is None:
            return
        desk.news.publish(job.id, JobStatus.PROCESSING)
        if job.model not in self._registry:
            await desk.blocking(desk.jobs.fail, job.id, owner=desk.owner, now=desk.now(), error=MODEL_GONE)
            desk.news.publish(job.id, JobStatus.FAILED)
            return
        self._start(job)

    def _start(self, job: Job) -> None:
        deployment = self._deployment_of(job.model)
        run = JobRun(job, self._registry[job.model], self._clients[deployment], self._desk)
        self._runs[job.id] = run
        run.start().add_done_callback(lambda task: self._ended(job, deployment, task))

    def _ended(self, job: Job, deployment: str, task: asyncio.Task[None]) -> None:
        run = self._runs.pop(job.id)
        if run.has_model:
            self._loaded[deployment] = job.model
        else:
            self._loaded.pop(deployment, None)
        self._last_used[deployment] = time.monotonic()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job %s: its end was not recorded", job.id, exc_info=error)
            release = asyncio.create_task(self._release_later(job))
            self._releases.add(release)
            release.add_done_callback(self._releases.discard)
        self.wake()

    async def _release_later(self, job: Job) -> None:
        """The database could not be written (a full disk, say): queue the job again once it can be."""
        desk = self._desk
        while True:
            await asyncio.sleep(RELEASE_RETRY_S)
            try:
                status = await desk.blocking(
                    desk.jobs.release,
                    job.id,
                    owner=desk.owner,
                    now=desk.now(),
                    max_attempts=desk.max_attempts,
                    error=UNRECORDED,
                )
            except StorageError as error:
                log.warning("job %s: still not recorded: %s", job.id, error)
                continue
            if status is not None:
                desk.news.publish(job.id, status)
            return self.wake()

    async def _honour_cancels(self) -> None:
        """Requests that reached the database but not this process."""
        if self._runs:
            for job_id in await self._desk.blocking(self._desk.jobs.cancel_requests, owner=self._desk.owner):
                self.cancel(job_id)

    async def _keep_leases(self) -> None:
        desk = self._desk
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                lease_until = desk.now() + timedelta(seconds=self._lease_s)
                await desk.blocking(desk.jobs.renew, owner=desk.owner, lease_until=lease_until)
            except Exception:
                log.exception("renewing leases")


def gpu_shares(registry: Mapping[str, ModelSpec]) -> dict[str, float]:
    """GPUs of one replica by deployment name: the largest share of its models, 1 for one without models."""
    shares = {entry.deployment: 0.0 for entry in FAMILIES.values()}
    used = set()
    for spec in registry.values():
        name = FAMILIES[spec.family].deployment
        used.add(name)
        shares[name] = max(shares[name], spec.num_gpus)
    return {name: share if name in used else 1.0 for name, share in shares.items()}
