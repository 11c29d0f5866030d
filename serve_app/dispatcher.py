"""The loop that turns waiting jobs into finished ones: decide, act, record."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from configs.models import ModelSpec
from serve_app.arbiter import OvertakeWatch, Plan, Waiting, plan
from serve_app.batching import batch_key, max_batch
from serve_app.families import Cluster, FamilyClient
from serve_app.fleet import Fleet, Overview
from serve_app.forecast import HORIZON, Present
from serve_app.gpus import Gpus
from serve_app.job_run import SERVER_ENDED, Desk, JobRun, worker_died
from serve_app.lives import Lives
from serve_app.obstacles import Obstacles, cannot_start, no_capacity
from serve_app.recorded import Recorded
from serve_app.shared_call import SharedCall
from storage import StorageError
from storage.jobs import Job, JobError, JobId, JobStatus, WaitingJob

log = logging.getLogger("cyberimage.dispatcher")

#: Waiting jobs of each model that a plan looks at, beside one for each GPU: enough for a batch.
LOOKAHEAD = 16
#: Seconds after which the loop looks again though nobody woke it: a wake may be lost with its process.
IDLE_LOOK_S = 1.0

#: A file without a row is a leftover once it is this old; a younger one may be about to get its row, for
#: which a locked database makes it wait for seconds.
ORPHAN_AGE = timedelta(minutes=1)
#: Seconds between two sweeps of such files, once those of an earlier dispatcher are gone.
SWEEP_S = 3600.0
#: Seconds between two counts of the waiting jobs for the metrics. Ray sends them on every 10 s.
COUNT_S = 5.0

UNRECORDED = JobError(
    code="storage",
    message="The job's start or its end could not be recorded.",
    hint="See whether the disk of the data directory is full.",
)
MODEL_GONE = JobError(
    code="unknown_model",
    message="The model of this job is no longer in the registry.",
    hint="Submit the job again with another model.",
)


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
        no_capacity_s: float = math.inf,
        prefetch: Callable[[ModelSpec], object] = lambda spec: None,
    ) -> None:
        """`clients` by deployment name. `prefetch` is called with the model that is to be loaded next."""
        self._desk = desk
        self._registry = registry
        self._clients = clients
        self._fleet = Fleet(registry, cluster)
        self._max_overtake_s = max_overtake_s
        self._lease_s = lease_s
        self._adrift = False
        self._lives = Lives(desk.media, desk.now, timedelta(seconds=lease_s))
        self._recorded = Recorded(desk.jobs, desk.blocking)
        self._watch = OvertakeWatch()
        self._obstacles = Obstacles(no_capacity_s)
        self._prefetch = prefetch
        self._prefetched: str | None = None
        self._woken = asyncio.Event()

    # -- what others may call

    def wake(self) -> None:
        """Something changed: look at the queue again."""
        self._woken.set()

    def cancel(self, job_id: JobId) -> bool:
        """Stop a running job. False if it does not run here."""
        run = self._fleet.runs.get(job_id)
        if run is not None:
            run.cancel()
        return run is not None

    def preview(self, job_id: JobId) -> bytes | None:
        """What a running job is going to make, as WebP. None: nothing shows yet, or it does not run here."""
        run = self._fleet.runs.get(job_id)
        return None if run is None else run.preview

    async def unload(self, deployment: str) -> bool:
        """Ask an idle deployment to go. False if it is busy."""
        if self._fleet.running()[deployment]:
            return False
        held = (await self._fleet.read_now()).deployments.get(deployment)
        if held is not None and held.replicas:
            await self._clients[deployment].unload()
            self._fleet.unloaded(deployment)
        return True

    async def overview(self) -> Overview:
        await self._fleet.read()
        return self._fleet.overview()

    async def present(self) -> Present:
        """The queue and the GPUs as they are now, for a forecast."""
        jobs = self._desk.jobs
        line = await self._desk.blocking(jobs.head, limit=HORIZON)
        paused = await self._desk.blocking(lambda: jobs.paused)
        state = await self._fleet.read()
        known = [job for job in line if job.model in self._registry]
        estimator = self._recorded.estimator
        return Present(
            line=tuple(map(self._describe, known)),
            clients={job.id: job.client for job in known},
            unknown=frozenset(j.id for j in known if not estimator.estimate(j.model, j.settings).known),
            deployments=tuple(self._fleet.deployments()),
            running=tuple(self._fleet.calls(estimator)),
            idle=tuple(self._fleet.idle_replicas()),
            gpus=state.gpus,
            overtaken_s=self._watch.overtaken_s(time.monotonic()),
            max_overtake_s=self._max_overtake_s,
            resting=self._obstacles.resting(time.monotonic()),
            paused=paused,
        )

    # -- the loop

    async def run(self) -> None:
        """Recover what an earlier dispatcher left, then dispatch until cancelled; running jobs end, too."""
        await self._recover()
        await self._desk.blocking(self._lives.begin)
        keeping = (self._keep_leases(), self._count_waiting(), self._recorded.keep(), self._keep_clean())
        keepers = [asyncio.create_task(work) for work in keeping]
        try:
            while True:
                await self._look()
                await self._sleep()
        finally:
            for task in keepers:
                task.cancel()
            await asyncio.gather(*(run.abandon() for run in list(self._fleet.runs.values())))
            await asyncio.gather(*self._desk.background)

    async def _look(self) -> None:
        self._woken.clear()
        try:
            await self._release_adrift()
            await self._honour_cancels()
            await self._refuse_stillborn()
            await self._dispatch()
        except Exception as error:
            self._adrift = True
            log.error("dispatch: %s", error, exc_info=not isinstance(error, StorageError))

    async def _sleep(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_LOOK_S):
                await self._woken.wait()

    async def _recover(self, *, only_expired: bool = False) -> None:
        """Take back the jobs of an earlier dispatcher, all or those whose lease has lapsed."""
        desk = self._desk
        recovered = await desk.blocking(
            desk.jobs.recover,
            owner=desk.owner,
            now=desk.now(),
            max_attempts=desk.max_attempts,
            error=worker_died(desk.max_attempts, SERVER_ENDED),
            only_expired=only_expired,
        )
        if recovered:
            log.info("took back %d jobs of an earlier dispatcher", len(recovered))
            self.wake()
        for job_id, status in recovered.items():
            desk.news.publish(job_id, status)

    async def _release_adrift(self) -> None:
        """Queue again the jobs that are ours but do not run: an error came between, such as a full disk."""
        if not self._adrift:
            return
        self._adrift = False
        desk = self._desk
        for job_id in await desk.blocking(desk.jobs.held, owner=desk.owner):
            if job_id not in self._fleet.runs:
                status = await desk.blocking(
                    desk.jobs.release,
                    job_id,
                    owner=desk.owner,
                    now=desk.now(),
                    max_attempts=desk.max_attempts,
                    error=UNRECORDED,
                )
                if status is not None:
                    desk.news.publish(job_id, status)

    async def _dispatch(self) -> None:
        waiting = [job for job in await self._desk.blocking(self._waiting) if not self._still_runs(job)]
        if not waiting:
            self._watch = OvertakeWatch()
            return
        for job in waiting:
            if job.model not in self._registry:
                await self._claim(job)
        await self._refuse_too_large(waiting)
        resting = self._obstacles.resting(time.monotonic())
        known = (job for job in waiting if job.model in self._registry)
        by_id = {job.id: job for job in known if self._fleet.deployment_of(job.model) not in resting}
        state = await self._fleet.read_for(job.model for job in by_id.values())
        decision = self._plan(by_id.values())
        if not decision.starts and await self._fleet.read() is not state:
            decision = self._plan(by_id.values())
        for start in decision.starts:
            await self._start([by_id[JobId(job_id)] for job_id in start.jobs])
        if decision.head is not None:
            self._announce(by_id[JobId(decision.head)].model)

    def _still_runs(self, job: WaitingJob) -> bool:
        """Whether a run of the job goes on whose claim is gone. It has to end before another begins."""
        run = self._fleet.runs.get(job.id)
        if run is not None:
            run.cancel()
        return run is not None

    def _announce(self, model: str) -> None:
        """Have the model's weights read that is to be loaded when a GPU is free."""
        if self._fleet.runs and model != self._prefetched and not self._fleet.has_loaded(model):
            self._prefetched = model
            self._prefetch(self._registry[model])

    async def _refuse_stillborn(self) -> None:
        """Fail the jobs that wait for replicas which Ray Serve could not start in as many tries as it has."""
        if all(run.answered for run in self._fleet.runs.values()):
            return
        state = await self._fleet.read()
        for run in self._fleet.runs.values():
            name = self._fleet.deployment_of(run.job.model)
            held = state.deployments.get(name)
            if held is not None and held.cannot_start and not run.answered:
                self._obstacles.rest(name, time.monotonic())
                run.refuse(cannot_start(name, held.message))

    async def _refuse_too_large(self, waiting: Sequence[WaitingJob]) -> None:
        """Fail the jobs that have waited too long for more GPUs than there are."""
        gpus = (self._fleet.state if self._fleet.read_at > 0 else await self._fleet.read()).gpus
        models = {job.model for job in waiting if job.model in self._registry}
        shares = {model: self._fleet.share_of(model) for model in models}
        needing = [model for model, share in shares.items() if not Gpus(gpus).fits(share)]
        overdue = self._obstacles.overdue(needing, time.monotonic())
        for job in waiting:
            waits_s = (self._desk.now() - job.created_at).total_seconds()
            late = job.model in overdue and waits_s >= self._obstacles.no_capacity_s
            if late and await self._claim(job) is not None:
                await self._fail(job.id, no_capacity(self._registry[job.model], shares[job.model], gpus))
                self.wake()  # There may be more of them than one look sees.

    async def _fail(self, job_id: JobId, error: JobError) -> None:
        desk = self._desk
        await desk.blocking(desk.jobs.fail, job_id, owner=desk.owner, now=desk.now(), error=error)
        desk.news.publish(job_id, JobStatus.FAILED)

    def _waiting(self) -> tuple[WaitingJob, ...]:
        jobs = self._desk.jobs
        return () if jobs.paused else jobs.waiting(per_model=LOOKAHEAD + math.ceil(self._fleet.state.gpus))

    def _plan(self, waiting: Iterable[WaitingJob]) -> Plan:
        now = time.monotonic()
        line = [self._describe(job) for job in waiting]
        decision = plan(
            line,
            self._fleet.deployments(),
            gpus=self._fleet.state.gpus,
            max_overtake_s=self._max_overtake_s,
            overtaken_s=self._watch.overtaken_s(now),
        )
        self._watch.note(decision, line, now)
        return decision

    def _describe(self, job: WaitingJob | Job) -> Waiting:
        estimate = self._recorded.estimator.estimate(job.model, job.settings)
        # What has ended a worker may do it again: then it is to take no other job with it.
        together = 1 if job.attempts else max_batch(self._registry[job.model], job.settings)
        return Waiting(
            id=job.id,
            model=job.model,
            deployment=self._fleet.deployment_of(job.model),
            priority=job.priority,
            turn=job.turn,
            position=job.position,
            batch=batch_key(job.model, job.settings) if together > 1 else None,
            max_batch=together,
            outputs=job.outputs,
            run_s=estimate.run_s,
            load_s=estimate.load_s,
            switch_s=estimate.switch_s,
        )

    # -- acting

    async def _start(self, waiting: Sequence[WaitingJob]) -> None:
        """Claim the jobs and run those that are ours now as one call."""
        claims = await asyncio.gather(*map(self._claim, waiting), return_exceptions=True)
        if jobs := [claim for claim in claims if isinstance(claim, Job)]:
            self._run(jobs)
        for claim in claims:
            if isinstance(claim, BaseException):
                raise claim

    async def _claim(self, waiting: WaitingJob) -> Job | None:
        """The job if it is ours to run now."""
        desk = self._desk
        now = desk.now()
        lease_until = now + timedelta(seconds=self._lease_s)
        job = await desk.blocking(
            desk.jobs.claim, waiting.id, owner=desk.owner, now=now, lease_until=lease_until
        )
        if job is None:
            return None
        desk.news.publish(job.id, JobStatus.PROCESSING)
        if job.model not in self._registry:
            await self._fail(job.id, MODEL_GONE)
            return None
        return job

    def _run(self, jobs: Sequence[Job]) -> None:
        spec = self._registry[jobs[0].model]
        deployment, load = self._fleet.deployment_of(spec.name), self._fleet.finds(spec.name)
        if spec.name == self._prefetched:
            self._prefetched = None
        call = SharedCall(self._clients[deployment], [job.id for job in jobs])
        for job in jobs:
            run = self._fleet.runs[job.id] = JobRun(job, spec, call, self._desk, load=load)
            run.start().add_done_callback(partial(self._ended, job))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        self._fleet.ended(self._fleet.runs[job.id])
        self._recorded.job_ended()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job %s: its end was not recorded", job.id, exc_info=error)
            self._adrift = True
        self.wake()

    async def _honour_cancels(self) -> None:
        """Requests that reached the database but not this process."""
        if self._fleet.runs:
            for job_id in await self._desk.blocking(self._desk.jobs.cancel_requests, owner=self._desk.owner):
                self.cancel(job_id)

    async def _keep_leases(self) -> None:
        desk = self._desk
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                lease_until = desk.now() + timedelta(seconds=self._lease_s)
                await desk.blocking(desk.jobs.renew, owner=desk.owner, lease_until=lease_until)
                await desk.blocking(self._lives.record)
                await self._recover(only_expired=True)
            except Exception:
                log.exception("renewing leases")

    async def _keep_clean(self) -> None:
        """Remove files that no row knows: twice for a dispatcher that has just died, then now and then."""
        pause_s = ORPHAN_AGE.total_seconds()
        while True:
            try:
                if swept := await self._desk.blocking(self._sweep):
                    log.info("removed %d files that belong to no job", len(swept))
            except (StorageError, OSError) as error:
                log.warning("leftover files not removed: %s", error)
            await asyncio.sleep(pause_s)
            pause_s = SWEEP_S

    def _sweep(self) -> tuple[str, ...]:
        # The running jobs first: one that completes meanwhile has rows by the time that these are read.
        running = [file for run in list(self._fleet.runs.values()) for file in run.files]
        known = self._desk.media.file_paths().union(running)
        old = self._desk.now() - ORPHAN_AGE
        return self._desk.files.sweep(known, older_than=old, lives=self._lives.known())

    async def _count_waiting(self) -> None:
        desk = self._desk
        while True:
            try:
                desk.meter.waiting(await desk.blocking(desk.jobs.waiting_counts), self._registry)
            except StorageError as error:
                log.warning("waiting jobs not counted: %s", error)
            await asyncio.sleep(COUNT_S)
