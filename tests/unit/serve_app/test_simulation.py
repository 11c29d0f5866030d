"""The arbiter under a virtual clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.arbiter import Deployment, Plan, Start, Waiting, longest_wait_s
from serve_app.simulation import BATCH_GROWTH, Outcome, Replica, Work, ours, simulate

OVERTAKE_S = 60.0


def work(name: str, *, arrives_s: float = 0.0, client: str | None = None, **changes: Any) -> Work:
    """Job `a1`: the letter is model and deployment, the number the position; runs 10 s, loads 30 s."""
    values: dict[str, Any] = {
        "run_s": 10.0,
        "load_s": 30.0,
        "switch_s": 20.0,
        "deployment": name[0],
    } | changes
    job = Waiting(id=name, model=name[0], position=float(name[1:]), **values)
    return Work(job=job, arrives_s=arrives_s, client=client)


def run(works: Sequence[Work], *, gpus: int = 1, **changes: Any) -> Outcome:
    names = {each.job.deployment for each in works} | {r.deployment for r in changes.get("replicas", ())}
    deployments = [Deployment(name=name, max_replicas=gpus) for name in sorted(names)]
    return simulate(works, deployments, gpus=gpus, policy=changes.pop("policy", ours(OVERTAKE_S)), **changes)


def times(outcome: Outcome) -> dict[str, tuple[float, float]]:
    return {name: (found.start_s, found.end_s) for name, found in outcome.runs.items()}


def test_the_first_job_loads_and_the_next_of_its_model_does_not() -> None:
    outcome = run([work("a1"), work("a2")])
    assert times(outcome) == {"a1": (0, 40), "a2": (40, 50)}
    assert (outcome.loads, outcome.switches, outcome.makespan_s) == (1, 0, 50)
    assert (outcome.run_gpu_s, outcome.load_gpu_s) == (20, 30)


def test_another_model_of_the_family_switches_inside_the_replica() -> None:
    outcome = run([work("a1", deployment="f"), work("b2", deployment="f")])
    assert times(outcome) == {"a1": (0, 40), "b2": (40, 70)}
    assert (outcome.loads, outcome.switches) == (1, 1)


def test_jobs_that_come_later_are_not_known_before() -> None:
    outcome = run([work("a1"), work("b2", arrives_s=100, load_s=5.0)])
    assert times(outcome) == {"a1": (0, 40), "b2": (100, 115)}
    assert outcome.runs["b2"].wait_s == 0


def test_it_begins_with_what_is_there() -> None:
    there = [Replica(deployment="b", model="b", busy_s=25), Replica(deployment="a", model="a")]
    outcome = run([work("a1"), work("b2"), work("b3")], gpus=2, replicas=there)
    assert times(outcome) == {"a1": (0, 10), "b2": (10, 50), "b3": (25, 35)}


def test_a_head_that_has_been_overtaken_is_not_overtaken_for_a_whole_window_again() -> None:
    there = [Replica(deployment="b", model="b")]
    line = [work("a1"), work("b2"), work("b3")]
    assert times(run(line, replicas=there))["a1"] == (20, 60)
    overtaken_s = {"a1": 45.0}
    assert times(run(line, replicas=there, overtaken_s=overtaken_s))["a1"] == (10, 50)


@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_a_stream_of_another_model_of_its_family_does_not_hold_a_job_up_for_ever(gpus: int) -> None:
    """What goes ahead takes the family's replica, so that the job is not the first that could start."""
    there = [Replica(deployment="f", model="b") for _ in range(gpus)]
    stream = [work(f"b{2 + n}", deployment="f", arrives_s=n * 9 / gpus) for n in range(100 * gpus)]
    outcome = run([work("a1", deployment="f", arrives_s=10), *stream], gpus=gpus, replicas=there)
    assert outcome.runs["a1"].wait_s <= OVERTAKE_S + 10


def test_the_longest_idle_replica_gives_way() -> None:
    there = [Replica(deployment="a", model="a", idle_s=9), Replica(deployment="b", model="b", idle_s=5)]
    outcome = run([work("c1"), work("b2", arrives_s=1)], gpus=2, replicas=there)
    assert outcome.loads == 1


def test_a_replica_is_gone_when_it_has_been_idle_long_enough() -> None:
    twice = [work("a1"), work("a2", arrives_s=99)]
    assert run(twice, keep_warm_s=60).loads == 1
    assert run(twice, keep_warm_s=59).loads == 2


def test_a_batch_takes_little_longer_than_one() -> None:
    outcome = run([work("a1", batch="x", max_batch=4), work("a2", batch="x", max_batch=4)])
    end_s = 30 + 10 + BATCH_GROWTH * 10
    assert times(outcome) == {"a1": (0, end_s), "a2": (0, end_s)}


def test_the_real_run_may_differ_from_the_estimate() -> None:
    outcome = run([Work(job=work("a1").job, run_s=12.5)])
    assert outcome.makespan_s == 42.5


def test_clients_take_turns_as_in_the_store() -> None:
    line = [work(f"a{n}", client="ann") for n in range(1, 5)] + [work("a9", arrives_s=1, client="bob")]
    assert list(run(line).runs) == ["a1", "a2", "a9", "a3", "a4"]


def test_a_job_that_never_fits_has_no_run() -> None:
    big = Deployment(name="b", share=2.0)
    outcome = simulate([work("a1"), work("b2")], [Deployment(name="a"), big], gpus=1, policy=ours(60))
    assert set(outcome.runs) == {"a1"}


def test_a_policy_that_starts_more_than_fits_is_found_out() -> None:
    outcome = run([work("a1"), work("b2")], policy=lambda line, *_: Plan(starts=(Start(jobs=(line[0].id,)),)))
    assert outcome.most_gpus == 2


@pytest.mark.parametrize("shares", [(0.4, 0.3), (0.6, 0.4, 0.3), (0.4, 0.3, 0.2)])
@pytest.mark.parametrize("gpus", [2, 4])
def test_shares_that_leave_holes_are_simulated_to_the_end(shares: tuple[float, ...], gpus: int) -> None:
    names = [f"f{n}" for n in range(len(shares))]
    line = [work(f"a{n}", deployment=names[n * n % len(names)], run_s=7.0 + n % 5) for n in range(1, 61)]
    deployments = [
        Deployment(name=name, share=share, max_replicas=10) for name, share in zip(names, shares, strict=True)
    ]
    outcome = simulate(line, deployments, gpus=gpus, policy=ours(OVERTAKE_S))
    assert len(outcome.runs) == 60


# -- the promise

#: Model, deployment, run, load: a and d share a deployment.
models = st.sampled_from(
    [("a", "a", 7.0, 30.0), ("b", "b", 18.0, 40.0), ("c", "c", 400.0, 50.0), ("d", "a", 7.0, 30.0)]
)


@st.composite
def loads(draw: st.DrawFn) -> list[Work]:
    works, clock = [], 0.0
    for place in range(draw(st.integers(1, 25))):
        clock += draw(st.sampled_from([0.0, 1.0, 30.0, 200.0]))
        name, family, run_s, load_s = draw(models)
        works.append(work(f"{name}{place}", arrives_s=clock, deployment=family, run_s=run_s, load_s=load_s))
    return works


@settings(max_examples=20, deadline=None)
@given(loads(), st.integers(1, 3), st.sampled_from([0.0, 10.0, 60.0, 600.0]))
def test_every_job_starts_within_the_promised_time(
    works: list[Work], gpus: int, max_overtake_s: float
) -> None:
    outcome = run(works, gpus=gpus, policy=ours(max_overtake_s))
    assert len(outcome.runs) == len(works)
    runs = [outcome.runs[each.job.id] for each in works]
    for place, mine in enumerate(runs):
        others = runs[:place] + runs[place + 1 :]
        promised = longest_wait_s(
            works[place].job,
            [works[k].job for k in range(place) if runs[k].start_s >= mine.arrives_s],
            [
                other.end_s - mine.arrives_s
                for other in others
                if other.start_s < mine.arrives_s < other.end_s
            ],
            gpus=gpus,
            max_overtake_s=max_overtake_s,
            longest_s=450,
        )
        assert mine.wait_s <= promised + 1e-6


@settings(max_examples=12, deadline=None)
@given(loads(), st.integers(1, 2), st.sampled_from([10.0, 60.0]))
def test_with_fractions_of_gpus_the_wider_promise_holds(
    works: list[Work], gpus: int, max_overtake_s: float
) -> None:
    shares = {"a": 0.5, "b": 1.0, "c": 0.5}
    deployments = [
        Deployment(name=n, share=share, max_replicas=int(gpus / share)) for n, share in shares.items()
    ]
    outcome = simulate(works, deployments, gpus=gpus, policy=ours(max_overtake_s))
    assert outcome.most_gpus <= gpus
    runs = [outcome.runs[each.job.id] for each in works]
    for place, mine in enumerate(runs):
        promised = longest_wait_s(
            works[place].job,
            [works[k].job for k in range(place) if runs[k].start_s >= mine.arrives_s],
            (),
            gpus=gpus,
            max_overtake_s=max_overtake_s,
            longest_s=450,
            whole=False,
        )
        assert mine.wait_s <= promised + 1e-6


@settings(max_examples=12, deadline=None)
@given(loads(), st.integers(1, 3))
def test_no_gpu_has_two_jobs_at_once_and_none_is_free_while_a_job_waits(works: list[Work], gpus: int) -> None:
    runs = list(run(works, gpus=gpus).runs.values())
    moments = sorted({time for each in runs for time in (each.start_s, each.end_s, each.arrives_s)})
    for begin, end in pairwise(moments):
        middle = (begin + end) / 2
        at_work = sum(each.start_s < middle < each.end_s for each in runs)
        waits = sum(each.arrives_s < middle < each.start_s for each in runs)
        assert at_work <= gpus
        assert at_work == gpus or not waits


def test_a_client_with_few_jobs_is_not_held_up_by_one_with_many() -> None:
    dice = random.Random(1)
    many = [work(f"a{n}", client="many", arrives_s=dice.uniform(0, 10)) for n in range(1, 100)]
    few = [work(f"a{100 + n}", client="few", arrives_s=100 * n) for n in range(1, 5)]
    outcome = run([*many, *few])
    waits = {each.job.id: outcome.runs[each.job.id].wait_s for each in few}
    assert max(waits.values()) <= 20, "what runs, and one of the other's"


def test_under_a_backlog_a_family_gets_every_gpu() -> None:
    outcome = run([work(f"a{n}") for n in range(1, 9)], gpus=4)
    assert Counter(found.start_s for found in outcome.runs.values()) == {0: 4, 40: 4}
