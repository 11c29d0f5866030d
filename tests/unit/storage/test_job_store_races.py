"""Many threads at one SQLite store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from job_examples import LATER, NOON, WORKER_DIED, job, media
from sqlalchemy.exc import StatementError

from storage.errors import DatabaseUnavailable, QueueFull
from storage.group_commit import GroupCommit
from storage.jobs import Job, JobId, JobStatus
from storage.media import SENT_ALONG
from storage.stores import Stores

THREADS = 8
Result = TypeVar("Result")


def at_once(work: Callable[[int], Result]) -> list[Result]:
    """What each of some threads gets that start together."""
    barrier = Barrier(THREADS)

    def start(number: int) -> Result:
        barrier.wait(30)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(start, range(THREADS)))


def test_one_of_many_claims_wins(stores: Stores) -> None:
    for name in "abc":
        stores.jobs.add(job(name), max_pending=9)

        def claim(number: int, name: str = name) -> Job | None:
            return stores.jobs.claim(JobId(name), owner=f"d{number}", now=NOON, lease_until=LATER)

        (winner,) = [each for each in at_once(claim) if each is not None]
        assert stores.jobs.get(JobId(name)) == winner


def test_one_of_a_completion_and_a_failure_and_a_cancellation_wins(stores: Stores) -> None:
    stores.jobs.add(job("a"), max_pending=9)
    stores.jobs.claim(JobId("a"), owner="me", now=NOON, lease_until=LATER)
    endings: list[Callable[[], bool]] = [
        lambda: stores.jobs.complete(
            JobId("a"), owner="me", now=NOON, media=(), load_seconds=0, run_seconds=0
        ),
        lambda: stores.jobs.fail(JobId("a"), owner="me", now=NOON, error=WORKER_DIED),
        lambda: stores.jobs.finish_cancel(JobId("a"), owner="me", now=NOON),
    ]
    assert sum(at_once(lambda number: endings[number % 3]())) == 1


def test_one_of_the_last_jobs_that_name_a_picture_takes_it_along(stores: Stores) -> None:
    sent = media("sent", job_id=None, source=SENT_ALONG)
    stores.media.add(sent)
    for number in range(THREADS):
        animation = job(str(number), type="i2v", settings={"source_image_id": "sent"})
        stores.jobs.add(animation, max_pending=99)
    stores.jobs.clear(now=NOON)
    gone = at_once(lambda number: stores.jobs.delete(JobId(str(number)), with_source=True))
    assert sorted(gone, key=str) == [(), *[()] * (THREADS - 2), (sent,)]


def test_the_queue_takes_exactly_as_many_as_it_may(stores: Stores) -> None:
    def add_five(number: int) -> int:
        taken = 0
        for k in range(5):
            try:
                stores.jobs.add(job(f"{number}-{k}"), max_pending=13)
                taken += 1
            except QueueFull:
                pass
        return taken

    assert sum(at_once(add_five)) == 13
    assert stores.jobs.counts()[JobStatus.PENDING] == 13


def test_a_request_sent_many_times_makes_one_job(stores: Stores) -> None:
    added = at_once(lambda number: stores.jobs.add(job(str(number), idempotency_key="k"), max_pending=9))
    assert len({each.id for each in added}) == 1


def test_no_two_jobs_share_a_place(stores: Stores) -> None:
    def add_and_move(number: int) -> None:
        for k in range(3):
            stores.jobs.add(job(f"{number}-{k}"), max_pending=99)
            stores.jobs.move(JobId(f"{number}-{k}"), before=JobId(f"{number}-0"))

    at_once(add_and_move)
    waiting = stores.jobs.waiting(per_model=99)
    assert len({(each.turn, each.position) for each in waiting}) == len(waiting) == 3 * THREADS


def test_one_job_that_cannot_be_written_does_not_fail_those_beside_it(sql_stores: Stores) -> None:
    class Unwritable:
        pass

    def add(number: int) -> bool:
        settings = {"odd": Unwritable()} if number % 2 else {}
        try:
            return bool(sql_stores.jobs.add(job(str(number), settings=settings), max_pending=99))
        except (StatementError, TypeError):  # SQLAlchemy, or psycopg
            return False

    assert at_once(add) == [True, False] * (THREADS // 2)


def test_items_that_gather_meanwhile_are_written_together() -> None:
    groups: list[int] = []
    everyone = Barrier(THREADS)

    def write(items: list[int]) -> list[int]:
        groups.append(len(items))
        if len(groups) == 1:
            everyone.wait(30)  # by now the others have handed in theirs, or are about to
        return [-item for item in items]

    commit = GroupCommit[int, int](write)  # type: ignore[arg-type]

    def submit(number: int) -> int:
        if number:
            everyone.wait(30)
        return commit.submit(number)

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(submit, range(THREADS))) == [-number for number in range(THREADS)]
    assert sum(groups) == THREADS


def test_a_circumstance_that_fails_a_group_is_not_waited_for_by_each_of_it() -> None:
    writes: list[int] = []
    gathered = Barrier(THREADS)

    def write(items: list[int]) -> list[int]:
        writes.append(len(items))
        if len(writes) == 1:
            gathered.wait(30)
            return items
        raise DatabaseUnavailable

    commit = GroupCommit[int, int](write)  # type: ignore[arg-type]

    def submit(number: int) -> bool:
        if number:
            gathered.wait(30)
        try:
            return commit.submit(number) == number
        except DatabaseUnavailable:
            return False

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(submit, range(THREADS))) == writes[0]
    assert sum(writes) == THREADS


def test_what_stops_a_whole_group_is_raised_to_each() -> None:
    def write(_: object) -> list[int]:
        raise KeyboardInterrupt

    commit = GroupCommit[int, int](write)
    with pytest.raises(KeyboardInterrupt):
        commit.submit(1)
