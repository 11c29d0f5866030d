from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import httpx
import pytest
from in_process import Workshop

PAINT = {"model_id": "paint", "prompt": "x"}


@pytest.fixture
async def client(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    async with workshop.serving(dispatching=False, api_keys="first-key, second-key") as client:
        yield client


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer first-key",
        "bearer second-key",
        "Bearer  first-key ",
        basic("", "first-key"),
        basic("ann", "second-key"),
    ],
)
async def test_a_key_lets_in(client: httpx.AsyncClient, header: str) -> None:
    assert (await client.get("/api/queue", headers={"Authorization": header})).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "first-key",
        "Bearer",
        "Bearer first-ke",
        "Bearer first-key, second-key",
        "Bearer FIRST-KEY",
        "Bearer schl\u00fcssel",
        "Basic first-key",
        "Basic !!!",
        "Basic /w==",
        basic("first-key", ""),
        basic("", "nope"),
        "Digest first-key",
    ],
)
async def test_anything_else_is_turned_away(
    client: httpx.AsyncClient, workshop: Workshop, header: str
) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    reply = await client.post("/api/generate", json=PAINT, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
    assert reply.json()["message"] == "A valid API key is needed: send 'Authorization: Bearer KEY'"
    assert reply.headers["www-authenticate"].startswith("Basic")
    assert sum(workshop.stores.jobs.counts().values()) == 0


async def test_health_is_open_and_nothing_else(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).status_code == 200
    app = client._transport.app  # type: ignore[attr-defined]
    paths = [*app.openapi()["paths"], "/", "/docs", "/openapi.json"]
    for path in sorted({path.replace("{", "").replace("}", "") for path in paths} - {"/health"}):
        for method in ("GET", "POST", "DELETE"):
            reply = await client.request(method, path)
            assert reply.status_code in (401, 405), f"{method} {path}"
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert (await client.get(path)).status_code == 404


async def test_a_job_bears_its_keys_id_and_not_the_key(client: httpx.AsyncClient, workshop: Workshop) -> None:
    ids = set()
    for key in ("first-key", "second-key"):
        headers = {"Authorization": f"Bearer {key}"}
        reply = await client.post("/api/generate", json=PAINT, headers=headers)
        ids.add(workshop.job(reply.json()["job_id"]).client)
    assert len(ids) == 2
    assert all(name is not None and name.startswith("key:") and "first" not in name for name in ids)


async def test_an_idempotency_key_is_of_its_client(client: httpx.AsyncClient) -> None:
    jobs = set()
    for key in ("first-key", "second-key"):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
        jobs.add((await client.post("/api/generate", json=PAINT, headers=headers)).json()["job_id"])
    assert len(jobs) == 2


async def test_pages_elsewhere_may_ask_where_they_are_allowed(workshop: Workshop) -> None:
    headers = {"Origin": "https://studio.example"}
    async with workshop.serving(dispatching=False, cors_origins="https://studio.example") as client:
        reply = await client.get("/health", headers=headers)
        assert reply.headers["access-control-allow-origin"] == "https://studio.example"
        large = await client.post("/api/generate", content=b"x" * 2_000_000, headers=headers)
        assert "access-control-allow-origin" in large.headers
    async with workshop.serving(dispatching=False) as client:
        assert "access-control-allow-origin" not in (await client.get("/health", headers=headers)).headers
