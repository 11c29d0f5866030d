"""The arbiter, by examples and by properties that hold for every queue."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.arbiter import Deployment, Head, Plan, Waiting, plan

OVERTAKE_S = 60.0


def waiting(line: str, **changes: Any) -> list[Waiting]:
    """Jobs `a1 b1 a2`: the letter is model and deployment, the order the position."""
    return [
        Waiting(id=name, model=name[0], deployment=name[0], position=float(place), **changes)
        for place, name in enumerate(line.split())
    ]


def deployment(name: str, **changes: Any) -> Deployment:
    return Deployment(name=name, **changes)


def starts(
    line: Sequence[Waiting],
    *deployments: Deployment,
    capacity: float = 1.0,
    head: Head | None = None,
) -> str:
    return " ".join(plan(line, deployments, capacity=capacity, max_overtake_s=OVERTAKE_S, head=head).starts)


def warm(name: str, *, running: int = 0) -> Deployment:
    return deployment(name, replicas=1, running=running, loaded=frozenset(name))


def test_nothing_waits_nothing_starts() -> None:
    assert plan([], [deployment("a")], capacity=1, max_overtake_s=60) == Plan(starts=(), head=None)


def test_the_first_in_line_starts_on_a_free_gpu_and_the_next_becomes_head() -> None:
    decision = plan(waiting("a1 b1"), [deployment("a"), deployment("b")], capacity=1, max_overtake_s=60)
    assert decision == Plan(starts=("a1",), head="b1")


def test_idle_replicas_of_others_give_way() -> None:
    assert starts(waiting("a1"), deployment("a"), warm("b")) == "a1"


def test_busy_replicas_do_not() -> None:
    assert starts(waiting("a1"), deployment("a"), warm("b", running=1)) == ""


def test_a_job_of_the_loaded_model_overtakes() -> None:
    assert starts(waiting("a1 b1"), deployment("a"), warm("b")) == "b1"


def test_within_a_family_the_loaded_model_goes_before_another() -> None:
    line = [replace(job, deployment="family") for job in waiting("a1 b1")]
    family = Deployment(name="family", replicas=1, loaded=frozenset("b"))
    assert starts(line, family) == "b1"


def test_nobody_overtakes_a_head_that_has_waited_long_enough() -> None:
    head = Head(id="a1", waited_s=OVERTAKE_S)
    assert starts(waiting("a1 b1"), deployment("a"), warm("b"), head=head) == "a1"


def test_nothing_starts_that_could_delay_such_a_head() -> None:
    small, large = deployment("b", share=0.5, max_replicas=2), deployment("a")
    busy = replace(small, replicas=1, running=1)
    assert starts(waiting("a1 b1"), large, busy) == "b1", "half a GPU is free"
    assert starts(waiting("a1 b1"), large, busy, head=Head(id="a1", waited_s=61)) == ""


def test_the_waiting_time_of_another_head_does_not_count() -> None:
    assert starts(waiting("a1 b1"), deployment("a"), warm("b"), head=Head(id="x", waited_s=99)) == "b1"


def test_a_lower_priority_never_overtakes_though_its_model_is_loaded() -> None:
    line = [*waiting("a1", priority=1), *waiting("b1")]
    assert starts(line, deployment("a"), warm("b")) == "a1"


def test_a_head_that_waits_for_its_own_replica_lets_others_have_the_free_gpu() -> None:
    line = [*waiting("a1", priority=1), *waiting("b1")]
    decision = starts(line, warm("a", running=1), deployment("b"), capacity=2)
    assert decision == "b1"
    late = Head(id="a1", waited_s=99)
    assert starts(line, warm("a", running=1), deployment("b"), capacity=2, head=late) == "b1"


def test_several_gpus_start_several_families_and_replicas() -> None:
    both = (deployment("a", max_replicas=3), deployment("b", max_replicas=3))
    assert starts(waiting("a1 a2 b1 b2"), *both, capacity=3) == "a1 a2 b1"


def test_fractions_of_a_gpu_are_shared() -> None:
    third = deployment("a", share=1 / 3, max_replicas=9)
    assert starts(waiting("a1 a2 a3 a4"), third) == "a1 a2 a3"


def test_a_family_without_a_gpu_share_always_fits() -> None:
    assert starts(waiting("a1"), deployment("a", share=0), warm("b", running=1)) == "a1"


def test_a_job_larger_than_all_gpus_is_never_head() -> None:
    decision = plan(
        waiting("a1 b1"), [deployment("a", share=2), deployment("b")], capacity=1, max_overtake_s=0
    )
    assert decision == Plan(starts=("b1",), head=None)


# -- properties

NAMES = "abc"
quick = settings(max_examples=30)
priorities = st.integers(0, 1)
shares = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])


@st.composite
def lines(draw: st.DrawFn, names: str = NAMES) -> list[Waiting]:
    jobs = draw(st.lists(st.tuples(st.sampled_from(names), st.integers(1, 2), priorities), max_size=8))
    return [
        Waiting(id=f"{place:02}", model=f"{name}{model}", deployment=name, priority=priority, position=place)
        for place, (name, model, priority) in enumerate(jobs)
    ]


@st.composite
def clusters(draw: st.DrawFn, shares: st.SearchStrategy[float] = shares) -> tuple[list[Deployment], float]:
    """Deployments whose running replicas fit into the capacity."""
    capacity = float(draw(st.integers(1, 4)))
    free, deployments = capacity, []
    for name in NAMES:
        share, limit = draw(shares), draw(st.integers(1, 4))
        running = min(draw(st.integers(0, 2)), limit, int(free / share) if share else 2)
        free -= share * running
        loaded = frozenset(draw(st.sets(st.sampled_from([f"{name}1", f"{name}2"]))))
        deployments.append(
            Deployment(
                name=name,
                share=share,
                replicas=min(running + draw(st.integers(0, 2)), limit),
                running=running,
                max_replicas=limit,
                loaded=loaded,
            )
        )
    return deployments, capacity


heads = st.none() | st.builds(Head, id=st.just("00"), waited_s=st.floats(0, 2 * OVERTAKE_S))


def decide(
    line: Sequence[Waiting], deployments: Sequence[Deployment], capacity: float, head: Head | None = None
) -> Plan:
    return plan(line, deployments, capacity=capacity, max_overtake_s=OVERTAKE_S, head=head)


def started(line: Sequence[Waiting], decision: Plan) -> list[Waiting]:
    by_id = {job.id: job for job in line}
    return [by_id[job_id] for job_id in decision.starts]


@quick
@given(lines(), clusters(), heads)
def test_the_capacity_and_the_limits_of_replicas_are_never_exceeded(
    line: list[Waiting], cluster: tuple[list[Deployment], float], head: Head | None
) -> None:
    deployments, capacity = cluster
    jobs = Counter(job.deployment for job in started(line, decide(line, deployments, capacity, head)))
    assert sum(d.share * (d.running + jobs[d.name]) for d in deployments) <= capacity + 1e-6
    assert all(d.running + jobs[d.name] <= d.max_replicas for d in deployments)


@quick
@given(lines(), clusters(), heads, st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_given_is_irrelevant(
    line: list[Waiting],
    cluster: tuple[list[Deployment], float],
    head: Head | None,
    order: random.Random,
) -> None:
    deployments, capacity = cluster
    before = decide(line, deployments, capacity, head)
    shuffled, others = order.sample(line, len(line)), order.sample(deployments, len(deployments))
    assert decide(shuffled, others, capacity, head) == before


@quick
@given(lines(), clusters(), heads)
def test_a_job_starts_once_and_the_head_is_the_first_that_did_not(
    line: list[Waiting], cluster: tuple[list[Deployment], float], head: Head | None
) -> None:
    deployments, capacity = cluster
    decision = decide(line, deployments, capacity, head)
    assert len(set(decision.starts)) == len(decision.starts)
    possible = {d.name for d in deployments if d.share <= capacity}
    rest = [job for job in line if job.id not in decision.starts and job.deployment in possible]
    first = min(rest, key=lambda job: (-job.priority, job.position), default=None)
    assert decision.head == (first.id if first else None)


@quick
@given(lines(), clusters(shares=st.just(1.0)), heads)
def test_no_gpu_stays_free_while_a_job_could_use_it(
    line: list[Waiting], cluster: tuple[list[Deployment], float], head: Head | None
) -> None:
    deployments, capacity = cluster
    jobs = started(line, decide(line, deployments, capacity, head))
    busy = Counter({d.name: d.running for d in deployments}) + Counter(job.deployment for job in jobs)
    full = {d.name for d in deployments if busy[d.name] >= d.max_replicas}
    left = [job for job in line if job not in jobs and job.deployment not in full]
    assert not left or busy.total() >= capacity


@quick
@given(lines(), clusters(), heads)
def test_jobs_of_one_model_and_priority_start_in_order(
    line: list[Waiting], cluster: tuple[list[Deployment], float], head: Head | None
) -> None:
    deployments, capacity = cluster
    jobs = started(line, decide(line, deployments, capacity, head))
    for model in {job.model for job in line}:
        queue = sorted(
            (job for job in line if job.model == model), key=lambda job: (-job.priority, job.position)
        )
        chosen = [job for job in jobs if job.model == model]
        assert chosen == queue[: len(chosen)]


@quick
@given(lines(), clusters(shares=st.just(1.0)), heads)
def test_a_job_starts_before_one_of_higher_priority_only_where_that_cannot_start(
    line: list[Waiting], cluster: tuple[list[Deployment], float], head: Head | None
) -> None:
    deployments, capacity = cluster
    jobs = started(line, decide(line, deployments, capacity, head))
    busy = Counter({d.name: d.running for d in deployments}) + Counter(job.deployment for job in jobs)
    limit = {d.name: d.max_replicas for d in deployments}
    for job in jobs:
        passed = [each for each in line if each.priority > job.priority and each not in jobs]
        assert all(busy[each.deployment] >= limit[each.deployment] for each in passed)


@quick
@given(lines(), clusters())
def test_a_head_that_has_waited_long_enough_starts_as_soon_as_it_fits(
    line: list[Waiting], cluster: tuple[list[Deployment], float]
) -> None:
    deployments, capacity = cluster
    by_name = {d.name: d for d in deployments}
    possible = [job for job in line if by_name[job.deployment].share <= capacity]
    if not possible:
        return
    first = min(possible, key=lambda job: (-job.priority, job.position))
    target = by_name[first.deployment]
    free = capacity - sum(d.share * d.running for d in deployments)
    decision = decide(line, deployments, capacity, Head(id=first.id, waited_s=OVERTAKE_S))
    fits = target.running < target.max_replicas and target.share <= free
    assert (first.id in decision.starts[:1]) == fits
    if not fits and target.running < target.max_replicas:
        assert decision.starts == ()


class Simulation:
    """A cluster whose jobs take 10 s, with a plan every second, as the dispatcher makes them."""

    RUN_S = 10

    def __init__(self, line: list[Waiting], deployments: list[Deployment], capacity: float) -> None:
        self.line, self.capacity = list(line), capacity
        self.deployments = {d.name: replace(d, running=0, replicas=0) for d in deployments}
        self.ends: list[tuple[int, str]] = []
        self.head: tuple[str, int] | None = None
        self.started_at: dict[str, int] = {}

    def second(self, clock: int) -> None:
        for _, name in [end for end in self.ends if end[0] <= clock]:
            self._change(name, running=-1)
        self.ends = [end for end in self.ends if end[0] > clock]
        head = Head(id=self.head[0], waited_s=clock - self.head[1]) if self.head else None
        decision = decide(self.line, list(self.deployments.values()), self.capacity, head)
        for job in started(self.line, decision):
            self.started_at[job.id] = clock
            self.ends.append((clock + self.RUN_S, job.deployment))
            self._change(job.deployment, running=1, loaded=job.model)
            self.line.remove(job)
        if decision.head is None or self.head is None or decision.head != self.head[0]:
            self.head = (decision.head, clock) if decision.head else None

    def _change(self, name: str, *, running: int, loaded: str = "") -> None:
        before = self.deployments[name]
        now = before.running + running
        model = frozenset({loaded}) if loaded else before.loaded
        up = max(before.replicas, now)
        self.deployments[name] = replace(before, running=now, replicas=up, loaded=model)


@settings(max_examples=20)
@given(lines(), clusters(shares=st.sampled_from([0.5, 1.0])))
def test_every_waiting_job_starts_though_new_jobs_of_a_loaded_model_keep_coming(
    line: list[Waiting], cluster: tuple[list[Deployment], float]
) -> None:
    simulation = Simulation(line, *cluster)
    bound = math.ceil((len(line) + 1) * (OVERTAKE_S + 3 * Simulation.RUN_S))
    for clock in range(bound):
        late = Waiting(id=f"late{clock}", model="a1", deployment="a", priority=0, position=100 + clock)
        if clock % 5 == 0:
            simulation.line.append(late)
        simulation.second(clock)
        if all(job.id in simulation.started_at for job in line):
            return
    raise AssertionError(f"still waiting: {simulation.line}")
