"""The arbiter, by examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from serve_app.arbiter import NOBODY, Deployment, OvertakeWatch, Plan, Start, Waiting, longest_wait_s, plan

OVERTAKE_S = 60.0


def waiting(line: str, **changes: Any) -> list[Waiting]:
    """Jobs `a1 b1 a2`: the letter is model and deployment, the order the position. 7 s runs, 30 s loads."""
    return [
        Waiting(id=name, model=name[0], deployment=name[0], position=float(place), **changes)
        for place, name in enumerate(line.split())
    ]


def deployment(name: str, **changes: Any) -> Deployment:
    return Deployment(name=name, **changes)


def warm(name: str, *, running: int = 0) -> Deployment:
    return deployment(name, replicas=1, running=running, loaded=(name,))


def decide(
    line: Sequence[Waiting],
    *deployments: Deployment,
    gpus: float = 1.0,
    overtaken_s: Mapping[str, float] = NOBODY,
) -> Plan:
    return plan(line, deployments, gpus=gpus, max_overtake_s=OVERTAKE_S, overtaken_s=overtaken_s)


def starts(
    line: Sequence[Waiting],
    *deployments: Deployment,
    gpus: float = 1.0,
    overtaken_s: Mapping[str, float] = NOBODY,
) -> str:
    decision = decide(line, *deployments, gpus=gpus, overtaken_s=overtaken_s)
    return " ".join("+".join(start.jobs) for start in decision.starts)


def test_nothing_waits_nothing_starts() -> None:
    assert decide([], deployment("a")) == Plan()


def test_the_first_in_line_starts_on_a_free_gpu_and_the_next_becomes_head() -> None:
    decision = decide(waiting("a1 b1"), deployment("a"), deployment("b"))
    assert decision == Plan(starts=(Start(jobs=("a1",)),), head="b1")


def test_idle_replicas_of_others_give_way() -> None:
    assert starts(waiting("a1"), deployment("a"), warm("b")) == "a1"


def test_busy_replicas_do_not() -> None:
    assert starts(waiting("a1"), deployment("a"), warm("b", running=1)) == ""


def test_a_job_of_the_loaded_model_overtakes_and_the_plan_says_so() -> None:
    assert decide(waiting("a1 b1"), deployment("a"), warm("b")) == Plan(
        starts=(Start(jobs=("b1",)),), head="a1", overtaken=frozenset({"a1"})
    )


def test_within_a_family_the_loaded_model_goes_before_another() -> None:
    line = [replace(job, deployment="family") for job in waiting("a1 b1")]
    family = Deployment(name="family", replicas=1, loaded=("b",))
    assert starts(line, family) == "b1"


def test_a_switch_inside_a_replica_goes_before_a_load_from_nothing() -> None:
    line = [*waiting("x1"), Waiting(id="b2", model="b2", deployment="b", position=2)]
    line += [Waiting(id=f"c{n}", model="b3", deployment="b", position=n) for n in range(3, 6)]
    assert starts(line[:1] + line[2:], deployment("x"), warm("b")) == "c3", "21 s for a switch of 15 s"
    assert starts(line[:2], deployment("x"), warm("b")) == "x1", "7 s of work are not worth it"


def test_short_jobs_go_ahead_of_a_long_one_if_that_is_worth_the_load() -> None:
    clip = Waiting(id="w1", model="w", deployment="w", position=-1, run_s=391, load_s=49)
    pictures = waiting("a1 a2 a3 a4 a5")
    assert starts([clip, *pictures], deployment("w"), deployment("a")) == "a1"
    assert starts([clip, *pictures[:3]], deployment("w"), deployment("a")) == "w1", "21 s for 30 s of load"


def test_a_long_job_does_not_overtake_a_short_one_though_its_model_is_loaded() -> None:
    clip = Waiting(id="w1", model="w", deployment="w", position=9, run_s=391)
    assert starts([*waiting("a1"), clip], deployment("a"), warm("w")) == "a1"


def test_nobody_overtakes_when_the_window_is_over() -> None:
    line = waiting("a1 b1")
    assert starts(line, deployment("a"), warm("b"), overtaken_s={"a1": 50}) == "b1"
    assert starts(line, deployment("a"), warm("b"), overtaken_s={"a1": 54}) == "a1", "7 s to go"


def test_a_long_job_has_a_window_of_twice_its_run() -> None:
    line = [replace(waiting("a1")[0], run_s=100.0), *waiting("b1")]
    assert starts(line, deployment("a"), warm("b"), overtaken_s={"a1": 193}) == "b1"
    assert starts(line, deployment("a"), warm("b"), overtaken_s={"a1": 194}) == "a1"


def test_on_several_gpus_the_same_work_goes_ahead_of_a_long_job_in_less_time() -> None:
    line = [replace(waiting("a1")[0], run_s=400.0), *waiting("b1")]
    busy = deployment("c", replicas=3, running=3, max_replicas=3)
    for seconds, first in [(193, "b1"), (194, "a1")]:
        overtaken_s = {"a1": seconds}
        assert starts(line, deployment("a"), warm("b"), busy, gpus=4, overtaken_s=overtaken_s) == first


def test_the_window_of_another_head_does_not_count() -> None:
    assert starts(waiting("a1 b1"), deployment("a"), warm("b"), overtaken_s={"x": 99}) == "b1"


def test_without_overtaking_jobs_start_in_line() -> None:
    decision = plan(waiting("a1 b1"), [deployment("a"), warm("b")], gpus=1, max_overtake_s=0)
    assert decision.starts == (Start(jobs=("a1",)),)


def test_nothing_starts_that_could_delay_a_first_in_line_whose_window_is_over() -> None:
    large, small = deployment("a"), deployment("b", share=0.5, max_replicas=2, replicas=1, running=1)
    assert starts(waiting("a1 b1"), large, small) == "b1", "half a GPU is free"
    assert starts(waiting("a1 b1"), large, small, overtaken_s={"a1": 61}) == ""


def test_a_lower_priority_never_overtakes_though_its_model_is_loaded() -> None:
    line = [*waiting("a1", priority=1), *waiting("b1")]
    assert starts(line, deployment("a"), warm("b")) == "a1"


def test_who_waits_for_its_own_replica_lets_others_have_the_free_gpu() -> None:
    line = [*waiting("a1", priority=1), *waiting("b1")]
    decision = decide(line, warm("a", running=1), deployment("b"), gpus=2)
    assert decision == Plan(starts=(Start(jobs=("b1",)),), head=None)


def test_several_gpus_start_several_families_and_replicas() -> None:
    both = (deployment("a", max_replicas=3), deployment("b", max_replicas=3))
    assert starts(waiting("a1 a2 b1 b2"), *both, gpus=3) == "a1 a2 b1"


def test_fractions_of_a_gpu_are_shared() -> None:
    third = deployment("a", share=1 / 3, max_replicas=9)
    assert starts(waiting("a1 a2 a3 a4"), third) == "a1 a2 a3"


def test_a_fraction_fits_on_one_gpu_or_not_at_all() -> None:
    most = deployment("a", share=0.6, max_replicas=9)
    assert starts(waiting("a1 a2 a3"), most, gpus=2) == "a1 a2", "0.8 are free, but 0.4 on each"


def test_a_whole_gpu_is_not_two_halves() -> None:
    halves = deployment("b", share=0.6, max_replicas=2, replicas=2, running=2)
    assert starts(waiting("a1"), deployment("a", share=1), halves, gpus=2) == ""


def test_a_family_without_a_gpu_share_always_fits() -> None:
    assert starts(waiting("a1"), deployment("a", share=0), warm("b", running=1)) == "a1"


def test_a_job_larger_than_all_gpus_is_never_head() -> None:
    decision = decide(waiting("a1 b1"), deployment("a", share=2), deployment("b"))
    assert decision == Plan(starts=(Start(jobs=("b1",)),), head=None)


def test_clients_take_turns_before_the_order_of_arrival() -> None:
    line = [replace(job, turn=turn) for job, turn in zip(waiting("a1 a2 a3"), (2, 1, 1), strict=True)]
    assert starts(line, deployment("a", max_replicas=3), gpus=3) == "a2 a3 a1"


def test_jobs_of_one_batch_start_as_one_call() -> None:
    line = waiting("a1 a2 a3 a4", batch="64x64", max_batch=3)
    assert starts(line, warm("a")) == "a1+a2+a3"
    assert starts(waiting("a1 a2", batch=None, max_batch=3), warm("a")) == "a1"


def test_a_batch_counts_outputs_and_passes_over_what_does_not_match() -> None:
    line = waiting("a1 a2 a3 a4", batch="64x64", max_batch=4)
    line[1] = replace(line[1], batch="32x32")
    line[2] = replace(line[2], outputs=4)
    assert starts(line, warm("a")) == "a1+a4"


def test_a_batch_that_overtakes_ends_within_the_window() -> None:
    line = [*waiting("a1"), *waiting("b1 b2 b3 b4", batch="64x64", max_batch=9)]
    overtaken_s = {"a1": 38}
    assert starts(line, deployment("a"), warm("b"), overtaken_s=overtaken_s) == "b1+b2+b3", "22 s are left"


def test_a_batch_has_one_priority() -> None:
    line = [*waiting("a1", batch="x", max_batch=2, priority=1), *waiting("a2", batch="x", max_batch=2)]
    assert starts(line, warm("a")) == "a1"


def test_the_window_begins_with_the_first_that_overtakes() -> None:
    watch, line = OvertakeWatch(), waiting("a1 b2")
    watch.note(Plan(head="a1"), line, 0)
    assert watch.overtaken_s(100) == {}
    watch.note(Plan(head="a1", overtaken=frozenset({"a1"})), line, 100)
    watch.note(Plan(head="a1", overtaken=frozenset({"a1"})), line, 110)
    assert watch.overtaken_s(120) == {"a1": 20}


def test_the_window_goes_on_while_another_is_first_and_ends_with_the_job() -> None:
    watch, line = OvertakeWatch(), waiting("a1 b2")
    watch.note(Plan(head=None, overtaken=frozenset({"a1"})), line, 0)
    watch.note(Plan(head="b2", overtaken=frozenset({"b2"})), line, 10)
    assert watch.overtaken_s(20) == {"a1": 20, "b2": 10}
    watch.note(Plan(starts=(Start(jobs=("a1",)),)), line, 30)
    assert watch.overtaken_s(40) == {"b2": 30}
    watch.note(Plan(), [], 50)
    assert watch.overtaken_s(60) == {}


def test_who_is_overtaken_for_its_deployments_only_replica_is_known_though_it_is_first_no_more() -> None:
    first, quick, other = waiting("a1 b2 c3")
    line = [first, replace(quick, deployment="a"), other]
    decision = decide(line, replace(warm("a"), loaded=("b",)), deployment("c"))
    assert decision == Plan(starts=(Start(jobs=("b2",)),), head="c3", overtaken=frozenset({"a1"}))


@pytest.mark.parametrize(
    ("whole", "bound"), [(True, (5 + (30 + 180)) / 2 + 180 + 60), (False, 180 + 60 + 2 * 130)]
)
def test_the_promise_in_numbers(whole: bool, bound: float) -> None:
    job, before = waiting("a1 b1")
    before = replace(before, run_s=180.0)
    found = longest_wait_s(
        job, [before], [5.0], gpus=2, max_overtake_s=60, longest_s=130, whole=whole, overrun_s=0
    )
    assert found == bound
