"""The JSON-RPC dialect of earlier clients, at /api/mcp."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from in_process import Workshop

KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
ANN, BOB = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob"))


async def post(client: httpx.AsyncClient, method: str, headers: Any = None, **params: Any) -> httpx.Response:
    body = {"jsonrpc": "2.0", "method": f"context.{method}", "params": params, "id": 7}
    return await client.post("/api/mcp", json=body, headers=headers)


async def call(client: httpx.AsyncClient, method: str, **params: Any) -> dict[str, Any]:
    reply = await post(client, method, **params)
    assert reply.status_code == 200, reply.text
    assert (reply.json()["jsonrpc"], reply.json()["id"]) == ("2.0", 7)
    result: dict[str, Any] = reply.json()["result"]
    return result


async def test_models_are_listed_by_what_they_make(idle: httpx.AsyncClient) -> None:
    pictures = await call(idle, "image_generation.models")
    clips = await call(idle, "video_generation.models")
    assert (list(pictures["models"]), pictures["default"]) == (["paint", "sketch", "switched-off"], "paint")
    assert (list(clips["models"]), clips["default"]) == (["clip", "animate"], "clip")
    assert set(pictures["models"]["paint"]) >= {"id", "description"}


async def test_a_picture_is_generated_asked_after_and_fetched(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    settings = {"num_images": 2, "seed": 5}
    made = await call(client, "image_generation.generate", prompt="a fox", model="sketch", settings=settings)
    assert made == {"job_id": made["job_id"], "status": "pending", "num_images": 2}
    await workshop.ended(made["job_id"])
    told = await call(client, "image_generation.status", job_id=made["job_id"])
    assert (told["status"], told["model"], told["prompt"]) == ("completed", "sketch", "a fox")
    assert told["progress"]["completed"] is True
    assert told["created_at"] < told["completed_at"]
    assert [image["metadata"]["seed"] for image in told["images"]] == [5, 6]
    assert told["images"][0]["url"] == f"/api/get_image/{told['images'][0]['id']}"
    assert (await client.get(told["images"][0]["url"])).headers["content-type"] == "image/png"


async def test_clips_are_generated_from_prompts_and_from_pictures(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    source = workshop.add_media()
    for more in ({}, {"source_image_id": source.id, "model": "animate"}):
        made = await call(client, "video_generation.generate", prompt="it moves", **more)
        (job,) = await workshop.ended(made["job_id"])
        told = await call(client, "video_generation.status", job_id=job.id)
        assert told["images"][0]["url"].startswith("/api/get_video/")
    assert job.type == "i2v"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, -32700),
        (b"{", 400, -32700),
        (b"[" * 100_000, 400, -32700),
        (b'{"jsonrpc": "2.0", "method": "\\ud800"}', 400, -32700),
        (b'{"jsonrpc": "2.0", "method": "x", "id": NaN}', 400, -32700),
        (b'{"jsonrpc": "2.0", "method": "x", "id": 1e999}', 400, -32700),
        (b"[]", 400, -32600),
        (b'{"method": "context.image_generation.models"}', 400, -32600),
        (b'{"jsonrpc": "1.0", "method": "context.image_generation.models"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "method": 5}', 400, -32600),
        (b'{"jsonrpc": "2.0", "method": "context.image_generation.models", "id": {}}', 400, -32600),
        (b'{"jsonrpc": "2.0", "method": "tools/list"}', 404, -32601),
        (b'{"jsonrpc": "2.0", "method": "context.image_generation.models", "params": [1]}', 400, -32602),
    ],
)
async def test_what_is_no_call_is_refused_with_its_code_and_a_message(
    idle: httpx.AsyncClient, body: bytes, status: int, code: int
) -> None:
    reply = await idle.post("/api/mcp", content=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert len(reply.json()["error"]["message"]) > 10


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Missing required fields: prompt"),
        ({"prompt": 5}, "prompt: Input should be a valid string"),
        ({"prompt": "x", "model": "no"}, "Invalid model. Available models: paint, sketch, switched-off"),
        ({"prompt": "x", "settings": {"steps": 5}}, "Unknown setting 'steps': "),
        ({"prompt": "x", "settings": {"width": 7}}, "width 7 must be between 16 and 1024"),
    ],
)
async def test_bad_params_are_told_and_leave_no_job(
    idle: httpx.AsyncClient, workshop: Workshop, params: dict[str, Any], message: str
) -> None:
    reply = await post(idle, "image_generation.generate", **params)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], reply.json()["id"]) == (400, -32602, 7)
    assert error["message"].startswith(message)
    assert sum(workshop.stores.jobs.counts().values()) == 0


async def test_a_call_without_an_id_gets_one(idle: httpx.AsyncClient) -> None:
    body = {"jsonrpc": "2.0", "method": "context.image_generation.models"}
    first, other = [(await idle.post("/api/mcp", json=body)).json()["id"] for _ in range(2)]
    assert first != other
    assert (await idle.post("/api/mcp", json=body | {"id": None})).json()["id"] is None


async def test_a_full_queue_says_when_to_come_back(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_pending=1) as client:
        await call(client, "image_generation.generate", prompt="x")
        reply = await post(client, "image_generation.generate", prompt="x")
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, -32000)
    assert "retry-after" in reply.headers


async def test_an_idempotency_key_makes_one_job(idle: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = [
        (await post(idle, "image_generation.generate", key, prompt="x")).json()["result"] for _ in range(2)
    ]
    other = await post(idle, "image_generation.generate", key, prompt="y")
    assert first == again
    assert (other.status_code, other.json()["error"]["code"]) == (409, -32000)


async def test_keys_are_wanted_and_see_their_own_jobs_only(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, **KEYS) as client:
        refused = await post(client, "image_generation.models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, -32000)
        made = (await post(client, "image_generation.generate", ANN, prompt="x")).json()["result"]
        seen = [
            (await post(client, "image_generation.status", key, job_id=made["job_id"])).status_code
            for key in (ANN, BOB)
        ]
    assert seen == [200, 400]
