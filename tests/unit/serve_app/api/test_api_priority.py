"""Which jobs go first, and who may say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from in_process import Workshop, now

from storage.jobs import JobError, JobId

PAINT = {"model_id": "paint", "prompt": "x"}
CLIP = {"model_id": "clip", "prompt": "x"}
ANN, ROOT = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "root"))


@pytest.fixture
async def client(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    async with workshop.serving(
        dispatching=False, api_keys="ann-key,bob-key", admin_keys="root-key"
    ) as client:
        yield client


async def submitted(client: httpx.AsyncClient, headers: dict[str, str], priority: int, **body: Any) -> JobId:
    reply = await client.post("/api/generate", json=PAINT | body | {"priority": priority}, headers=headers)
    assert reply.status_code == 200, reply.text
    return JobId(reply.json()["job_id"])


def fail(workshop: Workshop, job_id: JobId) -> None:
    jobs = workshop.stores.jobs
    jobs.claim(job_id, owner="me", now=now(), lease_until=now())
    jobs.fail(job_id, owner="me", now=now(), error=JobError(code="c", message="m"))


async def test_waiting_jobs_of_a_higher_priority_go_first(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    low, plain, high = [await submitted(client, ROOT, priority) for priority in (-1, 0, 1)]
    clip = await client.post("/api/generate_t2v", json=CLIP | {"priority": 2}, headers=ROOT)
    source = workshop.add_media()
    animated = {"source_image_id": source.id, "video_model_id": "animate", "video_prompt": "x"}
    last = await client.post("/api/generate_video", json=animated | {"priority": -2}, headers=ROOT)
    line = [clip.json()["job_id"], high, plain, low, last.json()["job_id"]]
    views = [(await client.get(f"/api/status/{job_id}", headers=ROOT)).json() for job_id in line]
    assert [(view["queue_position"], view["priority"]) for view in views] == [
        *[(1, 2), (2, 1), (3, 0), (4, -1), (5, -2)]
    ]


async def test_only_an_admin_goes_ahead_of_other_clients(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    reply = await client.post("/api/generate", json=PAINT | {"priority": 1}, headers=ANN)
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    assert reply.json()["message"].startswith("A priority above 0 goes ahead of every client's jobs")
    assert sum(workshop.stores.jobs.counts().values()) == 0
    await submitted(client, ANN, -100)
    await submitted(client, ROOT, 100)


async def test_without_keys_everyone_may(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    assert workshop.job(await submitted(idle, {}, 5)).priority == 5


@pytest.mark.parametrize("priority", [-101, 101, 1.5, "1", True, None])
async def test_what_is_no_priority_is_refused(idle: httpx.AsyncClient, priority: Any) -> None:
    reply = await idle.post("/api/generate", json=PAINT | {"priority": priority})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_request")


async def test_a_retry_keeps_the_priority_that_its_client_may_give(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    roots, anns, low = (
        await submitted(client, ROOT, 7),
        await submitted(client, ANN, 0),
        await submitted(client, ANN, -7),
    )
    moved = await client.post(f"/api/jobs/{anns}/move", json={"before": roots}, headers=ROOT)
    assert (moved.status_code, workshop.job(anns).priority) == (200, 7)
    for job_id, headers, priority in [(roots, ROOT, 7), (anns, ANN, 0), (low, ANN, -7)]:
        fail(workshop, job_id)
        again = await client.post(f"/api/jobs/{job_id}/retry", headers=headers)
        assert workshop.job(again.json()["job_id"]).priority == priority
