"""Clients take turns, in both stores."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_examples import LATER, NOON, WORKER_DIED, job

from storage.jobs import JobId, JobStore
from storage.stores import memory_stores
from storage.turns import current, turn_of


def add(jobs: JobStore, *names: str, priority: int = 0) -> None:
    """Jobs `a1 a2 b1`: the letter is the client."""
    for name in names:
        jobs.add(job(name, client=name[0], priority=priority), max_pending=1000)


def claim(jobs: JobStore, name: str) -> None:
    assert jobs.claim(JobId(name), owner="me", now=NOON, lease_until=LATER)


def order(jobs: JobStore) -> str:
    return " ".join(each.id for each in jobs.waiting(per_model=1000))


def test_a_client_that_comes_later_does_not_wait_for_all_of_another_ones_jobs(jobs: JobStore) -> None:
    add(jobs, "a1", "a2", "a3", "b1", "b2", "c1")
    assert order(jobs) == "a1 b1 c1 a2 b2 a3"


def test_who_comes_anew_joins_the_turn_that_the_line_has_come_to(jobs: JobStore) -> None:
    add(jobs, "a1", "a2", "a3", "a4", "b1")
    for name in ("a1", "b1", "a2"):
        claim(jobs, name)
    add(jobs, "c1", "b2")
    assert order(jobs) == "a3 c1 b2 a4"


def test_who_has_a_job_running_waits_until_the_others_have_had_theirs(jobs: JobStore) -> None:
    add(jobs, "a1")
    claim(jobs, "a1")
    add(jobs, "a2", "b1")
    assert order(jobs) == "a2 b1", "nobody else waited when a2 came"
    add(jobs, "a3", "b2")
    assert order(jobs) == "a2 b1 a3 b2"


def test_a_cleared_queue_costs_its_client_nothing(jobs: JobStore) -> None:
    add(jobs, "a1", "a2", "a3", "b1", "b2", "b3")
    jobs.clear(now=NOON, client="a")
    add(jobs, "a4")
    assert order(jobs) == "b1 a4 b2 b3"


def test_each_priority_has_turns_of_its_own(jobs: JobStore) -> None:
    add(jobs, "a1", "a2", "b1")
    add(jobs, "a3", "a4", "b2", priority=1)
    assert order(jobs) == "a3 b2 a4 a1 b1 a2"


def test_a_job_whose_worker_died_keeps_its_turn(jobs: JobStore) -> None:
    add(jobs, "a1", "a2", "b1")
    claim(jobs, "a1")
    jobs.release(JobId("a1"), owner="me", now=NOON, max_attempts=3, error=WORKER_DIED)
    assert order(jobs) == "a1 b1 a2"


def test_a_moved_job_takes_the_turn_of_the_one_it_is_put_before(jobs: JobStore) -> None:
    add(jobs, "a1", "a2", "a3", "b1", "b2")
    assert jobs.move(JobId("a3"), before=JobId("b1"))
    assert order(jobs) == "a1 a3 b1 a2 b2"
    assert jobs.move(JobId("a1"), before=None)
    assert order(jobs) == "a3 b1 a2 b2 a1"


@pytest.mark.parametrize(
    ("waiting", "running", "own", "turn"),
    [(None, None, None, 0), (3, 9, None, 3), (None, 4, 4, 5), (3, 2, 5, 6)],
)
def test_turns_in_numbers(waiting: int | None, running: int | None, own: int | None, turn: int) -> None:
    assert turn_of(current(waiting, running), own) == turn


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("aaaabc."), max_size=60))
def test_while_all_have_jobs_waiting_none_gets_two_more_starts_than_another(events: list[str]) -> None:
    """A dot starts the next job; a letter is a client's new job."""
    jobs = memory_stores().jobs
    started: Counter[str] = Counter()
    for number, event in enumerate([*events, *"." * len(events)]):
        if event != ".":
            add(jobs, f"{event}{number}")
            if len({each.client for each in jobs.waiting(per_model=1000)}) < 3:
                started.clear()
            continue
        line = jobs.waiting(per_model=1000)
        if {each.client for each in line} != set("abc"):
            started.clear()
        if line:
            claim(jobs, line[0].id)
            jobs.fail(line[0].id, owner="me", now=NOON, error=WORKER_DIED)
            started[str(line[0].client)] += 1
        if {each.client for each in line} == set("abc"):
            assert max(started.values()) - min(started[name] for name in "abc") <= 2
