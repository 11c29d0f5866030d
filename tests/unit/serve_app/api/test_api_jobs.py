from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from in_process import Workshop, now, until

from deployments.errors import OutOfMemory
from storage.jobs import JobError, JobId, JobStatus


async def ids(client: httpx.AsyncClient, **query: object) -> list[str]:
    reply = await client.get("/api/jobs", params={k: str(v) for k, v in query.items()})
    assert reply.status_code == 200, reply.text
    return [job["id"] for job in reply.json()["jobs"]]


def end(workshop: Workshop, job_id: JobId) -> None:
    """Fail the waiting job."""
    jobs = workshop.stores.jobs
    jobs.claim(job_id, owner="x", now=now(), lease_until=now() + timedelta(minutes=1))
    jobs.fail(job_id, owner="x", now=now(), error=JobError(code="c", message="m"))


async def test_a_waiting_job_tells_its_position_and_why_it_waits(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.add("sketch")
    second = workshop.add()
    view = (await idle.get(f"/api/status/{second}")).json()
    message = "Waiting for sketch to finish"
    assert (view["status"], view["queue_position"], view["message"]) == ("pending", 2, message)
    assert view["waiting"] == {
        "reason": "gpu_busy",
        "message": message,
        "leaving": "sketch",
        "eta_start_seconds": None,
    }
    assert (view["started_at"], view["completed_at"], view["images"], view["attempts"]) == (None, None, [], 0)
    assert view["created_at"].endswith("Z")
    assert view == (await idle.get(f"/api/jobs/{second}")).json()


async def test_a_view_has_every_field_of_the_contract(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    view = (await idle.get(f"/api/status/{workshop.add()}")).json()
    assert view.keys() >= {
        *("id", "status", "type", "model_id", "prompt", "negative_prompt", "settings", "created_at"),
        *("started_at", "completed_at", "message", "error", "queue_position", "eta_seconds", "attempts"),
        *("progress", "image_ids", "images"),
    }
    assert view["progress"].keys() >= {
        *("preparing", "loading_model", "generating", "saving", "completed", "failed"),
        *("step", "total_steps", "percent", "preview_url"),
    }


async def test_a_running_job_tells_its_step(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.gate.close(after_steps=1)
    job_id = workshop.add(num_images=2)
    await client.post("/api/queue/resume")
    await workshop.reached()
    await until(lambda: (progress := workshop.job(job_id).progress) is not None and progress.step is not None)
    view = (await client.get(f"/api/status/{job_id}")).json()
    progress = view["progress"]
    assert (view["status"], progress["generating"], progress["total_steps"]) == ("processing", True, 4)
    assert progress["percent"] in (0.0, 25.0)


async def test_a_failed_job_tells_why_and_what_to_do(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.family.fail_next(OutOfMemory("too big", hint="make it smaller"))
    job_id = workshop.add()
    await client.post("/api/queue/resume")
    await workshop.ended(job_id)
    view = (await client.get(f"/api/status/{job_id}")).json()
    assert (view["status"], view["message"], view["progress"]["failed"]) == ("failed", "too big", True)
    assert view["error"] == {"code": "out_of_memory", "message": "too big", "hint": "make it smaller"}


async def test_an_estimate_is_made_from_earlier_jobs_of_the_model(workshop: Workshop) -> None:
    workshop.record("paint", run_s=20.0, load_s=30.0)
    workshop.record("sketch", run_s=100.0, load_s=30.0)
    workshop.gate.close()
    async with workshop.serving() as client:
        running = workshop.add("paint")
        await client.post("/api/queue/resume")
        await workshop.reached()
        waiting = workshop.add("sketch")
        view = (await client.get(f"/api/status/{running}")).json()
        assert view["eta_seconds"] == pytest.approx(20, abs=2)
        view = (await client.get(f"/api/status/{waiting}")).json()
    assert view["eta_seconds"] == pytest.approx(20 + 30 + 100, abs=2)
    assert view["waiting"]["eta_start_seconds"] == pytest.approx(20, abs=2)
    assert (view["waiting"]["reason"], view["waiting"]["leaving"]) == ("gpu_busy", "paint")
    assert view["message"].startswith("Waiting for paint to finish (about ")


async def test_nothing_is_foretold_without_earlier_jobs(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    view = (await idle.get(f"/api/status/{workshop.add()}")).json()
    assert (view["eta_seconds"], view["waiting"]["eta_start_seconds"]) == (None, None)


@pytest.mark.parametrize("wait", ["", "?wait=5"])
async def test_an_unknown_job_is_not_found(idle: httpx.AsyncClient, wait: str) -> None:
    reply = await idle.get(f"/api/status/nope{wait}")
    assert (reply.status_code, reply.json()["message"]) == (404, "Job not found: nope")


async def test_wait_holds_the_reply_until_the_job_changes(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    job_id = workshop.add()
    reply = asyncio.create_task(idle.get(f"/api/status/{job_id}?wait=20"))
    await asyncio.sleep(0.02)
    assert not reply.done()
    await idle.post(f"/api/jobs/{job_id}/cancel")
    async with asyncio.timeout(5):
        assert (await reply).json()["status"] == "cancelled"


async def test_wait_ends_after_its_time_and_at_once_for_an_ended_job(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    job_id = workshop.add()
    assert (await idle.get(f"/api/status/{job_id}?wait=0.01")).json()["status"] == "pending"
    end(workshop, job_id)
    async with asyncio.timeout(5):
        assert (await idle.get(f"/api/status/{job_id}?wait=60")).json()["status"] == "failed"


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "long"])
async def test_an_impossible_wait_is_refused(idle: httpx.AsyncClient, workshop: Workshop, wait: str) -> None:
    reply = await idle.get(f"/api/status/{workshop.add()}?wait={wait}")
    assert (reply.status_code, reply.json()["message"][:6]) == (400, "wait: ")


async def test_jobs_are_listed_newest_first_in_pages(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    added = [workshop.add() for _ in range(5)]
    first = (await idle.get("/api/jobs?limit=3")).json()
    rest = (await idle.get("/api/jobs", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == added[::-1]
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)


async def test_jobs_are_listed_by_status_and_model(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    failed, waiting, clip = workshop.add(), workshop.add(), workshop.add("clip")
    end(workshop, failed)
    assert await ids(idle, status="failed") == [failed]
    assert await ids(idle, status="pending", model="paint") == [waiting]
    assert await ids(idle, model="clip") == [clip]


@pytest.mark.parametrize("query", ["cursor=nonsense", "limit=0", "limit=201", "status=asleep"])
async def test_an_impossible_list_is_refused(idle: httpx.AsyncClient, query: str) -> None:
    assert (await idle.get(f"/api/jobs?{query}")).status_code == 400


async def test_a_waiting_job_is_cancelled_at_once(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    job_id = workshop.add()
    reply = await idle.post(f"/api/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["message"]) == (200, "Cancelled")
    assert workshop.status(job_id) is JobStatus.CANCELLED


async def test_a_running_job_is_cancelled_at_its_next_step(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close(after_steps=3)
    job_id = workshop.add(num_images=2)
    await client.post("/api/queue/resume")
    await workshop.reached()
    reply = await client.post(f"/api/jobs/{job_id}/cancel")
    assert reply.json()["message"] == "Cancelling: the run ends at its next step"
    await workshop.ended(job_id)
    view = (await client.get(f"/api/status/{job_id}")).json()
    assert (view["status"], view["message"], view["images"]) == ("cancelled", "Cancelled", [])
    assert workshop.media_files() == []


async def test_an_ended_job_cannot_be_cancelled_nor_an_unknown_one(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    job_id = workshop.add()
    end(workshop, job_id)
    reply = await idle.post(f"/api/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["message"]) == (409, "The job has already ended: it is failed")
    assert (await idle.post("/api/jobs/nope/cancel")).status_code == 404


async def test_a_retry_is_a_new_job_with_the_same_settings_and_seed(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    job_id = workshop.add(num_images=2)
    end(workshop, job_id)
    reply = await idle.post(f"/api/jobs/{job_id}/retry")
    again = workshop.job(reply.json()["job_id"])
    assert (reply.status_code, again.status) == (202, JobStatus.PENDING)
    before = workshop.job(job_id)
    assert again.id != job_id
    assert (again.settings, again.seed, again.prompt) == (before.settings, before.seed, before.prompt)


async def test_a_retry_is_refused_for_a_job_that_goes_on_or_can_no_longer_be_made(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    waiting, departed = workshop.add(), workshop.add("departed")
    sourceless = workshop.add("animate", source_image_id="gone")
    for job_id in (departed, sourceless):
        end(workshop, job_id)
    replies = [await idle.post(f"/api/jobs/{name}/retry") for name in ("nope", waiting, departed, sourceless)]
    assert [reply.status_code for reply in replies] == [404, 409, 400, 404]
    assert sum(workshop.stores.jobs.counts().values()) == 3


async def test_a_waiting_job_is_moved_before_another_or_to_the_end(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    first, second, third = (workshop.add() for _ in range(3))
    for body, order in [
        ({"before": first}, [third, first, second]),
        ({"before": None}, [first, second, third]),
    ]:
        assert (await idle.post(f"/api/jobs/{third}/move", json=body)).status_code == 200
        assert [job.id for job in workshop.stores.jobs.waiting(per_model=9)] == order


async def test_only_waiting_jobs_are_moved(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    ended, waiting = workshop.add(), workshop.add()
    end(workshop, ended)
    moves = [(ended, waiting), (waiting, ended), ("nope", waiting), (waiting, "nope")]
    replies = [await idle.post(f"/api/jobs/{job}/move", json={"before": before}) for job, before in moves]
    assert [reply.status_code for reply in replies] == [409, 409, 404, 404]
    missing = await idle.post(f"/api/jobs/{waiting}/move", json={"after": ended})
    assert (missing.status_code, missing.json()["message"]) == (400, "Missing required fields: before")


async def test_an_ended_job_is_deleted_with_its_media(client: httpx.AsyncClient, workshop: Workshop) -> None:
    job_id = workshop.add(num_images=2)
    await client.post("/api/queue/resume")
    await workshop.ended(job_id)
    (first, _) = workshop.media(job_id)
    reply = await client.delete(f"/api/jobs/{job_id}")
    assert reply.json() == {"status": "success", "message": "Job deleted with 2 file(s)"}
    assert workshop.media_files() == []
    assert (await client.get(f"/api/image/{first.id}")).status_code == 404
    assert (await client.delete(f"/api/jobs/{job_id}")).status_code == 404


async def test_a_waiting_job_is_not_deleted(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await idle.delete(f"/api/jobs/{workshop.add()}")
    message = "The job has not ended: it is pending; cancel it first"
    assert (reply.status_code, reply.json()["message"]) == (409, message)
