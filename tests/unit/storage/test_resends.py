"""A request that comes again without a key finds its job, on every store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from job_examples import LATER, NOON, job

from storage.errors import QueueFull
from storage.jobs import Job, JobId, JobStore, Resend

MINUTE = timedelta(minutes=1)


def send(jobs: JobStore, name: str, *, again: int = 0, since: Any = NOON, **changes: Any) -> Job:
    resend = Resend(count=again, since=since) if again else None
    values = {"request_hash": "h", "client": "ann"} | changes
    return jobs.add(job(name, **values), max_pending=100, resend=resend)


def test_a_request_that_comes_again_is_the_job_it_has_become(jobs: JobStore) -> None:
    send(jobs, "first")
    again = send(jobs, "second", again=1)
    assert (again.id, again.resent) == ("first", 1)
    assert jobs.get(JobId("first")) == again
    assert jobs.get(JobId("second")) is None


def test_one_that_never_arrived_becomes_a_job_when_it_comes_again(jobs: JobStore) -> None:
    assert send(jobs, "second", again=1).id == "second"
    assert send(jobs, "third", again=2).id == "second"


def test_equal_requests_that_are_new_are_jobs_of_their_own(jobs: JobStore) -> None:
    assert [send(jobs, name).id for name in ("one", "two")] == ["one", "two"]


def test_equal_requests_that_both_come_again_get_a_job_each(jobs: JobStore) -> None:
    send(jobs, "one")
    send(jobs, "two", created_at=NOON + MINUTE)
    assert [send(jobs, "x", again=1).id for _ in range(2)] == ["two", "one"]
    assert [send(jobs, "x", again=2).id for _ in range(2)] == ["two", "one"]
    assert send(jobs, "x", again=2).id == "two"


@pytest.mark.parametrize(
    "changes",
    [{"client": "bob"}, {"client": None}, {"request_hash": "other"}, {"idempotency_key": "k"}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_another_clients_or_another_request_is_not_found(
    jobs: JobStore, changes: dict[str, Any]
) -> None:
    send(jobs, "first", **changes)
    assert send(jobs, "second", again=1).id == "second"


def test_a_key_says_more_than_a_count(jobs: JobStore) -> None:
    send(jobs, "first")
    assert send(jobs, "second", again=1, idempotency_key="k").id == "second"
    assert send(jobs, "third", again=1, idempotency_key="k").id == "second"


def test_a_job_that_is_older_than_the_first_sending_can_be_is_another(jobs: JobStore) -> None:
    send(jobs, "first")
    assert send(jobs, "second", again=1, since=NOON + MINUTE, created_at=LATER).id == "second"


def test_a_full_queue_refuses_none_that_is_in_it(jobs: JobStore) -> None:
    jobs.add(job("first", request_hash="h"), max_pending=1)
    with pytest.raises(QueueFull):
        jobs.add(job("other", request_hash="h"), max_pending=1)
    again = Resend(count=1, since=NOON)
    assert jobs.add(job("second", request_hash="h"), max_pending=1, resend=again).id == "first"


def test_many_that_come_again_at_once_are_one_job(jobs: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: send(jobs, f"job-{number}", again=1).id, range(40)))
    assert len(set(found)) == 1


def test_it_can_be_looked_for_without_being_added(jobs: JobStore) -> None:
    again = Resend(count=1, since=NOON)
    assert jobs.first_sent("ann", "h", again) is None
    first = send(jobs, "first")
    assert jobs.first_sent("ann", "h", again) == first
