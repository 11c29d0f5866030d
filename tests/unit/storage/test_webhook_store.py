"""What every store promises of the webhooks, on each of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from job_examples import LATER, NOON, WORKER_DIED, job

from storage.jobs import JobId
from storage.stores import Stores
from storage.webhooks import Webhook

URL = "https://hooks.example/x"
SECOND = timedelta(seconds=1)


def add(stores: Stores, *names: str) -> None:
    for age, name in enumerate(names):
        new = job(name, webhook_url=URL, created_at=NOON + age * SECOND, idempotency_key=name)
        stores.jobs.add(new, max_pending=9)


def end(stores: Stores, *names: str) -> None:
    for name in names:
        stores.jobs.request_cancel(JobId(name), now=LATER)


def due(stores: Stores, **changes: object) -> str:
    found = stores.webhooks.due(**({"now": LATER, "limit": 9} | changes))  # type: ignore[arg-type]
    return "".join(each.job_id for each in found)


def test_a_job_without_an_address_has_none(stores: Stores) -> None:
    stores.jobs.add(job("a"), max_pending=9)
    end(stores, "a")
    assert stores.webhooks.get(JobId("a")) is None
    assert due(stores) == ""


def test_it_is_due_once_its_job_has_ended(stores: Stores) -> None:
    add(stores, "a", "b", "c")
    assert due(stores) == ""
    end(stores, "c", "a")
    assert due(stores) == "ac"
    assert due(stores, limit=1) == "a"
    assert due(stores, now=NOON - SECOND) == ""
    webhook = stores.webhooks.get(JobId("a"))
    assert webhook == Webhook(job_id=JobId("a"), url=URL, attempts=0, next_at=NOON)
    assert webhook.status == "waiting"


def test_every_kind_of_end_is_told(stores: Stores) -> None:
    add(stores, *"abcd")
    for name in "abc":
        stores.jobs.claim(JobId(name), owner="me", now=NOON, lease_until=LATER)
    stores.jobs.complete(JobId("a"), owner="me", now=LATER, media=(), load_seconds=0, run_seconds=0)
    stores.jobs.fail(JobId("b"), owner="me", now=LATER, error=WORKER_DIED)
    stores.jobs.recover(owner="you", now=LATER, max_attempts=1, error=WORKER_DIED)
    stores.jobs.clear(now=LATER)
    assert due(stores) == "abcd"


def test_a_failed_try_is_counted_and_another_due_later(stores: Stores) -> None:
    add(stores, "a")
    end(stores, "a")
    stores.webhooks.failed(JobId("a"), problem="answered 500", next_at=LATER + SECOND)
    assert due(stores) == ""
    assert due(stores, now=LATER + SECOND) == "a"
    failing = stores.webhooks.get(JobId("a"))
    assert failing is not None
    assert (failing.status, failing.attempts, failing.problem) == ("failing", 1, "answered 500")


@pytest.mark.parametrize("delivered", [True, False])
def test_what_is_delivered_or_given_up_is_due_no_more(stores: Stores, delivered: bool) -> None:
    add(stores, "a")
    end(stores, "a")
    stores.webhooks.failed(JobId("a"), problem="answered 500", next_at=LATER)
    if delivered:
        stores.webhooks.delivered(JobId("a"), now=LATER)
    else:
        stores.webhooks.failed(JobId("a"), problem="answered 500", next_at=None)
    settled = stores.webhooks.get(JobId("a"))
    assert settled is not None
    assert settled.attempts == 2
    assert (settled.status, settled.delivered_at, settled.problem) == (
        ("delivered", LATER, None) if delivered else ("failed", None, "answered 500")
    )
    assert due(stores, now=LATER + timedelta(days=9)) == ""


def test_it_goes_with_its_job(stores: Stores) -> None:
    add(stores, "a", "b")
    end(stores, "a", "b")
    stores.jobs.delete(JobId("a"))
    stores.jobs.forget(ended_before=LATER + SECOND, limit=9)
    assert due(stores) == ""
    for name in "ab":
        assert stores.webhooks.get(JobId(name)) is None
        stores.webhooks.delivered(JobId(name), now=LATER)
        stores.webhooks.failed(JobId(name), problem="late", next_at=LATER)
        assert stores.webhooks.get(JobId(name)) is None


def test_of_a_job_that_was_refused_or_repeated_there_is_no_second(stores: Stores) -> None:
    add(stores, "a")
    again = job("b", webhook_url=URL, idempotency_key="a")
    assert stores.jobs.add(again, max_pending=9).id == "a"
    assert stores.webhooks.get(JobId("b")) is None
