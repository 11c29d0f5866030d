from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from in_process import Workshop

from serve_app import changes
from serve_app.api import events as events_module
from serve_app.api.events import stream
from serve_app.changes import Broadcaster

Event = dict[str, str]


@asynccontextmanager
async def listening(client: httpx.AsyncClient, **headers: str) -> AsyncIterator[asyncio.Queue[Event]]:
    """The events of the application; httpx's transport would wait for the end of the stream."""
    events: asyncio.Queue[Event] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert dict(message["headers"])[b"content-type"].startswith(b"text/event-stream")
        for line in message.get("body", b"").decode().split("\n\n"):
            if line:
                events.put_nowait(dict(part.split(": ", 1) for part in line.split("\n")))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/events",
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("cyberimage", 80),
    }
    app = client._transport.app  # type: ignore[attr-defined]
    task = asyncio.create_task(app(scope, receive, send))
    yield events
    gone.set()
    await task


async def following(events: asyncio.Queue[Event]) -> Event:
    async with asyncio.timeout(5):
        return await events.get()


async def test_a_change_of_a_job_is_an_event(client: httpx.AsyncClient, workshop: Workshop) -> None:
    async with listening(client) as events:
        assert (await following(events))["event"] == "hello"
        reply = await client.post("/api/generate", json={"model_id": "paint", "prompt": "x"})
        seen = []
        while not seen or seen[-1]["status"] != "completed":
            event = await following(events)
            assert (event["event"], bool(event["id"])) == ("job", True)
            seen.append(json.loads(event["data"]))
        assert {change["id"] for change in seen} == {reply.json()["job_id"]}


async def test_a_client_that_comes_back_gets_what_it_missed(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    async with listening(idle) as events:
        last = (await following(events))["id"]
    for name in ("a", "b"):
        workshop.news.publish(name, "pending")
        await asyncio.sleep(0.001)
    async with listening(idle, last_event_id=last) as events:
        missed = [await following(events) for _ in range(2)]
    assert [json.loads(event["data"])["id"] for event in missed] == ["a", "b"]
    async with listening(idle, last_event_id=missed[0]["id"]) as events:
        assert json.loads((await following(events))["data"])["id"] == "b"


@pytest.mark.parametrize(
    "stranger", ["other-1", "7", "x", "{run}-99", "{run}-", "{run}-" + "9" * 5000, "{run}-\u0663"]
)
async def test_an_id_that_is_not_known_asks_the_client_to_look_at_everything(stranger: str) -> None:
    news = Broadcaster()
    event = await anext(stream(news, stranger.format(run=news.newest.run)))
    assert "event: resync" in event


async def test_an_id_older_than_what_is_kept_asks_for_everything_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT", 3)
    news = Broadcaster()
    for number in range(10):
        news.publish(f"job{number}", "pending")
    assert "job9" in await anext(stream(news, f"{news.newest.run}-9"))
    assert "job7" in await anext(stream(news, f"{news.newest.run}-7"))
    assert "resync" in await anext(stream(news, f"{news.newest.run}-6"))


async def test_a_client_may_come_back_to_another_process() -> None:
    dispatcher, ingress, other = Broadcaster(), Broadcaster(), Broadcaster()
    dispatcher.publish("a", "pending")
    ingress.take(dispatcher.after(None))
    events = stream(ingress, None)
    hello = await anext(events)
    dispatcher.publish("b", "pending")
    other.take(dispatcher.after(None))
    last = hello.split("\n")[0].removeprefix("id: ")
    event = await anext(stream(other, last))
    assert '"id": "b"' in event


async def test_a_listener_is_told_to_look_at_everything_when_the_numbers_begin_anew() -> None:
    ingress = Broadcaster()
    ingress.take(Broadcaster().after(None))
    events = stream(ingress, None)
    assert "hello" in await anext(events)
    next_event = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    successor = Broadcaster()
    successor.publish("a", "failed")
    ingress.take(successor.after(ingress.newest))
    assert "resync" in await next_event
    assert '"id": "a"' in await anext(events)


async def test_a_silence_that_others_news_fill_is_broken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mine(job_id: str) -> bool:
        return job_id == "mine"

    monkeypatch.setattr(events_module, "HEARTBEAT_S", 0.2)
    news = Broadcaster()
    events = stream(news, None, mine)
    assert "hello" in await anext(events)
    heard = asyncio.ensure_future(anext(events))
    started = time.monotonic()
    while not heard.done() and time.monotonic() - started < 5:
        news.publish("others", "processing")
        await asyncio.sleep(0.02)
    assert await heard == ": still here\n\n"
    assert time.monotonic() - started >= 0.15


async def test_silence_is_broken_by_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "HEARTBEAT_S", 0.001)
    events = stream(Broadcaster(), None)
    assert "hello" in await anext(events)
    assert await anext(events) == ": still here\n\n"
