"""A submit that is sent again makes no second job: not at the same moment, and not after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from in_process import Workshop, picture

from storage import open_stores

PAINT = {"model_id": "paint", "prompt": "a red fox"}
both_stores = pytest.mark.parametrize("stores", ["memory", "sqlite"], indirect=True)


async def send(
    client: httpx.AsyncClient, key: str, prompt: str = "a red fox", **headers: str
) -> httpx.Response:
    body = PAINT | {"prompt": prompt}
    return await client.post("/api/generate", json=body, headers={"Idempotency-Key": key} | headers)


@both_stores
async def test_many_at_once_make_one_job(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    replies = await asyncio.gather(*(send(idle, "once") for _ in range(20)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["job_id"] for reply in replies}) == 1
    assert sum(workshop.stores.jobs.counts().values()) == 1


@both_stores
async def test_of_different_requests_at_once_one_wins_and_the_others_are_told(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    replies = await asyncio.gather(*(send(idle, "once", f"fox {number % 4}") for number in range(20)))
    won = [reply for reply in replies if reply.status_code == 200]
    assert {reply.status_code for reply in replies} == {200, 409}
    assert len(won) == 5
    assert len({reply.json()["job_id"] for reply in won}) == 1
    assert sum(workshop.stores.jobs.counts().values()) == 1


@both_stores
async def test_two_clients_may_use_the_same_key_at_once(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, api_keys="ann,bob") as client:
        replies = await asyncio.gather(
            *(send(client, "once", Authorization=f"Bearer {name}") for name in ("ann", "bob") * 5)
        )
    assert len({reply.json()["job_id"] for reply in replies}) == 2


async def test_a_key_is_remembered_over_a_restart(
    make_workshop: Callable[..., Workshop], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'kept.sqlite3'}"
    jobs = []
    for prompt, status in [("a red fox", 200), ("a red fox", 200), ("a dog", 409)]:
        with open_stores(url) as stores:
            workshop = make_workshop()
            workshop.stores = stores
            async with workshop.serving(dispatching=False) as client:
                reply = await send(client, "once", prompt)
        assert reply.status_code == status
        jobs.append(reply.json().get("job_id"))
    assert jobs[0] == jobs[1]


async def test_a_request_that_says_the_same_in_other_words_is_the_same(idle: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once", "Content-Type": "application/json"}
    bodies = [
        b'{"model_id": "paint", "prompt": "\\u00e9", "settings": {"width": 64, "seed": null}}',
        '{ "settings": {"width": 64.0}, "prompt": "\u00e9", "model_id": "paint", "extra": 1 }'.encode(),
    ]
    replies = [await idle.post("/api/generate", content=body, headers=headers) for body in bodies]
    assert replies[0].json()["job_id"] == replies[1].json()["job_id"]


async def test_an_animation_and_a_retry_take_a_key_too(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    source = (await idle.post("/api/upload", files={"file": ("p", picture(8, 8))})).json()["id"]
    body = {"source_image_id": source, "video_model_id": "animate", "video_prompt": "it runs"}
    headers = {"Idempotency-Key": "once"}
    films = [await idle.post("/api/generate_video", json=body, headers=headers) for _ in range(2)]
    assert films[0].json()["job_id"] == films[1].json()["job_id"]

    job_id = films[0].json()["job_id"]
    await idle.post(f"/api/jobs/{job_id}/cancel")
    again = {"Idempotency-Key": "again"}
    retries = [await idle.post(f"/api/jobs/{job_id}/retry", headers=again) for _ in range(2)]
    assert retries[0].json()["job_id"] == retries[1].json()["job_id"] != job_id


async def test_a_refused_request_leaves_its_key_free(idle: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    bad = await idle.post("/api/generate", json=PAINT | {"settings": {"width": 1}}, headers=headers)
    assert bad.status_code == 400
    assert (await send(idle, "once")).status_code == 200


@both_stores
async def test_the_key_of_a_deleted_job_makes_no_second_one(idle: httpx.AsyncClient) -> None:
    job_id = (await send(idle, "once")).json()["job_id"]
    await idle.post(f"/api/jobs/{job_id}/cancel")
    assert (await idle.delete(f"/api/jobs/{job_id}")).status_code == 200
    late, other = await send(idle, "once"), await send(idle, "once", "a dog")
    assert (late.status_code, late.json()["code"]) == (410, "job_deleted")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert (await idle.get("/api/queue")).json()["total"] == 0
    assert (await send(idle, "twice")).status_code == 200
