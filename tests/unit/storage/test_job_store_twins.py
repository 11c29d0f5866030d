"""The SQL store and its twin in memory do the same, whatever is asked of them in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from job_examples import NOON, WORKER_DIED, job, media
from sqlalchemy import delete

from storage import schema
from storage.errors import StorageError
from storage.jobs import JobId, JobProgress, JobStatus, Phase, Resend, Warmth
from storage.media import MediaId, MediaQuery
from storage.stores import Stores, memory_stores

LEGAL = {
    (None, JobStatus.PENDING),
    (JobStatus.PENDING, JobStatus.PROCESSING),
    (JobStatus.PENDING, JobStatus.CANCELLED),
    (JobStatus.PROCESSING, JobStatus.PENDING),
    (JobStatus.PROCESSING, JobStatus.COMPLETED),
    (JobStatus.PROCESSING, JobStatus.FAILED),
    (JobStatus.PROCESSING, JobStatus.CANCELLED),
}
NAMES = [JobId(name) for name in "abcde"]
names = st.sampled_from(NAMES)
owners = st.sampled_from(["me", "you"])
clients = st.sampled_from([None, "ann"])


class Twins(RuleBasedStateMachine):
    def __init__(self, sql: Stores) -> None:
        super().__init__()
        self.sql = sql
        self.memory = memory_stores()
        self.seconds = count()
        self.statuses: dict[JobId, JobStatus] = {}

    def now(self) -> datetime:
        return NOON + timedelta(seconds=next(self.seconds))

    def both(self, ask: Callable[[Stores], object]) -> None:
        assert answer(self.sql, ask) == answer(self.memory, ask)

    @initialize()
    def empty(self) -> None:
        assert self.sql.database is not None
        with self.sql.database.hint() as connection:
            for table in (schema.media, schema.webhooks, schema.spent_keys, schema.jobs):
                connection.execute(delete(table))

    @rule(
        name=names,
        client=clients,
        priority=st.integers(-1, 1),
        key=st.sampled_from([None, None, "k"]),
        request=st.sampled_from(["h", "g"]),
        model=st.sampled_from(["flux", "sd35"]),
        resent=st.integers(0, 2),
    )
    def add(
        self,
        name: JobId,
        client: str | None,
        priority: int,
        key: str | None,
        request: str,
        model: str,
        resent: int,
    ) -> None:
        if name in self.statuses:
            return
        new = job(
            name,
            client=client,
            priority=priority,
            idempotency_key=key,
            request_hash=request,
            model=model,
            created_at=self.now(),
            webhook_url=model,
        )
        again = Resend(count=resent, since=new.created_at - timedelta(seconds=20)) if resent else None
        self.both(lambda stores: stores.jobs.add(new, max_pending=4, resend=again))

    @rule(some=st.lists(names, min_size=1, max_size=3, unique=True), client=clients)
    def add_together(self, some: list[JobId], client: str | None) -> None:
        if any(name in self.statuses for name in some):
            return
        now = self.now()
        new = [job(name, client=client, created_at=now, request_hash=name) for name in some]
        self.both(lambda stores: stores.jobs.add_all(new, max_pending=3))

    @rule(name=names, owner=owners)
    def claim(self, name: JobId, owner: str) -> None:
        now = self.now()
        until = now + timedelta(seconds=5)
        self.both(lambda stores: stores.jobs.claim(name, owner=owner, now=now, lease_until=until))

    @rule(owner=owners)
    def renew(self, owner: str) -> None:
        until = self.now() + timedelta(seconds=5)
        self.both(lambda stores: stores.jobs.renew(owner=owner, lease_until=until))

    @rule(name=names, owner=owners, step=st.integers(1, 9))
    def progress(self, name: JobId, owner: str, step: int) -> None:
        progress = JobProgress(phase=Phase.GENERATING, step=step, total_steps=9)
        self.both(lambda stores: stores.jobs.record_progress(name, owner=owner, progress=progress))

    @rule(name=names, owner=owners, outputs=st.integers(0, 2))
    def complete(self, name: JobId, owner: str, outputs: int) -> None:
        now = self.now()
        made = tuple(media(f"{name}{k}", job_id=name, image_number=k + 1) for k in range(outputs))
        self.both(
            lambda stores: stores.jobs.complete(
                name,
                owner=owner,
                now=now,
                media=made,
                load_seconds=0.5,
                run_seconds=2.0,
                warmth=list(Warmth)[outputs],
                batch_size=outputs + 1,
            )
        )

    @rule(name=names, owner=owners)
    def fail(self, name: JobId, owner: str) -> None:
        now = self.now()
        self.both(lambda stores: stores.jobs.fail(name, owner=owner, now=now, error=WORKER_DIED))

    @rule(name=names, owner=owners)
    def release(self, name: JobId, owner: str) -> None:
        now = self.now()
        self.both(
            lambda stores: stores.jobs.release(name, owner=owner, now=now, max_attempts=2, error=WORKER_DIED)
        )

    @rule(owner=owners, only_expired=st.booleans())
    def recover(self, owner: str, only_expired: bool) -> None:
        now = self.now()
        self.both(
            lambda stores: stores.jobs.recover(
                owner=owner, now=now, max_attempts=2, error=WORKER_DIED, only_expired=only_expired
            )
        )

    @rule()
    def hand_back(self) -> None:
        now = self.now()
        self.both(lambda stores: stores.jobs.hand_back(now=now))

    @rule(name=names)
    def request_cancel(self, name: JobId) -> None:
        now = self.now()
        self.both(lambda stores: stores.jobs.request_cancel(name, now=now))

    @rule(name=names, owner=owners)
    def finish_cancel(self, name: JobId, owner: str) -> None:
        now = self.now()
        self.both(lambda stores: stores.jobs.finish_cancel(name, owner=owner, now=now))

    @rule(name=names, before=st.none() | names)
    def move(self, name: JobId, before: JobId | None) -> None:
        self.both(lambda stores: stores.jobs.move(name, before=before))

    @rule(client=clients)
    def clear(self, client: str | None) -> None:
        now = self.now()
        self.both(lambda stores: stores.jobs.clear(now=now, client=client))

    @rule(name=names)
    def delete(self, name: JobId) -> None:
        self.both(lambda stores: stores.jobs.delete(name))
        if self.memory.jobs.get(name) is None:
            self.statuses.pop(name, None)

    @rule(age=st.integers(0, 9))
    def forget(self, age: int) -> None:
        before = self.now() - timedelta(seconds=age)
        self.both(lambda stores: stores.jobs.forget(ended_before=before, limit=9))
        for name in [name for name in self.statuses if self.memory.jobs.get(name) is None]:
            del self.statuses[name]

    @rule(name=names, retry=st.booleans())
    def tell(self, name: JobId, retry: bool) -> None:
        next_at = self.now() if retry else None
        self.both(lambda stores: stores.webhooks.failed(name, problem="no", next_at=next_at))

    @rule(names=st.sets(st.sampled_from([f"{name}0" for name in NAMES])))
    def prune(self, names: set[str]) -> None:
        self.both(lambda stores: {each.id for each in stores.media.prune(list(map(MediaId, names)))})

    @invariant()
    def alike(self) -> None:
        self.both(lambda stores: stores.jobs.page(limit=99))
        self.both(lambda stores: stores.jobs.waiting(per_model=1))
        self.both(lambda stores: stores.jobs.waiting_counts())
        self.both(lambda stores: stores.jobs.records(latest=1))
        self.both(lambda stores: stores.media.page(MediaQuery(), limit=99))
        self.both(lambda stores: stores.jobs.cancel_requests(owner="me"))
        self.both(lambda stores: stores.media.expendable(after=None, limit=99))
        soon = NOON + timedelta(hours=1)
        self.both(lambda stores: stores.webhooks.due(now=soon, limit=99))
        self.both(lambda stores: stores.jobs.held(owner="me"))
        self.both(lambda stores: stores.jobs.processing_since())

    @invariant()
    def only_legal_transitions(self) -> None:
        for found in self.sql.jobs.page(limit=99).jobs:
            before = self.statuses.get(found.id)
            assert before is found.status or (before, found.status) in LEGAL
            self.statuses[found.id] = found.status

    @invariant()
    def running_order_is_queue_position(self) -> None:
        waiting = self.sql.jobs.waiting(per_model=99)
        found = [self.sql.jobs.get(each.id) for each in waiting]
        ranks = [self.sql.jobs.queue_position(each) for each in found if each is not None]
        assert ranks == list(range(1, len(waiting) + 1))
        assert [each.id for each in self.sql.jobs.head(limit=3)] == [each.id for each in waiting[:3]]
        assert self.sql.jobs.head(limit=99) == self.memory.jobs.head(limit=99)


def answer(stores: Stores, ask: Callable[[Stores], object]) -> object:
    try:
        return ask(stores)
    except StorageError as error:
        return type(error)


def compare(sql: Stores, *, examples: int) -> None:
    run_state_machine_as_test(
        lambda: Twins(sql),
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_stores_cannot_be_told_apart(sql_stores: Stores) -> None:
    compare(sql_stores, examples=10)
