"""The autoscaling policy, with a clock of its own and contexts as Ray hands them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import fits

from serve_app.gpus import Gpus
from serve_app.scaling import UNLOAD_METRIC, Load, SharedGpuPolicy, allot


def load(name: str, **changes: Any) -> Load:
    values = {"share": 1.0, "demand": 0, "target": 0, "idle_s": 0.0}
    return Load(name=name, **(values | changes))


def test_demand_is_met_from_zero() -> None:
    assert allot([load("a", demand=1), load("b")], gpus=1, keep_warm_s=300) == {"a": 1, "b": 0}


def test_an_idle_replica_stays_warm_until_its_time_is_over() -> None:
    for idle_s, kept in [(0.0, 1), (299.9, 1), (300.0, 0)]:
        assert allot([load("a", target=1, idle_s=idle_s)], gpus=1, keep_warm_s=300) == {"a": kept}


def test_an_idle_replica_goes_at_once_when_anothers_demand_does_not_fit_beside_it() -> None:
    loads = [load("a", target=1), load("b", demand=1)]
    assert allot(loads, gpus=1, keep_warm_s=300) == {"a": 0, "b": 1}
    assert allot(loads, gpus=2, keep_warm_s=300) == {"a": 1, "b": 1}


def test_the_latest_used_is_kept() -> None:
    loads = [load("old", target=1, idle_s=20), load("new", target=1, idle_s=10)]
    assert allot(loads, gpus=1, keep_warm_s=300) == {"old": 0, "new": 1}


def test_idle_replicas_beyond_the_demand_are_kept_as_far_as_they_fit() -> None:
    assert allot([load("a", demand=1, target=3)], gpus=2, keep_warm_s=300) == {"a": 2}


def test_what_is_free_on_two_gpus_together_keeps_no_replica_that_fits_on_neither() -> None:
    loads = [load("a", share=0.6, demand=2), load("b", share=0.7, target=1)]
    assert allot(loads, gpus=2, keep_warm_s=300) == {"a": 2, "b": 0}, "0.8 are free, 0.4 on each"
    assert allot([*loads, load("c", share=0.4, target=3)], gpus=2, keep_warm_s=300)["c"] == 2


def test_a_replica_without_a_share_takes_no_room() -> None:
    loads = [load("a", share=0.0, target=2), load("b", demand=1)]
    assert allot(loads, gpus=1, keep_warm_s=300) == {"a": 2, "b": 1}


def test_one_that_was_asked_to_unload_goes() -> None:
    assert allot([load("a", target=1, unload=True)], gpus=1, keep_warm_s=300) == {"a": 0}


loads = st.lists(
    st.builds(
        Load,
        name=st.sampled_from("abcd"),
        share=st.sampled_from([0.0, 0.25, 0.3, 0.6, 1.0, 2.0]),
        demand=st.integers(0, 3),
        target=st.integers(0, 4),
        idle_s=st.floats(0, 600),
        unload=st.booleans(),
    ),
    unique_by=lambda load: load.name,
)


@settings(max_examples=40)
@given(loads, st.integers(0, 6))
def test_demand_is_never_cut_and_warm_replicas_take_only_free_gpus(loads: list[Load], gpus: int) -> None:
    replicas = allot(loads, gpus=gpus, keep_warm_s=300)
    for each in loads:
        assert replicas[each.name] >= each.demand >= 0
        assert replicas[each.name] <= max(each.demand, each.target)
    if Gpus(gpus).pack((each.share, each.demand) for each in loads):
        assert fits([each.share for each in loads for _ in range(replicas[each.name])], gpus)


@settings(max_examples=40)
@given(loads, st.floats(0, 8), st.randoms(use_true_random=False))
def test_the_order_of_deployments_is_irrelevant(loads: list[Load], gpus: float, order: Any) -> None:
    shuffled = order.sample(loads, len(loads))
    assert allot(shuffled, gpus=gpus, keep_warm_s=300) == allot(loads, gpus=gpus, keep_warm_s=300)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Context:
    deployment_name: str
    target_num_replicas: int = 0
    current_num_replicas: int = 0
    total_num_requests: float = 0.0
    capacity_adjusted_max_replicas: int = 64
    aggregated_metrics: Mapping[str, Mapping[Any, float]] | None = None


@dataclass
class Cluster:
    """Deployments that do what the policy says, if they start."""

    policy: SharedGpuPolicy
    starts: bool = True
    contexts: dict[str, Context] = field(
        default_factory=lambda: {name: Context(name) for name in ("Flux", "SD35")}
    )

    def tick(self, **requests: float) -> dict[str, int]:
        for name, context in self.contexts.items():
            context.total_num_requests = requests.get(name, 0.0)
        targets, state = self.policy(self.contexts)
        assert state == {}
        for name, target in targets.items():
            self.contexts[name].target_num_replicas = target
            self.contexts[name].current_num_replicas = target if self.starts else 0
        return targets


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock) -> Cluster:
    return Cluster(SharedGpuPolicy(keep_warm_s=300, gpus=1, clock=clock))


def test_a_family_rises_from_zero_stays_warm_and_returns_to_zero(cluster: Cluster, clock: Clock) -> None:
    assert cluster.tick() == {"Flux": 0, "SD35": 0}
    assert cluster.tick(Flux=1) == {"Flux": 1, "SD35": 0}
    clock.now += 299
    assert cluster.tick() == {"Flux": 1, "SD35": 0}
    clock.now += 1
    assert cluster.tick() == {"Flux": 0, "SD35": 0}


def test_use_begins_the_warm_time_anew(cluster: Cluster, clock: Clock) -> None:
    cluster.tick(Flux=1)
    clock.now += 200
    cluster.tick(Flux=0.5)
    clock.now += 200
    assert cluster.tick()["Flux"] == 1


def test_a_warm_family_makes_way_for_another_and_does_not_come_back(cluster: Cluster, clock: Clock) -> None:
    cluster.tick(Flux=1)
    clock.now += 1
    assert cluster.tick(SD35=1) == {"Flux": 0, "SD35": 1}
    clock.now += 1
    assert cluster.tick() == {"Flux": 0, "SD35": 1}


def test_a_replica_that_reports_the_unload_metric_goes_when_it_is_idle(cluster: Cluster) -> None:
    cluster.tick(Flux=1)
    cluster.contexts["Flux"].aggregated_metrics = {UNLOAD_METRIC: {"replica": 1.0}}
    assert cluster.tick(Flux=1)["Flux"] == 1, "it is busy"
    assert cluster.tick()["Flux"] == 0


def test_a_replica_that_has_not_come_up_is_not_kept_warm(clock: Clock) -> None:
    cluster = Cluster(SharedGpuPolicy(keep_warm_s=300, gpus=1, clock=clock), starts=False)
    assert cluster.tick(Flux=1)["Flux"] == 1
    assert cluster.tick(Flux=1)["Flux"] == 1
    assert cluster.tick()["Flux"] == 0


def test_shares_decide_what_fits(clock: Clock) -> None:
    cluster = Cluster(SharedGpuPolicy(gpus=1, shares={"Flux": 0.5, "SD35": 0.5}, clock=clock))
    cluster.tick(Flux=1)
    assert cluster.tick(SD35=1) == {"Flux": 1, "SD35": 1}


def test_idle_fractions_go_when_a_replica_that_should_have_room_does_not_come_up(clock: Clock) -> None:
    shares = {"Flux": 0.5, "SD35": 1.0}
    cluster = Cluster(SharedGpuPolicy(gpus=2, shares=shares, clock=clock))
    cluster.tick(Flux=2)
    cluster.starts = False  # Ray has a half on each GPU, say.
    cluster.contexts["Flux"].current_num_replicas = 2
    for seconds, kept in [(0, 2), (19, 2), (1, 0)]:
        clock.now += seconds
        cluster.contexts["Flux"].current_num_replicas = 2
        assert cluster.tick(SD35=1) == {"Flux": kept, "SD35": 1}


def test_whole_gpus_are_kept_warm_beside_a_replica_that_does_not_come_up(clock: Clock) -> None:
    cluster = Cluster(SharedGpuPolicy(gpus=2, clock=clock))
    cluster.tick(Flux=1)
    cluster.starts = False
    for _ in range(3):
        clock.now += 15
        cluster.contexts["Flux"].current_num_replicas = 1
        assert cluster.tick(SD35=1) == {"Flux": 1, "SD35": 1}


def test_more_replicas_than_the_deployment_may_have_are_not_asked_for(cluster: Cluster) -> None:
    cluster.contexts["Flux"].capacity_adjusted_max_replicas = 2
    assert cluster.tick(Flux=9)["Flux"] == 2
