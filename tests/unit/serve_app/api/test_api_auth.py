from __future__ import annotations

import base64
import hmac
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from in_process import Workshop

from configs.settings import Settings
from serve_app.api.callers import Keys

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
    paths = [*app.openapi()["paths"], "/", "/docs", "/docs/start.js", "/openapi.json", "/redoc", "/nope"]
    for path in sorted({path.replace("{", "").replace("}", "") for path in paths} - {"/health"}):
        for method in ("GET", "POST", "DELETE", "PATCH", "OPTIONS"):
            reply = await client.request(method, path)
            assert reply.status_code == 401, f"{method} {path}"
    assert (await client.get("/health/../api/queue")).status_code == 401
    assert (await client.get("//health")).status_code == 401


async def test_a_stranger_is_turned_away_before_the_body_is_read(client: httpx.AsyncClient) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b"{" * 10_000

    assert (await client.post("/api/upload", content=body())).status_code == 401
    assert (await client.post("/api/generate", content=b"{")).status_code == 401
    assert read <= 1


async def test_a_key_may_hold_any_character(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, api_keys="schl\u00fcssel:mit=zeichen") as client:
        for header in (
            "Bearer schl\u00fcssel:mit=zeichen".encode(),
            basic("ann", "schl\u00fcssel:mit=zeichen").encode(),
        ):
            reply = await client.get("/api/queue", headers={"Authorization": header})
            assert reply.status_code == 200


def test_every_key_is_compared_in_constant_time_whatever_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((len(given), len(known)))
        return real(given, known)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    keys = Keys(Settings(_env_file=None, api_keys="a,long-key", admin_keys="root"))
    for given in ("Bearer a", "Bearer long-key", "Bearer root", "Bearer nope", "Bearer", ""):
        compared.clear()
        keys.caller(given)
        # Three keys, and the admin's once more; of digests, which all have one length.
        assert compared == [(32, 32)] * 4


async def test_no_key_is_ever_logged_or_told(
    client: httpx.AsyncClient, workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    for key in ("first-key", "wrong-key"):
        for header in (f"Bearer {key}", basic("ann", key)):
            for method, path in [("POST", "/api/generate"), ("GET", "/api/jobs"), ("GET", "/openapi.json")]:
                reply = await client.request(method, path, json=PAINT, headers={"Authorization": header})
                told += reply.text + str(reply.headers)
    workshop.stores.jobs.page = lambda **_: 1 / 0  # type: ignore[assignment,misc,method-assign,return-value]
    reply = await client.get("/api/jobs", headers={"Authorization": "Bearer first-key"})
    assert reply.status_code == 500
    assert "ZeroDivisionError" in caplog.text
    rows = "".join(str(job) for job in workshop.stores.jobs.head(limit=9))
    settings = Settings(_env_file=None, api_keys="first-key", admin_keys="second-key")
    encoded = base64.b64encode(b"first-key").decode()[:-2]
    for text in (caplog.text, told + reply.text, rows, repr(settings), str(settings.model_dump())):
        assert not any(secret in text for secret in ("first-key", "second-key", "wrong-key", encoded))


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
