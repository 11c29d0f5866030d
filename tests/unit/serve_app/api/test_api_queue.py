from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from in_process import DASHBOARD, Workshop, now, spec
from prometheus_client.parser import text_string_to_metric_families

from configs.models import IntRange
from deployments.contract import GenerationRequest, JobEvent, MemoryUse
from deployments.errors import OutOfMemory
from serve_app.api import models as models_module
from storage.errors import DatabaseUnavailable
from storage.jobs import JobStatus


async def test_an_empty_queue_counts_zeros(idle: httpx.AsyncClient) -> None:
    zeros = dict.fromkeys(["pending", "processing", "completed", "failed", "cancelled", "total"], 0)
    assert (await idle.get("/api/queue")).json() == zeros | {"queue_size": 0, "paused": False}


async def test_the_queue_counts_by_status(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.gate.close()
    jobs = [workshop.add() for _ in range(3)]
    await client.post("/api/queue/resume")
    await workshop.reached()
    await client.post(f"/api/jobs/{jobs[2]}/cancel")
    queue = (await client.get("/api/queue")).json()
    assert (queue["processing"], queue["pending"], queue["cancelled"]) == (1, 1, 1)
    assert (queue["total"], queue["queue_size"]) == (3, 1)


async def test_the_detailed_queue_tells_of_models_deployments_and_gpus(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.families["SD35"].fail_next(OutOfMemory())
    fine, failing = workshop.add("paint"), workshop.add("sketch")
    await client.post("/api/queue/resume")
    await workshop.ended(fine, failing)
    queue = (await client.get("/api/queue?detailed=true")).json()
    assert (queue["recent_24h"]["completed"], queue["recent_24h"]["total"]) == (1, 2)
    assert queue["failure_rate"] == 50.0
    assert queue["avg_processing_time_seconds"] >= 0
    assert queue["models"]["paint"]["completed"] == 1
    assert queue["models"]["sketch"]["failed"] == 1
    assert queue["gpus"].keys() == {"total", "used"}
    assert queue["dashboard_url"] == DASHBOARD
    assert queue["deployments"].keys() == {"Flux", "SD35", "WanT2V", "LTXT2V", "I2V"}
    flux = queue["deployments"]["Flux"]
    assert flux.keys() >= {"replicas", "state", "loaded_model", "idle_seconds"}


async def test_a_deployment_shows_the_memory_that_its_process_holds(
    client: httpx.AsyncClient, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    flux = workshop.families["Flux"]
    made = flux.generate

    async def generate(requests: tuple[GenerationRequest, ...]) -> AsyncIterator[JobEvent]:
        use = MemoryUse(gpu=True, used=20_400_000_000, total=25_300_000_000)
        yield JobEvent(job_id=requests[0].job_id, event=use)
        async for event in made(requests):
            yield event

    monkeypatch.setattr(flux, "generate", generate)
    monkeypatch.setattr("serve_app.fleet.CLUSTER_TTL_S", 0)
    painted = workshop.add("paint")
    await client.post("/api/queue/resume")
    await workshop.ended(painted)
    deployments = (await client.get("/api/queue?detailed=true")).json()["deployments"]
    assert deployments["Flux"]["memory"] == {"kind": "gpu", "used_gb": 20.4, "total_gb": 25.3}
    assert deployments["SD35"]["memory"] is None


async def test_only_an_admin_is_told_where_rays_dashboard_is(workshop: Workshop) -> None:
    keys = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
    async with workshop.serving(dispatching=False, **keys) as client:
        for key, url in (("root-key", DASHBOARD), ("ann-key", None)):
            headers = {"Authorization": f"Bearer {key}"}
            queue = (await client.get("/api/queue?detailed=true", headers=headers)).json()
            assert queue["dashboard_url"] == url


async def test_the_detailed_queue_tells_why_each_job_waits(workshop: Workshop) -> None:
    for model in ("paint", "sketch"):
        workshop.record(model, run_s=10.0, load_s=5.0)
    workshop.gate.close()
    async with workshop.serving() as client:
        workshop.add("paint")
        await client.post("/api/queue/resume")
        await workshop.reached()
        first, second = workshop.add("sketch"), workshop.add("sketch", width=128)
        waiting = (await client.get("/api/queue?detailed=true")).json()["waiting"]
    assert [(job["id"], job["model_id"], job["position"]) for job in waiting] == [
        (first, "sketch", 1),
        (second, "sketch", 2),
    ]
    assert [(job["reason"], job["leaving"]) for job in waiting] == [
        ("gpu_busy", "paint"),
        ("in_line", "paint"),
    ]
    assert [round(job["eta_start_seconds"]) for job in waiting] == [10, 25]
    assert [round(job["eta_seconds"]) for job in waiting] == [25, 45]


async def test_a_paused_queue_says_so_of_each_waiting_job(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.add()
    await idle.post("/api/queue/pause")
    (job,) = (await idle.get("/api/queue?detailed=true")).json()["waiting"]
    assert (job["reason"], job["message"], job["eta_seconds"]) == ("paused", "The queue is paused", None)


async def test_the_detailed_queue_tells_of_a_hundred_waiting_jobs_at_most(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    for _ in range(101):
        workshop.add()
    waiting = (await idle.get("/api/queue?detailed=true")).json()["waiting"]
    assert [job["position"] for job in waiting] == list(range(1, 101))


async def test_a_paused_queue_starts_nothing_until_resumed(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    assert (await client.post("/api/queue/pause")).json()["paused"] is True
    job_id = workshop.add()
    assert (await client.get("/api/queue")).json()["paused"] is True
    assert workshop.status(job_id) is JobStatus.PENDING
    assert (await client.post("/api/queue/resume")).json()["paused"] is False
    await workshop.ended(job_id)


async def test_clearing_cancels_what_waits(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    jobs = [workshop.add() for _ in range(2)]
    reply = (await idle.post("/api/queue/clear")).json()
    assert (reply["cleared"], reply["message"]) == (2, "Cancelled 2 waiting job(s)")
    assert [workshop.status(job_id) for job_id in jobs] == [JobStatus.CANCELLED] * 2


async def test_clearing_and_resetting_tell_of_each_job(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    waiting, gone, doomed = (workshop.add() for _ in range(3))
    for job_id in (gone, doomed):
        workshop.stores.jobs.claim(job_id, owner="other", now=now(), lease_until=now())
    workshop.stores.jobs.request_cancel(doomed, now=now())
    with workshop.news.subscribe() as subscription:
        await idle.post("/api/queue/clear")
        assert await subscription.next() == {waiting: JobStatus.CANCELLED}
        await idle.post("/api/reset_queue")
        assert await subscription.next() == {gone: JobStatus.PENDING, doomed: JobStatus.CANCELLED}


async def test_resetting_takes_back_jobs_whose_worker_is_gone_and_no_live_one(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    gone, alive = workshop.add(), workshop.add()
    for job_id, seconds in [(gone, -1), (alive, 60)]:
        until = now() + timedelta(seconds=seconds)
        workshop.stores.jobs.claim(job_id, owner="other", now=now(), lease_until=until)
    reply = (await idle.post("/api/reset_queue")).json()
    message = "Reset 1 stalled jobs to pending status"
    assert reply == {"status": "success", "reset_count": 1, "message": message}
    assert workshop.status(gone) is JobStatus.PENDING
    assert workshop.status(alive) is JobStatus.PROCESSING


# -- models


async def test_models_come_with_their_limits(idle: httpx.AsyncClient) -> None:
    body = (await idle.get("/api/models")).json()
    assert (body["default"], list(body["models"])) == (
        "paint",
        ["paint", "sketch", "clip", "animate", "switched-off"],
    )
    clip = body["models"]["clip"]
    assert clip.keys() >= {
        *("id", "name", "repo", "description", "source", "requires_auth", "download_enabled", "type"),
        *("family", "files", "step_config", "supports_negative_prompt", "loaded", "available", "reason"),
    }
    assert (clip["type"], clip["family"]) == ("t2v", "wan_t2v")
    assert clip["step_config"]["frames"] == {"min": 5, "max": 81, "step": 4, "default": 5}
    assert clip["step_config"]["width"] == {"min": 16, "max": 1024, "step": 16, "default": 64}
    assert "frames" not in body["models"]["paint"]["step_config"]


async def test_a_model_that_cannot_be_used_says_why(idle: httpx.AsyncClient) -> None:
    models = (await idle.get("/api/models")).json()["models"]
    assert not models["paint"]["available"]
    assert models["paint"]["reason"].startswith("its folder is missing or incomplete: ")
    reason = "its download is turned off (download_enabled, or DOWNLOAD_MODEL_<N>)"
    assert models["switched-off"]["reason"] == reason


async def test_a_model_is_loaded_after_its_first_job_and_can_be_unloaded(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    async def loaded() -> list[str]:
        models = (await client.get("/api/models")).json()["models"]
        return [name for name, model in models.items() if model["loaded"]]

    assert await loaded() == []
    job_id = workshop.add()
    await client.post("/api/queue/resume")
    await workshop.ended(job_id)
    assert workshop.clients["Flux"].replicas == 1
    reply = await client.post("/api/models/paint/unload")
    assert (reply.status_code, reply.json()["message"]) == (200, "Flux unloads")
    assert workshop.clients["Flux"].replicas == 0
    assert await loaded() == []


async def test_a_busy_model_is_not_unloaded_nor_an_unknown_one(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close()
    workshop.add()
    await client.post("/api/queue/resume")
    await workshop.reached()
    busy = await client.post("/api/models/paint/unload")
    assert (busy.status_code, busy.json()["message"]) == (409, "Flux is running a job; cancel it or wait")
    unknown = await client.post("/api/models/nope/unload")
    assert unknown.status_code == 404
    assert unknown.json()["message"].startswith("Model not found: nope. Available models: paint, ")


def test_a_fixed_number_of_steps_is_said() -> None:
    fixed = spec("turbo", "flux", limits={"steps": IntRange(min=4, max=4, default=4)})
    config = models_module._step_config(fixed)
    assert config["fixed_steps"] == 4
    assert "steps" not in config


# -- the server itself


async def test_the_server_is_healthy_while_database_and_dispatcher_answer(idle: httpx.AsyncClient) -> None:
    reply = await idle.get("/health")
    assert (reply.status_code, reply.json()["status"], reply.json()["device"]) == (200, "healthy", "cpu")
    assert reply.json()["queue"]["pending"] == 0
    assert reply.json()["version"]


async def test_the_server_is_unhealthy_without_its_database(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    def refuse() -> None:
        raise DatabaseUnavailable

    workshop.stores.jobs.counts = refuse  # type: ignore[method-assign, assignment]
    reply = await idle.get("/health")
    assert (reply.status_code, reply.json()["status"]) == (503, "unhealthy")
    assert "does not answer" in reply.json()["reason"]


async def test_the_metrics_can_be_parsed(client: httpx.AsyncClient, workshop: Workshop) -> None:
    job_id = workshop.add()
    await client.post("/api/queue/resume")
    await workshop.ended(job_id)
    reply = await client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    jobs = {sample.labels["status"]: sample.value for sample in families["cyberimage_jobs"].samples}
    assert jobs == {"pending": 0, "processing": 0, "completed": 1, "failed": 0, "cancelled": 0}
    assert families["cyberimage_gpus"].samples[0].value == 1
    assert families.keys() >= {"cyberimage_replicas", "cyberimage_running_jobs"}
    waiting = {(s.labels["model"], s.labels["family"]) for s in families["cyberimage_waiting_jobs"].samples}
    assert ("sketch", "sd35") in waiting


async def test_the_docs_list_the_routes(idle: httpx.AsyncClient) -> None:
    assert "swagger" in (await idle.get("/docs")).text
    paths = (await idle.get("/openapi.json")).json()["paths"]
    assert {"/api/generate", "/api/status/{job_id}", "/metrics"} <= paths.keys()
