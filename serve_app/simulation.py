"""What becomes of a queue: the arbiter under a clock that jumps from event to event.

Pure and blocking; a thousand jobs take about a second. Random numbers, if any, are the caller's.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from operator import itemgetter

from serve_app.arbiter import NOBODY, Deployment, OvertakeWatch, Plan, Start, Waiting, plan
from serve_app.gpus import Gpus
from storage import turns

#: Waiting jobs of each model and priority that a plan looks at, as in the dispatcher.
LOOKAHEAD = 16
#: Seconds that each further output of a call adds, as a part of what it takes alone: Qwen-Image at 512x512
#: makes 4 at once 2.77 times as fast as one by one on one H200 (SGLang, pull request 22183).
BATCH_GROWTH = 0.15

#: Decides like `serve_app.arbiter.plan`: the waiting jobs, the deployments, the GPUs, who has been overtaken.
Policy = Callable[[Sequence[Waiting], Sequence[Deployment], float, Mapping[str, float]], Plan]


def ours(max_overtake_s: float) -> Policy:
    """The arbiter's own policy."""

    def decide(
        waiting: Sequence[Waiting],
        deployments: Sequence[Deployment],
        gpus: float,
        overtaken_s: Mapping[str, float],
    ) -> Plan:
        return plan(waiting, deployments, gpus=gpus, max_overtake_s=max_overtake_s, overtaken_s=overtaken_s)

    return decide


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A job in the simulation. The policy knows `job`; the run then takes `run_s`, as estimated if None.

    With a `client`, its turn and position are given when it arrives, as the store gives them.
    """

    job: Waiting
    arrives_s: float = 0.0
    run_s: float | None = None
    client: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """One replica as it stands when the simulation begins. `busy_s`: seconds until it is free, 0 if idle.

    `idle_s`: for how many seconds it has had nothing to do.
    """

    deployment: str
    model: str | None = None
    busy_s: float = 0.0
    idle_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What became of a job, in seconds since the beginning. Loading lies between `start_s` and the run."""

    id: str
    arrives_s: float
    start_s: float
    load_s: float
    end_s: float
    place: tuple[int, int, float, str]

    @property
    def wait_s(self) -> float:
        return self.start_s - self.arrives_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The runs by job id; a job that could never start has none. `loads` and `switches` count calls.

    `run_gpu_s` and `load_gpu_s` are GPU seconds spent running and loading. `most_gpus` is the largest share
    of GPUs that was at work at once: more than there are, if the policy has started more than fits.
    """

    runs: Mapping[str, Run]
    loads: int
    switches: int
    run_gpu_s: float
    load_gpu_s: float
    most_gpus: float

    @property
    def makespan_s(self) -> float:
        """When the last job ends."""
        return max((run.end_s for run in self.runs.values()), default=0.0)


def simulate(
    work: Iterable[Work],
    deployments: Iterable[Deployment],
    *,
    gpus: float,
    policy: Policy,
    replicas: Iterable[Replica] = (),
    overtaken_s: Mapping[str, float] = NOBODY,
    keep_warm_s: float = math.inf,
    lookahead: int | None = None,
) -> Outcome:
    """Run all the work.

    Of the `deployments` only name, share and limit count; `replicas` says what is up. Plans are made when a
    job arrives or ends, and take no time. An idle replica goes `keep_warm_s` after its last job, or, the
    longest idle first, when another one needs its room. The policy sees the first `lookahead` jobs of each
    model and priority.
    """
    lookahead = LOOKAHEAD + math.ceil(gpus) if lookahead is None else lookahead
    world = _World(deployments, gpus, replicas, keep_warm_s)
    watch = OvertakeWatch(overtaken_s)
    for clock in world.events(work):
        waiting = world.queue.heads(lookahead)
        while waiting:
            decision = policy(waiting, world.deployments(), gpus, watch.overtaken_s(clock))
            watch.note(decision, waiting, clock)
            for start in decision.starts:
                world.start(start)
            waiting = world.queue.heads(lookahead) if decision.starts else []
    return world.outcome()


@dataclass(slots=True)
class _Replica:
    """A replica while time goes by."""

    deployment: str
    model: str | None
    busy: bool
    #: When it will have, or has, nothing more to do.
    free_at: float


class _Queue:
    """The waiting jobs by model and priority, each group in order, and the turns of clients."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, str], list[tuple[tuple[int, int, float, str], Work]]] = {}
        self._works: dict[str, Work] = {}
        self._running: dict[str, Work] = {}
        self._arrived = 0

    def add(self, work: Work) -> None:
        self._arrived += 1
        if work.client is not None:
            job = replace(work.job, turn=self._turn(work.job.priority, work.client), position=self._arrived)
            work = replace(work, job=job)
        self._works[work.job.id] = work
        group = self._groups.setdefault((work.job.priority, work.job.model), [])
        insort(group, (work.job.place, work), key=itemgetter(0))

    def take(self, job_id: str) -> Work:
        work = self._works.pop(job_id)
        key = (work.job.priority, work.job.model)
        group = self._groups[key]
        del group[bisect_left(group, work.job.place, key=itemgetter(0))]
        if not group:
            del self._groups[key]
        self._running[job_id] = work
        return work

    def end(self, job_id: str) -> None:
        del self._running[job_id]

    def heads(self, number: int) -> list[Waiting]:
        return [work.job for group in self._groups.values() for _, work in group[:number]]

    def _turn(self, priority: int, client: str) -> int:
        firsts = [group[0][1].job.turn for (of, _), group in self._groups.items() if of == priority]
        running = [work.job.turn for work in self._running.values() if work.job.priority == priority]
        own = [
            work.job.turn
            for each in (self._works, self._running)
            for work in each.values()
            if work.client == client and work.job.priority == priority
        ]
        now = turns.current(min(firsts, default=None), max(running, default=None))
        return turns.turn_of(now, max(own, default=None))


class _World:
    """The queue, the replicas, and what has become of the jobs so far."""

    def __init__(
        self,
        deployments: Iterable[Deployment],
        gpus: float,
        replicas: Iterable[Replica],
        keep_warm_s: float,
    ) -> None:
        self.queue = _Queue()
        self.clock = 0.0
        self._deployments = {each.name: each for each in deployments}
        self._gpus = gpus
        self._keep_warm_s = keep_warm_s
        self._replicas = [_begin(replica) for replica in replicas]
        self._ends: list[tuple[float, int, _Replica, tuple[str, ...]]] = []
        self._calls = count()
        for replica in self._replicas:
            if replica.busy:
                self._ends_later(replica, ())
        self._runs: dict[str, Run] = {}
        self._loads = self._switches = 0
        self._run_gpu_s = self._load_gpu_s = self._most_gpus = 0.0

    def events(self, work: Iterable[Work]) -> Iterator[float]:
        """Moves the clock to each time at which something arrives or ends, with that done."""
        coming = deque(sorted(work, key=lambda each: each.arrives_s))
        while coming or self._ends:
            arrival = coming[0].arrives_s if coming else math.inf
            self.clock = min(arrival, self._ends[0][0] if self._ends else math.inf)
            while self._ends and self._ends[0][0] <= self.clock:
                self._end()
            while coming and coming[0].arrives_s <= self.clock:
                self.queue.add(coming.popleft())
            self._cool()
            yield self.clock

    def deployments(self) -> list[Deployment]:
        """What the policy sees."""
        replicas, running = Counter[str](), Counter[str]()
        loaded: dict[str, list[str]] = {name: [] for name in self._deployments}
        for each in self._replicas:
            replicas[each.deployment] += 1
            running[each.deployment] += each.busy
            if not each.busy and each.model is not None:
                loaded[each.deployment].append(each.model)
        return [
            Deployment(
                name=name,
                share=each.share,
                max_replicas=each.max_replicas,
                replicas=replicas[name],
                running=running[name],
                loaded=loaded[name],
            )
            for name, each in self._deployments.items()
        ]

    def start(self, start: Start) -> None:
        works = [self.queue.take(job_id) for job_id in start.jobs]
        job = works[0].job
        replica, load_s = self._replica_for(job)
        run_s = _together([job.run_s if work.run_s is None else work.run_s for work in works])
        replica.model, replica.busy, replica.free_at = job.model, True, self.clock + load_s + run_s
        at_work = sum(self._share(each.deployment) for each in self._replicas if each.busy)
        self._most_gpus = max(self._most_gpus, at_work)
        self._load_gpu_s += load_s * self._share(job.deployment)
        self._run_gpu_s += run_s * self._share(job.deployment)
        self._ends_later(replica, start.jobs)
        for work in works:
            self._runs[work.job.id] = Run(
                id=work.job.id,
                arrives_s=work.arrives_s,
                start_s=self.clock,
                load_s=load_s,
                end_s=replica.free_at,
                place=work.job.place,
            )

    def outcome(self) -> Outcome:
        return Outcome(
            runs=self._runs,
            loads=self._loads,
            switches=self._switches,
            run_gpu_s=self._run_gpu_s,
            load_gpu_s=self._load_gpu_s,
            most_gpus=self._most_gpus,
        )

    def _share(self, deployment: str) -> float:
        return self._deployments[deployment].share

    def _ends_later(self, replica: _Replica, jobs: tuple[str, ...]) -> None:
        heapq.heappush(self._ends, (replica.free_at, next(self._calls), replica, jobs))

    def _end(self) -> None:
        _, _, replica, jobs = heapq.heappop(self._ends)
        replica.busy = False
        for job_id in jobs:
            self.queue.end(job_id)

    def _cool(self) -> None:
        coldest = self.clock - self._keep_warm_s
        self._replicas = [each for each in self._replicas if each.busy or each.free_at > coldest]

    def _replica_for(self, job: Waiting) -> tuple[_Replica, float]:
        """The replica that runs the job, and the seconds that it takes to load."""
        idle = [each for each in self._replicas if not each.busy and each.deployment == job.deployment]
        if not idle:
            self._make_room(job.deployment)
            self._replicas.append(replica := _Replica(job.deployment, None, busy=False, free_at=self.clock))
            self._loads += 1
            return replica, job.load_s
        replica = max(idle, key=lambda each: (each.model == job.model, each.free_at))
        if replica.model == job.model:
            return replica, 0.0
        self._switches += 1
        return replica, job.switch_s

    def _make_room(self, deployment: str) -> None:
        """Evict idle replicas, the longest idle first, until another one of the deployment fits.

        It comes in any case: shares that were taken one by one may fit where these, packed anew, do not.
        """
        while not self._fits(deployment) and (idle := [each for each in self._replicas if not each.busy]):
            self._replicas.remove(min(idle, key=lambda each: each.free_at))

    def _fits(self, deployment: str) -> bool:
        numbers = Counter([deployment, *(each.deployment for each in self._replicas)])
        return Gpus(self._gpus).pack((self._share(name), number) for name, number in numbers.items())


def _begin(replica: Replica) -> _Replica:
    busy = replica.busy_s > 0
    free_at = replica.busy_s if busy else -replica.idle_s
    return _Replica(replica.deployment, replica.model, busy=busy, free_at=free_at)


def _together(runs_s: list[float]) -> float:
    """Seconds of a call that runs all of these."""
    longest = max(runs_s)
    return longest + BATCH_GROWTH * (sum(runs_s) - longest)
