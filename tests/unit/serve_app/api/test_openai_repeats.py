"""A submit that an SDK sends again is no second job; two that are equal are two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from in_process import Workshop, now, picture, until
from openai_requests import IMAGES, again, film, paint, refusal
from starlette.types import Message

from serve_app.api.openai import refused
from serve_app.api.openai.refused import Refused
from storage import open_stores
from storage.jobs import Job, JobStatus

both_stores = pytest.mark.parametrize("stores", ["memory", "sqlite"], indirect=True)
KEYS = {"api_keys": "ann-key,bob-key"}
ANN, BOB = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob"))


def total(workshop: Workshop) -> int:
    return sum(workshop.stores.jobs.counts().values())


def seed_in(reply: httpx.Response) -> int:
    assert reply.status_code == 200, reply.text
    return int(reply.json()["data"][0]["seed"])


@both_stores
async def test_a_picture_whose_reply_got_lost_comes_again(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    first = await paint(client, headers=again(0))
    second = await paint(client, headers=again(1))
    assert first.json()["data"] == second.json()["data"]
    assert total(workshop) == 1


@both_stores
async def test_two_equal_requests_are_two_jobs(client: httpx.AsyncClient, workshop: Workshop) -> None:
    replies = await asyncio.gather(*(paint(client, headers=again(0)) for _ in range(4)), paint(client))
    assert len({seed_in(reply) for reply in replies}) == 5
    assert total(workshop) == 5


@both_stores
async def test_many_that_come_again_at_once_are_one_job(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    replies = await asyncio.gather(*(paint(client, headers=again(1)) for _ in range(10)))
    assert len({seed_in(reply) for reply in replies}) == 1
    assert total(workshop) == 1


async def test_one_that_comes_again_while_the_first_is_at_work_waits_for_it(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close()
    first = asyncio.create_task(paint(client, headers=again(0)))
    await workshop.reached()
    others = [asyncio.create_task(paint(client, headers=again(count))) for count in (1, 2)]
    await asyncio.sleep(0.05)
    workshop.gate.open()
    assert len({seed_in(await reply) for reply in (first, *others)}) == 1
    assert total(workshop) == 1


async def test_two_equal_requests_that_both_come_again_get_a_job_each(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    first = {seed_in(await paint(client, headers=again(0))) for _ in range(2)}
    second = {
        seed_in(reply) for reply in await asyncio.gather(*(paint(client, headers=again(1)) for _ in "ab"))
    }
    assert first == second
    assert total(workshop) == 2


async def gone_after_submit(client: httpx.AsyncClient, workshop: Workshop) -> Any:
    """A client that hangs up as soon as its request has become a job."""
    app = client._transport.app  # type: ignore[attr-defined]
    body = b'{"prompt": "a fox"}'
    sent: list[Message] = []
    left = asyncio.Event()
    requests: list[Message] = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {"content-length": str(len(body)), "host": "cyberimage", "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": IMAGES,
        "raw_path": IMAGES.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "http_version": "1.1",
        "client": ("127.0.0.1", 123),
        "server": ("cyberimage", 80),
        "headers": [(name.encode(), value.encode()) for name, value in (headers | again(0)).items()],
    }
    running = asyncio.create_task(app(scope, receive, send))
    await until(lambda: total(workshop) == 1)
    left.set()
    await asyncio.wait_for(running, 5)
    return sent[0]["status"]


async def test_a_client_that_goes_away_is_not_waited_for_and_its_job_runs_on(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close()
    assert await gone_after_submit(client, workshop) == 499
    (job,) = workshop.stores.jobs.page(limit=9).jobs
    workshop.gate.open()
    await workshop.ended(job.id)
    assert workshop.status(job.id) is JobStatus.COMPLETED
    assert seed_in(await paint(client, headers=again(1))) == job.seed
    assert total(workshop) == 1


async def test_it_is_known_over_a_restart(make_workshop: Callable[..., Workshop], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kept.sqlite3'}"
    ids = []
    for count in (0, 1, 2, 0):
        with open_stores(url) as stores:
            workshop = make_workshop()
            workshop.stores = stores
            async with workshop.serving(dispatching=False) as client:
                ids.append((await film(client, headers=again(count))).json()["id"])
    assert ids[0] == ids[1] == ids[2] != ids[3]


async def test_a_picture_to_animate_is_kept_once(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    replies = [await film(idle, picture=picture(8, 8), headers=again(count)) for count in (0, 1, 2)]
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert len(workshop.media_files()) == 1
    other = await film(idle, picture=picture(9, 9), headers=again(1))
    assert other.json()["id"] != replies[0].json()["id"]


async def test_the_jobs_of_one_request_come_again_together(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    replies = [await paint(client, model="sketch", n=10, headers=again(count)) for count in (0, 1)]
    assert replies[0].json()["data"] == replies[1].json()["data"]
    assert total(workshop) == 3


async def test_a_key_works_too_and_wins(client: httpx.AsyncClient, workshop: Workshop) -> None:
    once = {"Idempotency-Key": "once"}
    replies = [
        await paint(client, model="sketch", n=5, headers=once),
        await paint(client, model="sketch", n=5, headers=once | again(0)),
        await paint(client, model="sketch", n=5, headers=once | again(1)),
    ]
    assert len({seed_in(reply) for reply in replies}) == 1
    assert total(workshop) == 2
    other = await paint(client, "a dog", headers=once)
    assert refusal(other) == (409, "conflict", None)
    assert other.headers["x-should-retry"] == "false"
    assert seed_in(await paint(client, model="sketch", n=5, headers=again(1))) != seed_in(replies[0])


async def test_a_key_of_an_animation_keeps_one_picture(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    once = {"Idempotency-Key": "once"}
    ids = {(await film(idle, picture=picture(8, 8), headers=once)).json()["id"] for _ in range(2)}
    assert (len(ids), len(workshop.media_files())) == (1, 1)


async def test_another_client_another_request_and_long_ago_are_another_job(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, **KEYS) as client:
        first = (await film(client, headers=ANN | again(0))).json()["id"]
        for headers, prompt in [(BOB, "a fox runs"), (ANN, "a dog runs")]:
            assert (await film(client, prompt, headers=headers | again(1))).json()["id"] != first
        assert (await film(client, headers=ANN | again(1))).json()["id"] == first


@pytest.mark.parametrize(
    ("age_s", "count", "patience_s", "same"),
    [
        (700, 1, 600, True),
        (800, 1, 600, False),
        (800, 2, 600, True),
        (800, 1, 700, True),
        (200, 1, 10, False),
    ],
)
async def test_a_job_that_is_older_than_all_tries_together_is_another(
    idle: httpx.AsyncClient, workshop: Workshop, age_s: float, count: int, patience_s: float, same: bool
) -> None:
    change(idle, clock=lambda: now() - timedelta(seconds=age_s))
    first = (await film(idle, headers=again(0))).json()["id"]
    change(idle, clock=now)
    second = (await film(idle, headers=again(count, patience_s))).json()["id"]
    assert (first == second) is same


async def test_node_says_its_patience_by_another_name(idle: httpx.AsyncClient) -> None:
    change(idle, clock=lambda: now() - timedelta(seconds=1800))
    first = (await film(idle, headers=again(0))).json()["id"]
    change(idle, clock=now)
    headers = {"x-stainless-retry-count": "1", "x-stainless-timeout": "1800"}
    assert (await film(idle, headers=headers)).json()["id"] == first


def change(client: httpx.AsyncClient, **parts: Any) -> None:
    """Give the application other services from now on."""
    state = client._transport.app.state  # type: ignore[attr-defined]
    state.services = replace(state.services, **parts)


@pytest.mark.parametrize("value", ["", "-1", "x", "1.5", "9999", "²"])
async def test_a_count_that_is_none_counts_as_the_first(idle: httpx.AsyncClient, value: str) -> None:
    headers = {"x-stainless-retry-count": value.encode("utf-8"), "x-stainless-read-timeout": b"soon"}
    ids = {(await film(idle, headers=headers)).json()["id"] for _ in range(2)}  # type: ignore[arg-type]
    assert len(ids) == 2


# -- refused before


async def test_one_that_was_refused_is_no_earlier_one(workshop: Workshop) -> None:
    async with workshop.serving(max_pending=1) as client:
        first = seed_in(await paint(client, headers=again(0)))
        await client.post("/api/queue/pause")
        waiting = workshop.add()
        assert [(await paint(client, headers=again(count))).status_code for count in (0, 1)] == [429, 429]
        await client.post(f"/api/jobs/{waiting}/cancel")
        await client.post("/api/queue/resume")
        assert seed_in(await paint(client, headers=again(2))) != first


async def test_one_that_the_gate_refused_is_no_earlier_one(workshop: Workshop) -> None:
    async with workshop.serving(requests_per_minute=600, **KEYS) as client:
        first = seed_in(await paint(client, headers=ANN | again(0)))
        await use_up(client)
        assert (await paint(client, headers=ANN | again(0))).status_code == 429
        await asyncio.sleep(0.2)
        assert seed_in(await paint(client, headers=ANN | again(1))) != first


async def test_one_that_was_accepted_and_then_refused_is_still_the_first(workshop: Workshop) -> None:
    async with workshop.serving(requests_per_minute=600, **KEYS) as client:
        first = seed_in(await paint(client, headers=ANN | again(0)))
        await use_up(client)
        assert (await paint(client, headers=ANN | again(1))).status_code == 429
        await asyncio.sleep(0.2)
        assert seed_in(await paint(client, headers=ANN | again(2))) == first


async def use_up(client: httpx.AsyncClient) -> None:
    """Ask as much as one may for now."""
    while (await client.get("/v1/models", headers=ANN)).status_code == 200:
        pass


def test_refusals_are_taken_once_by_whatever_process_and_forgotten_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 200.0]).__next__
    monkeypatch.setattr(refused.time, "time", clock)
    here, there = Refused(tmp_path / "refused"), Refused(tmp_path / "refused")
    for each in (here, there):
        each.note((b"a", 0))
    assert [each.take((b"a", 0)) for each in (there, there, here)] == [True, True, False]
    here.note((b"a", 0))
    assert there.take((b"a", 0)) is False


def test_the_number_of_refusals_remembered_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused, "MOST", 3)
    known = Refused(tmp_path / "refused")
    for number in range(50):
        known.note((b"%d" % number, 0))
    assert [number for number in range(50) if known.take((b"%d" % number, 0))] == [47, 48, 49]


def test_where_refusals_cannot_be_kept_nothing_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = Refused(tmp_path)
    known.note((b"a", 0))
    assert known.take((b"a", 0)) is False
    assert "a refusal is not remembered" in caplog.text


async def test_a_client_that_goes_away_early_leaves_its_job_the_picture(
    idle: httpx.AsyncClient, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    real = workshop.stores.jobs.add

    def slow(job: Job, **limits: Any) -> Job:
        entered.set()
        go_on.wait(10)
        return real(job, **limits)

    monkeypatch.setattr(workshop.stores.jobs, "add", slow)
    asking = asyncio.create_task(film(idle, picture=picture(8, 8), headers=again(0)))
    await until(entered.is_set)
    asking.cancel()
    await asyncio.wait([asking])
    go_on.set()
    await until(lambda: total(workshop) == 1)
    await asyncio.sleep(0.05)
    (job,) = workshop.stores.jobs.page(limit=1).jobs
    assert workshop.stores.media.get(job.settings["source_image_id"]) is not None
    assert len(workshop.media_files()) == 1
