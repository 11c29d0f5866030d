"""The arbiter and the autoscaling policy together: who starts, and which replicas stay for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from packing import fits

from serve_app.arbiter import Deployment, OvertakeWatch, Waiting, plan
from serve_app.scaling import SharedGpuPolicy

KEEP_WARM_S = 300.0
OVERTAKE_S = 60.0
RUN_S = 10.0
NAMES = "abc"


@dataclass
class Context:
    """A deployment as Ray hands it to the policy."""

    deployment_name: str
    capacity_adjusted_max_replicas: int
    target_num_replicas: int = 0
    current_num_replicas: int = 0
    total_num_requests: float = 0.0
    aggregated_metrics: None = None


@dataclass
class Server:
    """A queue, replicas that come and go as the policy says, and a clock. No run ends by itself."""

    shares: dict[str, float]
    limits: dict[str, int]
    gpus: int
    now: float = 1000.0
    waiting: list[Waiting] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    started: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._policy = SharedGpuPolicy(
            keep_warm_s=KEEP_WARM_S, shares=self.shares, gpus=self.gpus, clock=lambda: self.now
        )
        self.contexts = {name: Context(name, self.limits[name]) for name in self.shares}
        self._watch = OvertakeWatch()
        self._submitted = 0

    def submit(self, name: str) -> None:
        place = self._submitted = self._submitted + 1
        job = Waiting(id=f"{place:03}", model=name, deployment=name, position=float(place), run_s=RUN_S)
        self.waiting.append(job)
        self.look()

    def end(self, name: str) -> None:
        """One of the deployment's runs ends, if there is one."""
        if self.running[name]:
            self.running[name] -= 1
        self.look()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    def look(self) -> None:
        """Plan, then scale: as often as either changes anything."""
        while self._plan():
            self._scale()
        self._scale()

    @property
    def replicas(self) -> dict[str, int]:
        return {name: context.current_num_replicas for name, context in self.contexts.items()}

    def _plan(self) -> bool:
        decision = plan(
            self.waiting,
            [self._describe(name) for name in self.shares],
            gpus=self.gpus,
            max_overtake_s=OVERTAKE_S,
            overtaken_s=self._watch.overtaken_s(self.now),
        )
        self._watch.note(decision, self.waiting, self.now)
        for start in decision.starts:
            (job_id,) = start.jobs
            (job,) = (each for each in self.waiting if each.id == job_id)
            self.waiting.remove(job)
            self.running[job.deployment] += 1
            self.started.append(job_id)
        return bool(decision.starts)

    def _describe(self, name: str) -> Deployment:
        return Deployment(
            name=name,
            share=self.shares[name],
            replicas=max(self.replicas[name], self.running[name]),
            running=self.running[name],
            max_replicas=self.limits[name],
            loaded=(name,),
        )

    def _scale(self) -> None:
        for name, context in self.contexts.items():
            context.total_num_requests = self.running[name]
        targets, _ = self._policy(self.contexts)
        for name, target in targets.items():
            assert target >= self.running[name], f"a busy replica of {name} is to go"
            self.contexts[name].target_num_replicas = target
            self.contexts[name].current_num_replicas = target
        shares = [self.shares[name] for name, number in self.replicas.items() for _ in range(number)]
        assert fits(shares, self.gpus), f"{self.replicas} on {self.gpus} GPUs"


any_share = st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.6, 1.0, 2.0])


@st.composite
def servers(draw: st.DrawFn, shares: st.SearchStrategy[float] = any_share) -> Server:
    gpus = draw(st.integers(1, 3))
    return Server(
        shares={name: min(draw(shares), gpus) for name in NAMES},
        limits={name: draw(st.integers(1, 3)) for name in NAMES},
        gpus=gpus,
    )


name = st.sampled_from(NAMES)
event = st.one_of(
    st.tuples(st.just("submit"), name),
    st.tuples(st.just("end"), name),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 70.0, 290.0])),
)
events = st.lists(event, max_size=25)
several = settings(max_examples=40)


def happen(server: Server, what: list[tuple[str, Any]]) -> None:
    for kind, value in what:
        getattr(server, kind)(value)


@several
@given(servers(), events)
def test_no_busy_replica_goes_and_what_stays_fits_on_the_gpus(
    server: Server, what: list[tuple[str, Any]]
) -> None:
    happen(server, what)  # The server itself looks after each plan.


@several
@given(servers(), events)
def test_everything_that_waits_has_started_when_as_many_runs_have_ended(
    server: Server, what: list[tuple[str, Any]]
) -> None:
    happen(server, what)
    for _ in range(len(server.waiting)):
        server.running.clear()
        server.wait(1.0)
    assert not server.waiting
    assert len(server.started) == sum(kind == "submit" for kind, _ in what)


@several
@given(servers(), events)
def test_idle_for_long_enough_all_are_at_zero(server: Server, what: list[tuple[str, Any]]) -> None:
    happen(server, what)
    while server.waiting or server.running.total():
        for each in NAMES:
            server.end(each)
        server.wait(1.0)
    server.wait(KEEP_WARM_S)
    assert server.replicas == dict.fromkeys(NAMES, 0)


@several
@given(servers(st.just(1.0)), events)
def test_no_gpu_is_without_a_run_while_a_job_waits_that_could_have_it(
    server: Server, what: list[tuple[str, Any]]
) -> None:
    happen(server, what)
    free = server.running.total() < server.gpus
    limited = [server.running[job.deployment] == server.limits[job.deployment] for job in server.waiting]
    assert not free or all(limited)
