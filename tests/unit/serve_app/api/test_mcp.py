"""The Model Context Protocol's server, as the official SDK's client uses it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import httpx
import httpx2
import pytest
from in_process import Workshop, until
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ImageContent, TextContent
from openai_requests import paint
from PIL import Image

from deployments.errors import OutOfMemory
from serve_app.api.mcp import results
from storage.jobs import JobStatus

KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
ANN, BOB = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob"))
HEADERS = {"Accept": "application/json, text/event-stream"}
ODD = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800"}}'
PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "studio.example", "X-Forwarded-Prefix": "/paint"}
LISTING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@asynccontextmanager
async def talking(
    client: httpx.AsyncClient, headers: dict[str, str] | None = None, mode: str = "auto"
) -> AsyncIterator[Client]:
    """The SDK's client of the API that `client` speaks to."""
    app = client._transport.app  # type: ignore[attr-defined]
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://cyberimage", headers=headers) as http:
        url = "http://cyberimage/mcp"
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as session:
            yield session


def facts(result: CallToolResult) -> dict[str, Any]:
    text = result.content[0]
    assert isinstance(text, TextContent)
    assert not result.is_error, text.text
    told: dict[str, Any] = json.loads(text.text)
    assert told == result.structured_content
    return told


def problem(result: CallToolResult) -> str:
    assert result.is_error
    (text,) = result.content
    assert isinstance(text, TextContent)
    return text.text


def pictures(result: CallToolResult) -> list[Image.Image]:
    shown = [item for item in result.content if isinstance(item, ImageContent)]
    return [Image.open(BytesIO(base64.b64decode(item.data))) for item in shown]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tools_are_listed_with_their_arguments(client: httpx.AsyncClient, mode: str) -> None:
    async with talking(client, mode=mode) as session:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert list(tools) == [
        *("list_models", "generate_image", "generate_video", "animate_image"),
        *("job_status", "cancel_job", "list_recent"),
    ]
    assert tools["generate_image"].input_schema["required"] == ["prompt"]
    assert tools["generate_image"].description == "Paint pictures from a prompt."
    assert {"image_id", "fps"} < set(tools["animate_image"].input_schema["properties"])


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_prompt_becomes_a_picture_with_its_ids(
    client: httpx.AsyncClient, workshop: Workshop, mode: str
) -> None:
    async with talking(client, mode=mode) as session:
        asked = {"prompt": "a red fox", "seed": 5, "width": 64, "height": 48}
        result = await session.call_tool("generate_image", asked)
    told = facts(result)
    assert (told["status"], told["model"], told["percent"]) == ("completed", "paint", 100)
    (image,) = told["images"]
    assert (image["width"], image["height"], image["seed"]) == (64, 48, 5)
    assert image["url"] == f"http://cyberimage/api/image/{image['id']}"
    (shown,) = pictures(result)
    assert (shown.format, shown.size) == ("PNG", (64, 48))
    assert (await client.get(image["url"])).status_code == 200


async def test_addresses_are_what_the_caller_can_reach_as_in_openais_api(client: httpx.AsyncClient) -> None:
    (item,) = (await paint(client, response_format="url", headers=PROXY)).json()["data"]
    async with talking(client, PROXY) as session:
        (made,) = facts(await session.call_tool("generate_image", {"prompt": "x"}))["images"]
        (listed, _) = facts(await session.call_tool("list_recent", {}))["images"]
    assert item["url"] == f"https://studio.example/paint/v1/images/{item['id']}/content"
    assert made["url"] == listed["url"] == f"https://studio.example/paint/api/image/{made['id']}"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_progress_is_told_while_the_call_waits(
    client: httpx.AsyncClient, workshop: Workshop, mode: str
) -> None:
    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert total == 100
        told.append(progress)

    workshop.gate.close(after_steps=3)
    async with talking(client, mode=mode) as session:
        asked = {"prompt": "x", "num_inference_steps": 10}
        call = asyncio.create_task(session.call_tool("generate_image", asked, progress_callback=on_progress))
        await workshop.reached()
        await until(lambda: step_of_latest(workshop) == 3)
        await asyncio.sleep(0.1)  # for the call to see it
        workshop.gate.open()
        assert facts(await call)["status"] == "completed"
    assert told == sorted(set(told))
    assert any(30 <= progress < 31 for progress in told)


def step_of_latest(workshop: Workshop) -> int | None:
    progress = workshop.stores.jobs.page(limit=1).jobs[0].progress
    return progress.step if progress else None


async def test_a_call_that_waits_no_longer_names_the_job(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close()
    async with talking(client) as session:
        told = facts(await session.call_tool("generate_image", {"prompt": "x", "wait_seconds": 0}))
        assert told["status"] in ("pending", "processing")
        workshop.gate.open()
        asked = {"job_id": told["job_id"], "wait_seconds": 20}
        result = await session.call_tool("job_status", asked)
    assert facts(result)["status"] == "completed"
    assert len(pictures(result)) == 1


async def test_a_clip_is_shown_by_its_first_frame(client: httpx.AsyncClient) -> None:
    async with talking(client) as session:
        result = await session.call_tool("generate_video", {"prompt": "x", "num_frames": 5})
    (clip,) = facts(result)["images"]
    assert clip["media_type"] == "video"
    assert [shown.format for shown in pictures(result)] == ["WEBP"]


async def test_a_picture_is_animated_by_its_id(client: httpx.AsyncClient, workshop: Workshop) -> None:
    source = workshop.add_media()
    async with talking(client) as session:
        result = await session.call_tool("animate_image", {"image_id": source.id, "prompt": "it moves"})
        unknown = await session.call_tool("animate_image", {"image_id": "no", "prompt": "it moves"})
    assert facts(result)["type"] == "i2v"
    assert problem(unknown) == "Source image not found: no"


async def test_many_or_large_pictures_are_shown_small(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MOST_BYTES", 10)
    async with talking(client) as session:
        result = await session.call_tool("generate_image", {"prompt": "x", "num_images": 3})
    assert [shown.format for shown in pictures(result)] == ["WEBP"] * 3


async def test_models_are_listed_with_their_limits(client: httpx.AsyncClient) -> None:
    async with talking(client) as session:
        told = facts(await session.call_tool("list_models", {}))
    assert told["defaults"] == {"image": "paint", "t2v": "clip", "i2v": "animate"}
    (paint,) = [model for model in told["models"] if model["name"] == "paint"]
    assert paint["limits"]["width"]["max"] == 1024


async def test_the_gallery_is_searched(client: httpx.AsyncClient, workshop: Workshop) -> None:
    async with talking(client) as session:
        for prompt in ("a red fox", "a blue bird"):
            await session.call_tool("generate_image", {"prompt": prompt})
        told = facts(await session.call_tool("list_recent", {"search": "fox red"}))
        both = facts(await session.call_tool("list_recent", {"limit": 1}))
    assert [image["prompt"] for image in told["images"]] == ["a red fox"]
    assert (len(both["images"]), both["total"]) == (1, 2)


async def test_what_was_tagged_or_marked_is_found(client: httpx.AsyncClient, workshop: Workshop) -> None:
    async with talking(client) as session:
        fox, bird = [
            facts(await session.call_tool("generate_image", {"prompt": prompt}))["images"][0]["id"]
            for prompt in ("a red fox", "a blue bird")
        ]
        await client.put(f"/api/media/{fox}/tags", json={"tags": ["Forest", "night"]})
        await client.post(f"/api/favorite/{bird}")
        (tagged,) = facts(await session.call_tool("list_recent", {"tags": ["night", "forest"]}))["images"]
        (marked,) = facts(await session.call_tool("list_recent", {"favorites": True}))["images"]
        none = facts(await session.call_tool("list_recent", {"tags": ["night", "day"]}))
    assert (tagged["id"], tagged["tags"], tagged["favorite"]) == (fox, ["Forest", "night"], False)
    assert (marked["id"], marked["tags"], marked["favorite"]) == (bird, [], True)
    assert none["total"] == 0


async def test_a_job_is_cancelled_once(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.gate.close()
    async with talking(client) as session:
        told = facts(await session.call_tool("generate_image", {"prompt": "x", "wait_seconds": 0}))
        asked = {"job_id": told["job_id"]}
        assert facts(await session.call_tool("cancel_job", asked))["job_id"] == told["job_id"]
        workshop.gate.open()
        (job,) = await workshop.ended(told["job_id"])
        assert job.status is JobStatus.CANCELLED
        again = await session.call_tool("cancel_job", asked)
    assert problem(again) == "The job has already ended: it is cancelled"


@pytest.mark.parametrize(
    ("tool", "asked", "message"),
    [
        ("generate_image", {}, "Missing required fields: prompt"),
        ("generate_image", {"prompt": "x", "steps": 5}, "Unknown setting 'steps': "),
        ("generate_image", {"prompt": "x", "model": "clip"}, "Model clip is of type t2v and not a text-to"),
        ("generate_image", {"prompt": "x", "width": 7}, "width 7 must be between 16 and 1024"),
        ("generate_image", {"prompt": "x" * 2001}, "Prompt too long. Maximum length is 2000 characters."),
        ("job_status", {"job_id": "no"}, "Job not found: no"),
        ("list_recent", {"limit": 1000}, "limit: Input should be less than or equal to 50"),
    ],
)
async def test_what_is_wrong_is_told_to_the_language_model_and_leaves_no_job(
    idle: httpx.AsyncClient, workshop: Workshop, tool: str, asked: dict[str, Any], message: str
) -> None:
    async with talking(idle) as session:
        assert problem(await session.call_tool(tool, asked)).startswith(message)
    assert sum(workshop.stores.jobs.counts().values()) == 0


async def test_a_failed_job_is_an_error_with_its_reason(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.family.fail_next(OutOfMemory("The GPU has no room."))
    async with talking(client) as session:
        result = await session.call_tool("generate_image", {"prompt": "x"})
    assert "The GPU has no room." in problem(result)


async def test_an_unknown_tool_is_an_error_of_the_protocol(idle: httpx.AsyncClient) -> None:
    async with talking(idle) as session:
        with pytest.raises(MCPError, match="Unknown tool: generate_imag; did you mean 'generate_image'"):
            await session.call_tool("generate_imag", {})


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_error_that_nobody_foresaw_is_logged_and_tells_nothing(
    idle: httpx.AsyncClient, workshop: Workshop, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("secret")

    workshop.stores.jobs.get = fail  # type: ignore[method-assign, assignment]
    async with talking(idle, mode=mode) as session:
        told = problem(await session.call_tool("job_status", {"job_id": "x"}))
    assert told == "The server met an error that it does not know; its log says more."
    assert "ZeroDivisionError" in caplog.text


async def test_each_key_has_jobs_and_pictures_of_its_own(workshop: Workshop) -> None:
    async with workshop.serving(**KEYS) as client:
        async with talking(client, ANN) as ann:
            told = facts(await ann.call_tool("generate_image", {"prompt": "x"}))
        async with talking(client, BOB) as bob:
            unseen = await bob.call_tool("job_status", {"job_id": told["job_id"]})
            kept = await bob.call_tool("cancel_job", {"job_id": told["job_id"]})
            gallery = facts(await bob.call_tool("list_recent", {}))
    assert problem(unseen) == problem(kept) == f"Job not found: {told['job_id']}"
    assert gallery == {"images": [], "total": 0}


async def test_the_gate_stands_before_it(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, requests_per_minute=3, **KEYS) as client:
        assert (await client.post("/mcp", json=LISTING)).status_code == 401
        foreign = {"Origin": "http://evil.example", **ANN}
        assert (await client.post("/mcp", json=LISTING, headers=HEADERS | foreign)).status_code == 403
        codes = [
            (await client.post("/mcp", json=LISTING, headers=HEADERS | ANN)).status_code for _ in range(4)
        ]
    assert codes == [200, 200, 200, 429]


async def test_a_name_that_is_not_answered_is_not_answered_here(idle: httpx.AsyncClient) -> None:
    reply = await idle.post("/mcp", json=LISTING, headers=HEADERS | {"Host": "evil.example"})
    assert (reply.status_code, reply.json()["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"{}", b"\xff", b"[" * 10_000, ODD])
async def test_what_is_no_message_is_refused(idle: httpx.AsyncClient, body: bytes) -> None:
    headers = HEADERS | {"Content-Type": "application/json"}
    for more in ({}, {"MCP-Protocol-Version": "2026-07-28"}, {"MCP-Protocol-Version": "x"}):
        reply = await idle.post("/mcp", content=body, headers=headers | more)
        assert 400 <= reply.status_code < 500, reply.text


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100_000):
        yield b" " * 100_000


async def test_a_body_that_is_too_large_is_refused(idle: httpx.AsyncClient) -> None:
    headers = HEADERS | {"Content-Type": "application/json"}
    for content in (b" " * 2_000_000, in_pieces(2_000_000)):
        assert (await idle.post("/mcp", content=content, headers=headers)).status_code == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_post_is_answered(idle: httpx.AsyncClient, method: str) -> None:
    reply = await idle.request(method, "/mcp", headers=HEADERS)
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


async def test_a_client_that_goes_away_leaves_the_job_running(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close()
    async with talking(client) as session:
        call = asyncio.create_task(session.call_tool("generate_image", {"prompt": "x"}))
        await workshop.reached()
        call.cancel()
        await asyncio.wait([call])
        workshop.gate.open()
        (job,) = await workshop.ended(workshop.stores.jobs.page(limit=1).jobs[0].id)
        assert job.status is JobStatus.COMPLETED
        assert facts(await session.call_tool("list_recent", {}))["total"] == 1
