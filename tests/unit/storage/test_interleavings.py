"""Completion, cancel, retry, delete and takeover of one job, in every order in which their steps can meet.

Each of them is a generator that does one thing, to the store or to the files, between two yields; all
interleavings of some of them are played. However they meet, the end is one and the same kind: the job has
ended once, and there is a file for each of its media rows and no other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations, count
from threading import Lock

import pytest
from job_examples import LATER, NOON, WORKER_DIED, job, media

from storage.jobs import JobId, JobStatus
from storage.media import Media
from storage.stores import Stores, memory_stores

Steps = Generator[None, None, None]
_numbers = count()
DONE = object()


@dataclass
class World:
    """One job, its store, and the media folder as the names of what lies in it."""

    stores: Stores
    job_id: JobId = field(default_factory=lambda: JobId(f"job-{next(_numbers)}"))
    files: set[str] = field(default_factory=set)
    statuses: list[JobStatus | None] = field(default_factory=list)
    retried: set[str] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.stores.jobs.add(job(self.job_id), max_pending=10**6)

    def look(self) -> None:
        found = self.stores.jobs.get(self.job_id)
        self.statuses.append(found and found.status)

    def write(self, medium: Media) -> None:
        with self.lock:
            self.files.add(medium.file_path)

    def remove(self, *outputs: Media) -> None:
        with self.lock:
            self.files -= {medium.file_path for medium in outputs}


# -- what can meet


def run(world: World, owner: str) -> Steps:
    """As the dispatcher runs a job: claim, write the file, record the end; else leave nothing."""
    jobs = world.stores.jobs
    claimed = jobs.claim(world.job_id, owner=owner, now=NOON, lease_until=LATER)
    yield
    if claimed is None:
        return
    medium = media(f"{world.job_id}-{owner}-{claimed.attempts}", job_id=world.job_id)
    world.write(medium)
    yield
    done = jobs.complete(world.job_id, owner=owner, now=NOON, media=(medium,), load_seconds=0, run_seconds=0)
    yield
    if not done:
        if world.stores.media.get(medium.id) is None:
            world.remove(medium)
        yield
        jobs.finish_cancel(world.job_id, owner=owner, now=NOON)
        yield


def complete(world: World) -> Steps:
    yield from run(world, "first")


def lose_the_worker(world: World) -> Steps:
    jobs = world.stores.jobs
    if jobs.claim(world.job_id, owner="first", now=NOON, lease_until=LATER) is None:
        return
    yield
    jobs.release(world.job_id, owner="first", now=NOON, max_attempts=3, error=WORKER_DIED)
    yield
    yield from run(world, "first")


def take_over(world: World) -> Steps:
    """Another dispatcher that believes the first one dead."""
    world.stores.jobs.recover(owner="second", now=NOON, max_attempts=3, error=WORKER_DIED)
    yield
    yield from run(world, "second")


def cancel(world: World) -> Steps:
    world.stores.jobs.request_cancel(world.job_id, now=NOON)
    yield


def clear(world: World) -> Steps:
    world.stores.jobs.clear(now=NOON)
    yield


def retry(world: World) -> Steps:
    """Twice with one key, as a client does that lost the first reply."""
    for name in ("a", "b"):
        found = world.stores.jobs.get(world.job_id)
        yield
        if found is not None and found.status.ended:
            again = job(f"{world.job_id}-{name}", idempotency_key=f"again {world.job_id}", request_hash="h")
            world.retried.add(world.stores.jobs.add(again, max_pending=10**6).id)
            yield


def delete_job(world: World) -> Steps:
    outputs = world.stores.jobs.delete(world.job_id)
    yield
    world.remove(*outputs or ())


def delete_medium(world: World) -> Steps:
    outputs = world.stores.media.of_job(world.job_id)
    yield
    for medium in outputs[:1]:
        gone = world.stores.media.delete(medium.id)
        yield
        if gone is not None:
            world.remove(gone)


ALL = (complete, lose_the_worker, take_over, cancel, clear, retry, delete_job, delete_medium)
Deed = Callable[[World], Steps]


def play(world: World, deeds: Sequence[Deed], choose: Callable[[int], int]) -> World:
    """The deeds' steps in the order that `choose` decides: which of so many that are not done goes on."""
    running = [deed(world) for deed in deeds]
    while running:
        steps = running[choose(len(running))]
        if next(steps, DONE) is DONE:
            running.remove(steps)
        world.look()
    return world


def every_order(make: Callable[[], World], deeds: Sequence[Deed]) -> Iterator[World]:
    """The world after each order in which the deeds' steps can meet."""
    unexplored: list[tuple[int, ...]] = [()]
    while unexplored:
        prefix = unexplored.pop()
        order: list[int] = []

        def choose(among: int, prefix: tuple[int, ...] = prefix, order: list[int] = order) -> int:
            if len(order) < len(prefix):
                order.append(prefix[len(order)])
            else:
                unexplored.extend((*order, other) for other in range(1, among))
                order.append(0)
            return order[-1]

        yield play(make(), deeds, choose)


def finish(world: World) -> None:
    """What the next dispatcher does with what is left."""
    world.stores.jobs.recover(owner="next", now=NOON, max_attempts=9, error=WORKER_DIED)
    for _ in run(world, "next"):
        world.look()


def assert_consistent(world: World) -> None:
    rows = {medium.file_path for medium in world.stores.media.of_job(world.job_id)}
    assert world.files == rows, "a file for each row, and no other"
    finish(world)
    found = world.stores.jobs.get(world.job_id)
    rows = {medium.file_path for medium in world.stores.media.of_job(world.job_id)}
    assert world.files == rows
    assert len(rows) <= 1, "no output twice"
    assert found is None or found.status.ended
    assert not rows or (found is not None and found.status is JobStatus.COMPLETED)
    assert len(world.retried) <= 1
    ends = [status for status in world.statuses if status is None or status.ended]
    first = world.statuses.index(ends[0]) if ends else len(world.statuses)
    assert set(world.statuses[first:]) <= {ends[0], None} if ends else True, "an end is for ever"
    gone = world.statuses.index(None) if None in world.statuses else len(world.statuses)
    assert set(world.statuses[gone:]) <= {None}


def named(deeds: tuple[Deed, ...]) -> str:
    return "-".join(deed.__name__ for deed in deeds)


@pytest.mark.parametrize("deeds", list(combinations(ALL, 2)), ids=named)
def test_any_two_end_in_one_consistent_state_in_every_order(deeds: tuple[Deed, ...]) -> None:
    orders = [assert_consistent(world) for world in every_order(memory_world, deeds)]
    assert len(orders) > 1


@pytest.mark.parametrize("number", [3, 4])
def test_any_three_or_four_end_in_one_consistent_state_in_many_orders(number: int) -> None:
    rng = random.Random(number)
    for deeds in combinations(ALL, number):
        for _ in range(25):
            assert_consistent(play(memory_world(), deeds, rng.randrange))


def test_any_three_end_in_one_consistent_state_in_sqlite(sql_stores: Stores) -> None:
    rng = random.Random(0)
    for deeds in combinations(ALL, 3):
        assert_consistent(play(World(sql_stores), deeds, rng.randrange))
        sql_stores.jobs.clear(now=NOON)


def memory_world() -> World:
    return World(memory_stores())


def test_all_at_once_from_many_threads_end_in_one_consistent_state(sql_stores: Stores) -> None:
    worlds = [World(sql_stores) for _ in range(12)]
    deeds = [(deed, world) for world in worlds for deed in ALL if deed is not clear]
    random.Random(0).shuffle(deeds)

    def do(work: tuple[Deed, World]) -> None:
        deed, world = work
        for _ in deed(world):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(do, deeds))
    for world in worlds:
        assert_consistent(world)
