"""One client cannot take everything."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from in_process import Workshop

from serve_app.api import gate, rates
from serve_app.api.rates import Rates
from storage.errors import DatabaseDamaged, DatabaseUnavailable, DiskFull

PAINT = {"model_id": "paint", "prompt": "x"}
KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
ANN, BOB, ROOT = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob", "root"))


MakeRates = Callable[..., Rates]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        gate, "Rates", lambda per_minute, _: Rates(per_minute, tmp_path / "rates", clock=clock)
    )
    return clock


@pytest.fixture
def bucket_of(tmp_path: Path) -> Iterator[MakeRates]:
    with ExitStack() as stack:

        def make(per_minute: int, clock: Clock) -> Rates:
            return stack.enter_context(closing(Rates(per_minute, tmp_path / "rates", clock=clock)))

        yield make


def test_a_bucket_is_full_at_first_and_fills_again_evenly(bucket_of: MakeRates) -> None:
    clock = Clock()
    bucket = bucket_of(6, clock)
    assert [bucket.spend("ann") for _ in range(7)] == [0, 0, 0, 0, 0, 0, pytest.approx(10)]
    assert bucket.spend("bob") == 0
    clock.now += 9
    assert bucket.spend("ann") == pytest.approx(1)
    clock.now += 1
    assert bucket.spend("ann") == 0
    assert bucket.spend("ann") == pytest.approx(10)
    clock.now += 3600
    assert [bucket.spend("ann") > 0 for _ in range(7)] == [False] * 6 + [True]


def test_asking_too_often_does_not_put_off_the_next_turn(bucket_of: MakeRates) -> None:
    clock = Clock()
    bucket = bucket_of(1, clock)
    bucket.spend("ann")
    for _ in range(59):
        clock.now += 1
        assert bucket.spend("ann") > 0
    clock.now += 1.001
    assert bucket.spend("ann") == 0


def test_addresses_of_one_ipv6_network_are_one_client(bucket_of: MakeRates) -> None:
    bucket = bucket_of(1, Clock())
    assert bucket.spend("2001:db8::1") == 0
    assert bucket.spend("2001:db8::ffff:2") > 0
    assert bucket.spend("2001:db8:0:1::1") == 0
    assert bucket.spend("::ffff:10.0.0.1") == 0
    assert bucket.spend("10.0.0.1") > 0
    assert bucket.spend("10.0.0.2") == 0


def test_the_processes_of_a_server_count_together(bucket_of: MakeRates) -> None:
    clock = Clock()
    here, there = bucket_of(4, clock), bucket_of(4, clock)
    assert [each.spend("ann") for each in (here, there, there, here)] == [0, 0, 0, 0]
    assert here.spend("ann") == there.spend("ann") == pytest.approx(15)


def test_those_that_spend_at_once_spend_no_token_twice(bucket_of: MakeRates) -> None:
    buckets = [bucket_of(100, Clock()) for _ in range(4)]
    with ThreadPoolExecutor(len(buckets)) as pool:
        spent = pool.map(lambda bucket: sum(bucket.spend("ann") == 0 for _ in range(50)), buckets)
    assert sum(spent) == 100


def test_after_the_machines_restart_a_bucket_is_full(bucket_of: MakeRates) -> None:
    clock = Clock()
    bucket_of(1, clock).spend("ann")
    clock.now = 5.0
    assert [bucket_of(1, clock).spend("ann") > 0 for _ in range(2)] == [False, True]


def test_the_number_of_clients_remembered_is_bounded(
    monkeypatch: pytest.MonkeyPatch, bucket_of: MakeRates, tmp_path: Path
) -> None:
    monkeypatch.setattr(rates, "PLACES", 1)
    clock = Clock()
    bucket = bucket_of(1, clock)
    for number in range(50):
        clock.now += 0.1
        assert bucket.spend(f"10.0.0.{number}") == 0
    assert (tmp_path / "rates").stat().st_size == rates.NEIGHBOURS * 24
    assert [bucket.spend(f"10.0.0.{number}") > 0 for number in (42, 49, 0)] == [True, True, False]


def test_while_the_disk_is_full_nobody_is_held_back(
    monkeypatch: pytest.MonkeyPatch, bucket_of: MakeRates
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    bucket = bucket_of(1, Clock())
    monkeypatch.setattr(os, "pwrite", full)
    assert [bucket.spend("ann") for _ in range(2)] == [0, 0]


async def test_a_client_that_asks_too_often_is_told_when_to_come_back(
    workshop: Workshop, clock: Clock
) -> None:
    async with workshop.serving(dispatching=False, requests_per_minute=3, **KEYS) as client:
        for _ in range(3):
            assert (await client.get("/api/queue", headers=ANN)).status_code == 200
        reply = await client.get("/api/queue", headers=ANN)
        assert (reply.status_code, reply.json()["code"]) == (429, "rate_limited")
        assert reply.headers["retry-after"] == "20"
        assert (await client.get("/api/queue", headers=BOB)).status_code == 200
        for _ in range(9):
            assert (await client.get("/api/queue", headers=ROOT)).status_code == 200
            assert (await client.get("/health", headers=ANN)).status_code == 200
        clock.now += 20
        assert (await client.get("/api/queue", headers=ANN)).status_code == 200


async def test_guessing_keys_is_slowed_down(workshop: Workshop, clock: Clock) -> None:
    async with workshop.serving(dispatching=False, requests_per_minute=2, **KEYS) as client:
        guesses = [
            (await client.get("/api/queue", headers={"Authorization": f"Bearer {number}"})).status_code
            for number in range(4)
        ]
        assert guesses == [401, 401, 429, 429]
        assert (await client.get("/api/queue", headers=ANN)).status_code == 200


async def test_without_keys_an_address_is_a_client(workshop: Workshop, clock: Clock) -> None:
    async with workshop.serving(dispatching=False, requests_per_minute=1) as client:
        replies = [await client.get("/api/queue") for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 429]


async def submit(client: httpx.AsyncClient, headers: dict[str, str], outputs: int = 1) -> httpx.Response:
    body = PAINT | {"settings": {"num_images": outputs}}
    return await client.post("/api/generate", json=body, headers=headers)


async def test_a_client_has_only_so_many_jobs_waiting(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_pending_per_client=2, **KEYS) as client:
        assert [(await submit(client, ANN)).status_code for _ in range(3)] == [200, 200, 429]
        refusal = await submit(client, ANN)
        assert refusal.json()["message"].startswith("As many of your jobs are waiting")
        assert refusal.headers["retry-after"] == "30"
        assert (await submit(client, BOB)).status_code == 200
        assert {(await submit(client, ROOT)).status_code for _ in range(4)} == {200}


async def test_a_client_gets_only_so_many_outputs_a_day(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_outputs_per_day=4, **KEYS) as client:
        assert [(await submit(client, ANN, 3)).status_code for _ in range(2)] == [200, 429]
        refusal = await submit(client, ANN, 2)
        assert "you have 1 left today" in refusal.json()["message"]
        assert 0 < int(refusal.headers["retry-after"]) <= 24 * 3600
        assert (await submit(client, ANN, 1)).status_code == 200
        assert (await submit(client, BOB, 4)).status_code == 200
        assert (await submit(client, ROOT, 8)).status_code == 200


async def test_a_submit_that_is_sent_again_costs_nothing_more(workshop: Workshop) -> None:
    limits = {"max_outputs_per_day": 1, "max_pending_per_client": 1}
    async with workshop.serving(dispatching=False, **limits, **KEYS) as client:
        headers = ANN | {"Idempotency-Key": "once"}
        replies = [await submit(client, headers) for _ in range(3)]
    assert len({reply.json()["job_id"] for reply in replies}) == 1


@pytest.mark.parametrize(
    ("error", "status", "code", "when"),
    [
        (DatabaseUnavailable(), 503, "service_unavailable", "5"),
        (DatabaseDamaged(), 503, "database_damaged", None),
        (DiskFull(), 507, "insufficient_storage", None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_trouble_with_the_storage_says_what_it_is_and_when_to_come_back(
    workshop: Workshop, error: Exception, status: int, code: str, when: str | None
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    workshop.stores.jobs.add = fail  # type: ignore[method-assign, assignment]
    async with workshop.serving(dispatching=False) as client:
        reply = await client.post("/api/generate", json={"model_id": "paint", "prompt": "a red fox"})
    assert (reply.status_code, reply.json()["code"], reply.headers.get("retry-after")) == (status, code, when)
