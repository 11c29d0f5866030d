"""Pictures as a stream of events."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from in_process import Workshop, until
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from openai_requests import events_of, paint, picture_in, refusal

from deployments.errors import GenerationFailed
from serve_app.api.openai import following, image_stream
from storage.jobs import JobStatus


@pytest.fixture
def workshop(make_workshop: Any) -> Workshop:
    workshop: Workshop = make_workshop(preview_every=1)
    return workshop


async def stream(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    reply = await paint(client, stream=True, **body)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return events_of(reply)


async def at_step(workshop: Workshop, step: int) -> None:
    """The run is held there, and its row says so."""
    await workshop.reached()
    (job,) = workshop.stores.jobs.page(limit=1).jobs
    await until(lambda: (progress := workshop.job(job.id).progress) is not None and progress.step == step)


async def test_without_partial_pictures_it_is_the_finished_ones(client: httpx.AsyncClient) -> None:
    events = await stream(client, n=2, seed=3)
    assert [event["type"] for event in events] == ["image_generation.completed"] * 2
    assert [event["seed"] for event in events] == [3, 4]
    for event in events:
        ImageGenCompletedEvent.model_validate(event)
        assert picture_in(event["b64_json"]).size == (64, 64)
        assert event["usage"]["total_tokens"] == 0


@pytest.mark.parametrize(("kind", "most"), [("png", 1), ("jpeg", 2)])
async def test_previews_are_partial_pictures_as_many_as_were_asked_for_at_most(
    client: httpx.AsyncClient, workshop: Workshop, kind: str, most: int
) -> None:
    workshop.gate.close(after_steps=6)
    asked = {"partial_images": most, "num_inference_steps": 10, "output_format": kind}
    running = asyncio.create_task(stream(client, **asked))
    await at_step(workshop, 6)
    await asyncio.sleep(0.3)
    workshop.gate.open()
    *partials, last = await running
    assert last["type"] == "image_generation.completed"
    assert 1 <= len(partials) <= most
    for index, event in enumerate(partials):
        ImageGenPartialImageEvent.model_validate(event)
        assert event["partial_image_index"] == index
        assert picture_in(event["b64_json"]).format == kind.upper()


async def test_a_second_partial_picture_waits_for_its_part_of_the_run(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close(after_steps=2)
    running = asyncio.create_task(stream(client, partial_images=2, num_inference_steps=10))
    await at_step(workshop, 2)
    await asyncio.sleep(0.3)
    workshop.gate.open()
    workshop.gate.close(after_steps=7)
    await at_step(workshop, 7)
    await asyncio.sleep(0.3)
    workshop.gate.open()
    events = await running
    assert [event.get("partial_image_index") for event in events] == [0, 1, None]


async def test_a_run_that_fails_is_an_error_event(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.family.fail_next(GenerationFailed("The pipeline broke."))
    (event,) = await stream(client)
    assert event["type"] == "error"
    assert (event["error"]["code"], event["error"]["message"]) == ("generation_failed", "The pipeline broke.")


async def test_what_is_wrong_from_the_start_is_no_stream(client: httpx.AsyncClient) -> None:
    assert refusal(await paint(client, stream=True, size="1x1")) == (400, "bad_request", "size")


async def test_news_of_other_jobs_break_no_silence(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_stream, "HEARTBEAT_S", 0.0)
    monkeypatch.setattr(following, "RECHECK_S", 0.1)
    async with workshop.serving(dispatching=False) as client:
        waiting = asyncio.create_task(paint(client, stream=True))
        await until(lambda: workshop.stores.jobs.counts()[JobStatus.PENDING] == 1)
        (job,) = workshop.stores.jobs.page(limit=1).jobs
        for _ in range(20):
            workshop.news.publish("another", JobStatus.PROCESSING)
            await asyncio.sleep(0.02)
        await client.post(f"/api/jobs/{job.id}/cancel")
        assert (await waiting).text.count(": still here\n\n") >= 2


async def test_silence_is_broken_now_and_then(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_stream, "HEARTBEAT_S", 0.0)
    async with workshop.serving(dispatching=False) as client:
        waiting = asyncio.create_task(paint(client, stream=True))
        await until(lambda: workshop.stores.jobs.counts()[JobStatus.PENDING] == 1)
        (job,) = workshop.stores.jobs.page(limit=1).jobs
        await client.post(f"/api/jobs/{job.id}/cancel")
        assert ": still here\n\n" in (await waiting).text
