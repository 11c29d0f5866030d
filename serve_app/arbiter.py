"""Which waiting jobs start now. Pure: values in, a plan out; no clock, no I/O, no Ray, no torch.

SHARING.md tells the policy in plain words.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType

from serve_app.gpus import Gpus

#: Seconds assumed of a model of which nothing is known yet: FLUX.1-dev on one H100 runs 6.7 s and loads
#: 29.6 s (SGLang, multimodal_gen/test/server/perf_baselines/h100.json, flux_image_t2i).
ASSUMED_RUN_S = 7.0
ASSUMED_LOAD_S = 30.0
ASSUMED_SWITCH_S = 15.0

#: A long job waits for short ones until so many times its own work has gone ahead of it, on all GPUs in sum.
#: In the simulation (`make simulate`), with 1 pictures that come in bursts to one GPU wait 1.4 times as long.
PATIENCE = 2.0
#: A model that has to be loaded overtakes only with so many seconds of waiting work per second of loading.
#: In the simulation, without this all is done 9% later where many models are asked for.
WORTH = 0.75
#: Nobody has been overtaken.
NOBODY: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A pending job. Order: priority down, then turn and position up.

    `turn` is the round in which its client's turn comes, so that clients alternate. `batch` is equal for
    jobs that one call can run together, up to `max_batch` outputs; None runs alone. `run_s` and `load_s`
    are estimates, in seconds: of the run, and of the start from nothing; `switch_s` of the exchange
    of models in a replica of the family that is up.
    """

    id: str
    model: str
    deployment: str
    priority: int = 0
    turn: int = 0
    position: float = 0.0
    batch: Hashable | None = None
    outputs: int = 1
    max_batch: int = 1
    run_s: float = ASSUMED_RUN_S
    load_s: float = ASSUMED_LOAD_S
    switch_s: float = ASSUMED_SWITCH_S

    @property
    def place(self) -> tuple[int, int, float, str]:
        """Sorts the line."""
        return (-self.priority, self.turn, self.position, self.id)

    def window_s(self, max_overtake_s: float, gpus: float) -> float:
        """Seconds for which later jobs may go ahead of this one; with 0, none may."""
        if max_overtake_s <= 0:
            return 0.0
        return max(max_overtake_s, PATIENCE * self.run_s / max(1.0, gpus))


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """What a family's deployment holds. `share` is GPUs per replica; `running` its replicas at work.

    `loaded` has the models of its idle replicas as far as they are known, one for each.
    """

    name: str
    share: float = 1.0
    replicas: int = 0
    running: int = 0
    max_replicas: int = 1
    loaded: Collection[str] = ()

    @property
    def idle(self) -> int:
        """Replicas that are up and have nothing to do."""
        return max(0, self.replicas - self.running)


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """One call to one replica: the jobs that it runs together."""

    jobs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Calls to start, in this order.

    `head` is the first in line after them that waits for room; None: nobody does. `overtaken` are those that
    were first in line, of all or of those that could have had a replica, when one of the calls went ahead.
    """

    starts: tuple[Start, ...] = ()
    head: str | None = None
    overtaken: frozenset[str] = frozenset()

    @property
    def started(self) -> frozenset[str]:
        """The jobs of its calls."""
        return frozenset(job_id for start in self.starts for job_id in start.jobs)


def plan(
    waiting: Iterable[Waiting],
    deployments: Iterable[Deployment],
    *,
    gpus: float,
    max_overtake_s: float,
    overtaken_s: Mapping[str, float] = NOBODY,
) -> Plan:
    """Choose the calls that start now. `overtaken_s`: for how long jobs have been overtaken, by id.

    Of the jobs of the first one's priority, the quickest goes first: load, if its model is not loaded, and
    run. It may go ahead of the first in line only if it ends within that job's window (`window_s`, from
    the moment when it was first overtaken), and if what it loads is worth it (`WORTH`). A first in line for
    which there is no room keeps the room that is there from all that end later. So with `max_overtake_s` 0,
    jobs start in line.

    Idle replicas give way, busy ones never. A deployment at its limit of replicas is out of the question
    until one is free, and a job whose share is larger than all GPUs until the cluster grows; neither holds
    others up.
    """
    room = Room(deployments, gpus)
    line = _Line(job for job in waiting if job.deployment in room.possible)
    made: list[tuple[Waiting, Start]] = []
    firsts: dict[str, Waiting] = {}
    while (first := line.first(room)) is not None:
        firsts[first.id] = first
        left = first.window_s(max_overtake_s, gpus) - overtaken_s.get(first.id, 0.0)
        job = _quickest(line, first, room, left)
        if job is None:
            break
        run_s = math.inf if job is first else left - room.load_seconds(job)
        made.append((job, line.take(job, run_s)))
        room.start(job)
    decision = Plan(starts=tuple(start for _, start in made), head=first.id if first else None)
    passed = {each.id for each in firsts.values() if any(job.place > each.place for job, _ in made)}
    return replace(decision, overtaken=frozenset(passed - decision.started))


def _quickest(line: _Line, first: Waiting, room: Room, left: float) -> Waiting | None:
    """Who ends first of those that may start now; `left`: seconds left of the first one's window."""
    fits = room.admits(first)
    able = []
    for job in line.peers(first):
        if not room.admits(job):
            continue
        load_s = room.load_seconds(job)
        worth = not fits or line.work_s(job) >= WORTH * load_s
        if job is first or (worth and load_s + job.run_s <= left):
            able.append((load_s + job.run_s, job.place, job))
    return min(able)[-1] if able else None


class OvertakeWatch:
    """Remembers since when waiting jobs have been overtaken. The caller's clock, in seconds.

    Each keeps its time until it starts or leaves the line, though others be first in between: what went ahead
    may have taken its deployment's last replica, so that for a while it is not the first of those that could
    start.
    """

    def __init__(self, overtaken_s: Mapping[str, float] = NOBODY, clock: float = 0.0) -> None:
        self._since = {job_id: clock - seconds for job_id, seconds in overtaken_s.items()}

    def overtaken_s(self, clock: float) -> dict[str, float]:
        """Seconds by job id."""
        return {job_id: clock - since for job_id, since in self._since.items()}

    def note(self, decision: Plan, waiting: Iterable[Waiting], clock: float) -> None:
        """`waiting`: what the decision was made of."""
        still = {job.id for job in waiting} - decision.started
        for job_id in decision.overtaken:
            self._since.setdefault(job_id, clock)
        self._since = {job_id: since for job_id, since in self._since.items() if job_id in still}


class Room:
    """The GPUs and the replicas while a plan is made: what fits, and how long it would take."""

    def __init__(self, deployments: Iterable[Deployment], gpus: float) -> None:
        self.deployments = {each.name: each for each in deployments}
        everything = Gpus(gpus)
        #: Names of those whose share does not exceed all GPUs.
        self.possible = {n for n, each in self.deployments.items() if everything.fits(each.share)}
        self._gpus = Gpus(gpus)
        self._gpus.pack((each.share, each.running) for each in self.deployments.values())
        self._started: Counter[str] = Counter()
        self._loaded = {name: Counter(each.loaded) for name, each in self.deployments.items()}

    def at_limit(self, job: Waiting) -> bool:
        target = self.deployments[job.deployment]
        return target.running + self._started[job.deployment] >= target.max_replicas

    def admits(self, job: Waiting) -> bool:
        return not self.at_limit(job) and self._gpus.fits(self.deployments[job.deployment].share)

    def load_seconds(self, job: Waiting) -> float:
        """Until the job's run would begin, by the estimates."""
        if not self._has_idle(job):
            return job.load_s
        return 0.0 if self._loaded[job.deployment][job.model] > 0 else job.switch_s

    def start(self, job: Waiting) -> None:
        if self._has_idle(job):
            self._loaded[job.deployment][job.model] -= 1
        self._gpus.take(self.deployments[job.deployment].share)
        self._started[job.deployment] += 1

    def _has_idle(self, job: Waiting) -> bool:
        return self.deployments[job.deployment].idle > self._started[job.deployment]


class _Line:
    """The jobs in order, and in groups: of a model and priority, only the foremost can be next."""

    def __init__(self, waiting: Iterable[Waiting]) -> None:
        self._groups: dict[tuple[int, str], deque[Waiting]] = {}
        for job in sorted(waiting, key=lambda job: job.place):
            self._groups.setdefault((job.priority, job.model), deque()).append(job)
        self._work_s = {key: sum(job.run_s for job in group) for key, group in self._groups.items()}

    def first(self, room: Room) -> Waiting | None:
        """The first job in line whose deployment could have another replica."""
        free = (group[0] for group in self._groups.values() if not room.at_limit(group[0]))
        return min(free, key=lambda job: job.place, default=None)

    def peers(self, first: Waiting) -> list[Waiting]:
        """The foremost jobs of each model at the first one's priority."""
        return [group[0] for (priority, _), group in self._groups.items() if priority == first.priority]

    def work_s(self, job: Waiting) -> float:
        """Seconds that the jobs of its model and priority run, together."""
        return self._work_s[job.priority, job.model]

    def take(self, job: Waiting, run_s: float) -> Start:
        """Remove the job, and the others of its batch that fit into the call and into `run_s` seconds."""
        key = (job.priority, job.model)
        group = self._groups[key]
        members = _members(group, run_s)
        self._work_s[key] -= sum(member.run_s for member in members)
        if len(members) == 1:
            group.popleft()
        else:
            taken = {member.id for member in members}
            self._groups[key] = group = deque(each for each in group if each.id not in taken)
        if not group:
            del self._groups[key]
        return Start(jobs=tuple(member.id for member in members))


def _members(group: Sequence[Waiting], run_s: float) -> list[Waiting]:
    """The first of the group and those that run with it, in order."""
    job = group[0]
    members, outputs, seconds = [job], job.outputs, job.run_s
    if job.batch is None:
        return members
    for other in islice(group, 1, None):
        fits = outputs + other.outputs <= job.max_batch and seconds + other.run_s <= run_s
        if other.batch == job.batch and fits:
            members.append(other)
            outputs, seconds = outputs + other.outputs, seconds + other.run_s
    return members


def longest_wait_s(
    job: Waiting,
    ahead: Collection[Waiting],
    running_s: Collection[float],
    *,
    gpus: float,
    max_overtake_s: float,
    longest_s: float,
    overrun_s: float = 0.0,
    whole: bool = True,
) -> float:
    """The most seconds that a job waits, if nothing comes ahead of it later.

    `ahead` are the jobs before it in line, `running_s` the seconds that the running ones still need,
    `longest_s` the longest load and run of any call, `overrun_s` by how much a call takes longer than
    estimated at most. `whole`: every share is one GPU, and no deployment has a limit of replicas below
    the number of GPUs.

    Whole GPUs are all busy while anything waits. So until the job starts they do, together, what runs, what
    is ahead of it, and what overtakes: a window for the job and for each ahead of it. Otherwise each of
    these may wait, after its window, until the longest call ends.
    """
    windows = sum(each.window_s(max_overtake_s, gpus) + overrun_s for each in (job, *ahead))
    if not whole:
        return windows + (len(ahead) + 1) * longest_s
    work = sum(running_s) + sum(each.load_s + each.run_s for each in ahead)
    return work / gpus + windows
