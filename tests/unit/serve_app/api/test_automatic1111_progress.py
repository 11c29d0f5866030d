"""The progress of the caller's own task in AUTOMATIC1111's API, and stopping it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from in_process import Workshop, until
from PIL import Image

from storage.jobs import JobStatus

ANN, BOB = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob"))
IDLE = {"progress": 0.0, "eta_relative": 0.0, "current_image": None, "current_task": None, "textinfo": None}


@pytest.fixture
def workshop(make_workshop: Any) -> Workshop:
    workshop: Workshop = make_workshop(preview_every=1)
    return workshop


@pytest.fixture
async def client(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    async with workshop.serving(api_keys="ann-key,bob-key") as client:
        client.headers.update(ANN)
        yield client


class Asking:
    """A call of txt2img by Ann that waits for its pictures."""

    def __init__(self, client: httpx.AsyncClient, **body: Any) -> None:
        self._call = asyncio.create_task(client.post("/sdapi/v1/txt2img", json={"prompt": "x"} | body))

    async def answer(self) -> dict[str, Any]:
        reply = await self._call
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer | {"info": json.loads(answer["info"])}

    async def abandon(self) -> None:
        self._call.cancel()
        await asyncio.wait([self._call])


async def running(client: httpx.AsyncClient, workshop: Workshop, *, after_steps: int, **body: Any) -> Asking:
    """A call whose run has come so far, and whose job's row says so."""
    workshop.gate.close(after_steps=after_steps)
    asking = Asking(client, **body)
    await workshop.reached()
    await until(lambda: any(step_of(workshop, job.id) == after_steps for job in jobs(workshop)))
    return asking


def jobs(workshop: Workshop) -> list[Any]:
    return list(reversed(workshop.stores.jobs.page(limit=50).jobs))


def step_of(workshop: Workshop, job_id: str) -> int | None:
    progress = workshop.job(job_id).progress
    return progress.step if progress else None


async def progress(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get("/sdapi/v1/progress", **more)).json()
    return answer


async def test_idle_is_progress_0_and_no_job(client: httpx.AsyncClient) -> None:
    answer = await progress(client)
    state = answer.pop("state")
    assert answer == IDLE
    assert (state["job_count"], state["job_no"], state["job"]) == (0, 0, "")


async def test_progress_is_the_share_of_steps_with_the_preview(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    asking = await running(client, workshop, after_steps=3, steps=10, force_task_id="mine")
    answer = await progress(client)
    state = answer["state"]
    assert (answer["progress"], answer["current_task"]) == (pytest.approx(0.3), "mine")
    assert (state["sampling_step"], state["sampling_steps"], state["job_count"]) == (3, 10, 1)
    assert Image.open(BytesIO(base64.b64decode(answer["current_image"]))).format == "WEBP"
    assert (await progress(client, params={"skip_current_image": True}))["current_image"] is None
    workshop.gate.open()
    await asking.answer()
    assert (await progress(client))["current_task"] is None


async def test_a_waiting_task_is_not_idle(client: httpx.AsyncClient, workshop: Workshop) -> None:
    first = await running(client, workshop, after_steps=0)
    other = Asking(client, force_task_id="other")
    await until(lambda: len(jobs(workshop)) == 2)
    assert (await progress(client))["current_task"] != "other"
    for job in jobs(workshop)[:1]:
        await client.post(f"/api/jobs/{job.id}/cancel")
    workshop.gate.open()
    await asyncio.gather(first.answer(), other.answer())


async def half_done(client: httpx.AsyncClient, workshop: Workshop) -> Asking:
    """A call whose first job has made its pictures, and whose second waits."""
    asking = await running(client, workshop, after_steps=1, steps=1, n_iter=10, seed=1)
    workshop.stores.jobs.set_paused(True)
    workshop.gate.open()
    await workshop.ended(jobs(workshop)[0].id)
    return asking


async def test_progress_counts_the_jobs_of_a_batch(client: httpx.AsyncClient, workshop: Workshop) -> None:
    asking = await half_done(client, workshop)
    answer = await progress(client)
    assert answer["progress"] == 0.5
    assert (answer["state"]["job_count"], answer["state"]["job_no"]) == (2, 1)
    workshop.stores.jobs.set_paused(False)
    await client.post("/sdapi/v1/interrupt")
    await asking.answer()


async def test_another_client_sees_and_stops_nothing(client: httpx.AsyncClient, workshop: Workshop) -> None:
    asking = await running(client, workshop, after_steps=1, steps=4)
    assert (await progress(client, headers=BOB))["state"]["job_count"] == 0
    for path in ("interrupt", "skip"):
        await client.post(f"/sdapi/v1/{path}", headers=BOB)
    workshop.gate.open()
    assert len((await asking.answer())["images"]) == 1


async def test_jobs_of_other_apis_are_no_tasks(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.gate.close()
    job_id = (await client.post("/api/generate", json={"model_id": "paint", "prompt": "x"})).json()["job_id"]
    await workshop.reached()
    assert (await progress(client))["state"]["job_count"] == 0
    await client.post("/sdapi/v1/interrupt")
    workshop.gate.open()
    (job,) = await workshop.ended(job_id)
    assert job.status is JobStatus.COMPLETED


async def test_an_interrupted_call_answers_with_what_is_finished(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    asking = await half_done(client, workshop)
    reply = await client.post("/sdapi/v1/interrupt")
    assert (reply.status_code, reply.json()) == (200, {})
    answer = await asking.answer()
    assert answer["info"]["all_seeds"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(answer["images"]) == len(answer["info"]["infotexts"]) == 8


async def test_skip_stops_the_running_job_only(client: httpx.AsyncClient, workshop: Workshop) -> None:
    asking = await running(client, workshop, after_steps=1, steps=2, n_iter=10, seed=1)
    reply = await client.post("/sdapi/v1/skip")
    assert (reply.status_code, reply.json()) == (200, None)
    workshop.gate.open()
    assert (await asking.answer())["info"]["all_seeds"] == [9, 10]


async def test_who_has_gone_away_can_still_interrupt(client: httpx.AsyncClient, workshop: Workshop) -> None:
    asking = await running(client, workshop, after_steps=1, steps=4)
    await asking.abandon()
    assert (await progress(client))["state"]["job_count"] == 1
    await client.post("/sdapi/v1/interrupt")
    workshop.gate.open()
    (job,) = await workshop.ended(jobs(workshop)[0].id)
    assert job.status is JobStatus.CANCELLED
    assert (await progress(client))["state"]["job_count"] == 0


async def test_who_has_gone_away_finds_the_picture_in_the_gallery(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    asking = await running(client, workshop, after_steps=1, steps=4)
    await asking.abandon()
    workshop.gate.open()
    (job,) = await workshop.ended(jobs(workshop)[0].id)
    gallery = (await client.get("/api/gallery")).json()
    assert [image["id"] for image in gallery["images"]] == [workshop.media(job.id)[0].id]
