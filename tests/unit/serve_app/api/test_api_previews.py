"""A running job shows what it is going to make, to those who may see it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from in_process import Workshop, until

from deployments.errors import ProcessDied

KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}


@pytest.fixture
def workshop(make_workshop: Any) -> Workshop:
    workshop: Workshop = make_workshop(preview_every=1)
    return workshop


async def running(client: httpx.AsyncClient, workshop: Workshop, *, after_steps: int, **changes: Any) -> str:
    """A job whose run has come so far, and whose row says so."""
    workshop.gate.close(after_steps=after_steps)
    job_id = workshop.add(num_inference_steps=10, **changes)
    await client.post("/api/queue/resume")
    await workshop.reached()
    await until(
        lambda: (progress := workshop.job(job_id).progress) is not None and progress.step == after_steps
    )
    return job_id


async def progress_of(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    progress: dict[str, Any] = (await client.get(f"/api/jobs/{job_id}")).json()["progress"]
    return progress


async def test_a_running_job_shows_its_latest_preview(client: httpx.AsyncClient, workshop: Workshop) -> None:
    job_id = await running(client, workshop, after_steps=3)
    progress = await progress_of(client, job_id)
    assert progress["preview"] == 3
    shown = await client.get(progress["preview_url"])
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    assert shown.headers["cache-control"] == "no-store"
    assert (shown.content[:4], shown.content[8:12]) == (b"RIFF", b"WEBP")


async def test_before_the_first_there_is_none(client: httpx.AsyncClient, workshop: Workshop) -> None:
    job_id = await running(client, workshop, after_steps=0)
    progress = await progress_of(client, job_id)
    assert (progress["preview"], progress["preview_url"]) == (None, None)
    reply = await client.get(f"/api/jobs/{job_id}/preview")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_a_job_that_waits_or_has_ended_shows_none(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    job_id = await running(client, workshop, after_steps=3)
    waiting = workshop.add()
    assert (await client.get(f"/api/jobs/{waiting}/preview")).status_code == 404
    workshop.gate.open()
    await workshop.ended(job_id)
    assert (await progress_of(client, job_id))["preview_url"] is None
    assert (await client.get(f"/api/jobs/{job_id}/preview")).status_code == 404


async def test_a_run_that_begins_again_shows_nothing_of_the_one_before(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.family.fail_next(ProcessDied("gone"), after_steps=2)
    job_id = await running(client, workshop, after_steps=1)
    assert (await progress_of(client, job_id))["preview"] == 1
    workshop.gate.open()
    workshop.gate.close(after_steps=0)
    await workshop.reached()
    assert workshop.job(job_id).attempts == 2
    assert (await progress_of(client, job_id))["preview"] is None
    assert (await client.get(f"/api/jobs/{job_id}/preview")).status_code == 404


async def test_anothers_preview_is_not_to_be_found(workshop: Workshop) -> None:
    async with workshop.serving(**KEYS) as client:

        def as_(name: str) -> dict[str, str]:
            return {"Authorization": f"Bearer {name}-key"}

        workshop.gate.close(after_steps=2)
        body = {"model_id": "paint", "prompt": "p", "settings": {"num_inference_steps": 10}}
        job_id = (await client.post("/api/generate", json=body, headers=as_("ann"))).json()["job_id"]
        await workshop.reached()
        statuses = {
            name: (await client.get(f"/api/jobs/{job_id}/preview", headers=as_(name))).status_code
            for name in ("ann", "bob", "root")
        }
        assert statuses == {"ann": 200, "bob": 404, "root": 200}


async def test_a_job_that_is_not_there_has_none(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/jobs/nothing/preview")).status_code == 404
