"""POST /api/enrich, with a chat server of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from in_process import Workshop

from serve_app.api import enrich

Answer = Callable[[dict[str, Any]], Awaitable[tuple[int, Any]]]


class ChatServer:
    """Just enough of HTTP/1.1 for one request a connection."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._answer = answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            yield f"http://127.0.0.1:{port}/v1/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        self.requests.append((head, json.loads(await reader.readexactly(length))))
        status, body = await self._answer(self.requests[-1][1])
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
        )
        writer.write(data)
        await writer.drain()
        writer.close()


def says(text: str) -> Answer:
    async def answer(request: dict[str, Any]) -> tuple[int, Any]:
        return 200, {"choices": [{"message": {"content": text}}]}

    return answer


def replies(status: int, body: Any) -> Answer:
    async def answer(request: dict[str, Any]) -> tuple[int, Any]:
        return status, body

    return answer


async def test_the_prompt_is_written_out_in_the_style(workshop: Workshop) -> None:
    chat = ChatServer(says('<think>hm</think>\n"a fox under neon rain"'))
    async with chat.running() as url:
        settings = {"openai_endpoint": url, "openai_api_key": "sk-1", "openai_model": "m"}
        async with workshop.serving(dispatching=False, **settings) as client:
            reply = await client.post("/api/enrich", json={"prompt": "a fox", "style": "cyberpunk"})
    assert reply.json() == {
        "original_prompt": "a fox",
        "enriched_prompt": "a fox under neon rain",
        "style": "cyberpunk",
    }
    ((head, request),) = chat.requests
    assert head.startswith("POST /v1/chat/completions ")
    assert "authorization: bearer sk-1" in head.lower()
    assert request["model"] == "m"
    assert request["messages"][1] == {"role": "user", "content": "a fox"}
    assert "cyberpunk" in request["messages"][0]["content"]


async def test_it_says_how_to_configure_it(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False) as client:
        reply = await client.post("/api/enrich", json={"prompt": "a fox"})
    assert reply.status_code == 503
    assert "OPENAI_ENDPOINT" in reply.json()["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing required fields: prompt"),
        ({"prompt": "  "}, "No prompt provided"),
        ({"prompt": "x", "style": "baroque"}, "style"),
        ({"prompt": "x" * 2001}, "2000"),
    ],
)
async def test_a_bad_request_is_told(workshop: Workshop, body: dict[str, Any], message: str) -> None:
    async with workshop.serving(dispatching=False) as client:
        reply = await client.post("/api/enrich", json=body or {"x": 1})
    assert reply.status_code == 400
    assert message in reply.json()["message"]


@pytest.mark.parametrize("answer", [replies(401, {}), replies(200, b"<html>"), replies(200, {}), says("")])
async def test_an_answer_that_is_no_use_is_told(workshop: Workshop, answer: Answer) -> None:
    async with (
        ChatServer(answer).running() as url,
        workshop.serving(dispatching=False, openai_endpoint=url) as client,
    ):
        reply = await client.post("/api/enrich", json={"prompt": "a fox"})
    assert reply.status_code == 502
    assert reply.json()["message"].startswith("The language model's server")


async def test_a_server_that_is_not_there_is_told(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, openai_endpoint="http://127.0.0.1:9/v1") as client:
        reply = await client.post("/api/enrich", json={"prompt": "a fox"})
    assert (reply.status_code, reply.json()["code"]) == (502, "bad_gateway")


async def test_one_that_takes_too_long_is_told(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrich, "TIMEOUT_S", 0.05)
    held = asyncio.Event()

    async def answer(request: dict[str, Any]) -> tuple[int, Any]:
        await held.wait()
        return 200, {}

    async with (
        ChatServer(answer).running() as url,
        workshop.serving(dispatching=False, openai_endpoint=url) as client,
    ):
        reply = await client.post("/api/enrich", json={"prompt": "a fox"})
        held.set()
    assert reply.status_code == 504
    assert "did not answer" in reply.json()["message"]
