"""The arbiter, by properties that hold for every queue."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from packing import fits

from serve_app.arbiter import NOBODY, Deployment, Plan, Waiting, plan
from serve_app.gpus import Gpus

OVERTAKE_S = 60.0
NAMES = "abc"
Cluster = tuple[list[Deployment], float]

quick = settings(max_examples=25)
whole = st.just(1.0)
any_share = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0, 2.0])
#: Of these, no way to lay them on GPUs leaves holes that another way would not. With others, such as 0.3,
#: there may be room that the quick packing does not find, or that what runs would have to move for.
halves = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])
times = st.dictionaries(st.sampled_from(["00", "01"]), st.floats(0, 2 * OVERTAKE_S))


@st.composite
def lines(draw: st.DrawFn) -> list[Waiting]:
    jobs = draw(
        st.lists(
            st.tuples(st.sampled_from(NAMES), st.integers(1, 2), st.integers(0, 1), st.integers(0, 2)),
            max_size=8,
        )
    )
    return [
        Waiting(
            id=f"{place:02}",
            model=f"{name}{model}",
            deployment=name,
            priority=priority,
            turn=turn,
            position=place,
            batch=draw(st.sampled_from([None, "x"])),
            max_batch=3,
            run_s=draw(st.sampled_from([7.0, 18.0, 391.0])),
        )
        for place, (name, model, priority, turn) in enumerate(jobs)
    ]


@st.composite
def clusters(draw: st.DrawFn, shares: st.SearchStrategy[float] = any_share) -> Cluster:
    """Deployments whose running replicas fit on the GPUs."""
    gpus = draw(st.integers(1, 4))
    deployments: list[Deployment] = []
    for name in NAMES:
        share, limit = draw(shares), draw(st.integers(1, 4))
        running = min(draw(st.integers(0, 2)), limit)
        while not fits([*_shares(deployments), *[share] * running], gpus):
            running -= 1
        deployments.append(
            Deployment(
                name=name,
                share=share,
                replicas=min(running + draw(st.integers(0, 2)), limit),
                running=running,
                max_replicas=limit,
                loaded=draw(st.lists(st.sampled_from([f"{name}1", f"{name}2"]), max_size=2)),
            )
        )
    return deployments, float(gpus)


def _shares(deployments: Sequence[Deployment]) -> list[float]:
    return [each.share for each in deployments for _ in range(each.running)]


def decide(line: Sequence[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float] = NOBODY) -> Plan:
    deployments, gpus = cluster
    return plan(line, deployments, gpus=gpus, max_overtake_s=OVERTAKE_S, overtaken_s=overtaken_s)


def calls(line: Sequence[Waiting], decision: Plan) -> list[list[Waiting]]:
    by_id = {job.id: job for job in line}
    return [[by_id[job_id] for job_id in start.jobs] for start in decision.starts]


def left(line: Sequence[Waiting], decision: Plan) -> list[Waiting]:
    started = {job_id for start in decision.starts for job_id in start.jobs}
    return [job for job in line if job.id not in started]


def busy(cluster: Cluster, made: Sequence[Sequence[Waiting]]) -> Counter[str]:
    """Replicas at work with the plan."""
    running = Counter({each.name: each.running for each in cluster[0]})
    return running + Counter(members[0].deployment for members in made)


def startable(line: Sequence[Waiting], cluster: Cluster, decision: Plan) -> list[Waiting]:
    """Jobs that could run beside all that runs."""
    at_work = busy(cluster, calls(line, decision))
    by_name = {each.name: each for each in cluster[0]}
    shares = [by_name[name].share for name, number in at_work.items() for _ in range(number)]
    return [
        job
        for job in below_limit(line, cluster, decision)
        if fits([*shares, by_name[job.deployment].share], int(cluster[1]))
    ]


def below_limit(line: Sequence[Waiting], cluster: Cluster, decision: Plan) -> list[Waiting]:
    """Jobs left whose deployment may have another replica."""
    at_work = busy(cluster, calls(line, decision))
    limits = {each.name: each.max_replicas for each in cluster[0]}
    return [job for job in left(line, decision) if at_work[job.deployment] < limits[job.deployment]]


@quick
@given(lines(), clusters(), times)
def test_the_gpus_and_the_limits_of_replicas_are_never_exceeded(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float]
) -> None:
    at_work = busy(cluster, calls(line, decide(line, cluster, overtaken_s)))
    by_name = {each.name: each for each in cluster[0]}
    assert fits([by_name[n].share for n, number in at_work.items() for _ in range(number)], int(cluster[1]))
    assert all(at_work[each.name] <= each.max_replicas for each in cluster[0])


@quick
@given(lines(), clusters(), times, st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_given_is_irrelevant(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float], order: random.Random
) -> None:
    shuffled = (order.sample(cluster[0], len(cluster[0])), cluster[1])
    assert decide(order.sample(line, len(line)), shuffled, overtaken_s) == decide(line, cluster, overtaken_s)


@quick
@given(lines(), clusters(), times)
def test_a_job_starts_once_in_a_call_of_its_batch(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float]
) -> None:
    made = calls(line, decide(line, cluster, overtaken_s))
    assert len({job.id for members in made for job in members}) == sum(map(len, made))
    for members in made:
        assert len({(job.model, job.batch, job.priority) for job in members}) == 1
        assert len(members) == 1 or (members[0].batch and len(members) <= members[0].max_batch)


@quick
@given(lines(), clusters(whole), times)
def test_no_gpu_stays_free_while_a_job_could_use_it(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float]
) -> None:
    assert startable(line, cluster, decide(line, cluster, overtaken_s)) == []


@quick
@given(lines(), clusters(halves), times)
def test_what_could_run_waits_only_for_a_first_in_line_that_has_no_room(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float]
) -> None:
    decision = decide(line, cluster, overtaken_s)
    able = startable(line, cluster, decision)
    assert not able or decision.head not in {None, *(job.id for job in able)}


@quick
@given(lines(), clusters(), times)
def test_with_any_shares_that_is_true_of_the_room_that_the_packing_finds(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float]
) -> None:
    decision = decide(line, cluster, overtaken_s)
    shares = {each.name: each.share for each in cluster[0]}
    gpus = Gpus(cluster[1])
    gpus.pack((each.share, each.running) for each in cluster[0])
    for members in calls(line, decision):
        gpus.take(shares[members[0].deployment])
    able = [job for job in below_limit(line, cluster, decision) if gpus.fits(shares[job.deployment])]
    assert not able or decision.head not in {None, *(job.id for job in able)}


@quick
@given(lines(), clusters(), times)
def test_calls_of_one_model_and_priority_start_in_line(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float]
) -> None:
    decision = decide(line, cluster, overtaken_s)
    firsts = [members[0] for members in calls(line, decision)]
    for model in {job.model for job in line}:
        places = [job.place for job in firsts if job.model == model]
        assert places == sorted(places)
        for job in left(line, decision):
            passed = [each for each in firsts if each.model == model == job.model]
            assert all(each.priority > job.priority or each.place < job.place for each in passed)


@quick
@given(lines(), clusters(whole), times)
def test_a_job_starts_before_one_of_higher_priority_only_where_that_cannot_start(
    line: list[Waiting], cluster: Cluster, overtaken_s: Mapping[str, float]
) -> None:
    decision = decide(line, cluster, overtaken_s)
    made = calls(line, decision)
    at_work, limit = busy(cluster, made), {each.name: each.max_replicas for each in cluster[0]}
    for job in (members[0] for members in made):
        passed = [each for each in left(line, decision) if each.priority > job.priority]
        assert all(at_work[each.deployment] >= limit[each.deployment] for each in passed)


@quick
@given(lines(), clusters(halves))
def test_a_first_in_line_whose_window_is_over_starts_as_soon_as_it_fits_and_else_keeps_the_room(
    line: list[Waiting], cluster: Cluster
) -> None:
    by_name = {each.name: each for each in cluster[0]}
    in_question = [
        job
        for job in line
        if by_name[job.deployment].share <= cluster[1]
        and by_name[job.deployment].running < by_name[job.deployment].max_replicas
    ]
    assume(in_question)
    first = min(in_question, key=lambda job: job.place)
    decision = decide(line, cluster, {first.id: 2 * first.run_s + OVERTAKE_S})
    room = fits([*_shares(cluster[0]), by_name[first.deployment].share], int(cluster[1]))
    assert decision.starts[0].jobs[0] == first.id if room else decision.starts == ()
