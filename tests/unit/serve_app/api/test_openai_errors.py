"""Everything under /v1 answers in OpenAI's form, whoever refuses."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from in_process import Workshop
from openai_requests import IMAGES, VIDEOS, error_of, paint, refusal

from serve_app.api.dialects import OpenAIError
from serve_app.api.openai.replies import Model, Models
from storage.errors import DatabaseUnavailable, DiskFull

KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
ANN, BOB, ROOT = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob", "root"))


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/chat/completions", "/v1/videos/a/remix"])
async def test_an_unknown_path_says_that_it_is_unknown(idle: httpx.AsyncClient, path: str) -> None:
    reply = await idle.post(path, json={})
    assert refusal(reply) == (404, "not_found", None)
    assert error_of(reply)["message"] == f"There is no POST {path} here; /docs lists what there is"


async def test_other_paths_keep_their_own_form(idle: httpx.AsyncClient) -> None:
    for path in ("/v1x", "/api/v1/images", "/api/nothing"):
        assert (await idle.get(path)).json()["status"] == "error"


async def test_a_wrong_method_is_refused(idle: httpx.AsyncClient) -> None:
    assert refusal(await idle.get(IMAGES)) == (405, "method_not_allowed", None)


async def test_a_missing_key_a_foreign_page_and_a_strange_name_are_refused(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, **KEYS) as client:
        missing, elsewhere = await paint(client), {"Origin": "https://evil.example"}
        assert refusal(missing) == (401, "invalid_api_key", None)
        assert "www-authenticate" in missing.headers
        assert refusal(await paint(client, headers=ANN | elsewhere)) == (403, "origin_not_allowed", None)
    async with workshop.serving(dispatching=False) as client:
        reply = await client.get("/v1/models", headers={"Host": "evil.example"})
        assert refusal(reply) == (403, "host_not_allowed", None)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_refused(idle: httpx.AsyncClient, announced: bool) -> None:
    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(3):
            yield b" " * 500_000

    content = b" " * 1_500_000 if announced else chunks()
    reply = await idle.post(IMAGES, content=content, headers={"Content-Type": "application/json"})
    assert refusal(reply) == (413, "content_too_large", None)


async def test_a_video_may_bring_a_picture_that_a_body_of_json_may_not(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_upload_mb=2) as client:
        large = {"prompt": "x", "input_reference": "data:image/png;base64," + "A" * 2_400_000}
        assert refusal(await client.post(VIDEOS, json=large)) == (400, "bad_request", None)
        too_large = {"prompt": "x", "input_reference": "data:image/png;base64," + "A" * 3_000_000}
        assert refusal(await client.post(VIDEOS, json=too_large)) == (413, "content_too_large", None)


async def test_limits_say_when_to_come_back(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, requests_per_minute=1, **KEYS) as client:
        replies = [await client.get("/v1/models", headers=ANN) for _ in range(2)]
        assert refusal(replies[1]) == (429, "rate_limit_exceeded", None)
        assert error_of(replies[1])["type"] == "rate_limit_error"
        assert replies[1].headers["retry-after"] == "60"
        assert "x-should-retry" not in replies[1].headers


async def test_the_outputs_of_a_day_are_counted_over_the_jobs_of_a_request(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_outputs_per_day=9, **KEYS) as client:
        reply = await paint(client, model="sketch", n=10, headers=ANN)
        assert (reply.status_code, int(reply.headers["retry-after"]) > 0) == (429, True)
    assert sum(workshop.stores.jobs.counts().values()) == 0


@pytest.mark.parametrize(("error", "status"), [(DatabaseUnavailable(), 503), (DiskFull(), 507)])
async def test_trouble_with_the_storage_is_the_servers(
    workshop: Workshop, idle: httpx.AsyncClient, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    workshop.stores.jobs.add_all = fail  # type: ignore[method-assign, assignment]
    reply = await paint(idle)
    assert (reply.status_code, error_of(reply)["type"]) == (status, "server_error")
    assert "x-should-retry" not in reply.headers


async def test_what_nobody_foresaw_is_logged_and_tells_nothing(
    workshop: Workshop, idle: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    workshop.stores.jobs.add_all = fail  # type: ignore[method-assign, assignment]
    reply = await paint(idle)
    assert refusal(reply) == (500, "internal_error", None)
    assert "secret" not in reply.text
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert f"POST {IMAGES}" in caplog.text


async def test_every_error_is_as_described(idle: httpx.AsyncClient) -> None:
    for reply in await asyncio.gather(paint(idle, n=0), idle.get("/v1/models/x"), idle.get("/v1/videos/x")):
        OpenAIError.model_validate(reply.json())


async def test_the_models_are_listed_by_the_names_that_requests_use(
    workshop: Workshop, idle: httpx.AsyncClient
) -> None:
    models = Models.model_validate((await idle.get("/v1/models")).json())
    assert [model.id for model in models.data] == ["paint", "sketch", "clip", "animate", "switched-off"]
    assert {model.created for model in models.data} == {int(workshop.stores.media.born.timestamp())}
    one = Model.model_validate((await idle.get("/v1/models/animate")).json())
    assert (one.id, one.object, one.type) == ("animate", "model", "i2v")
    missing = await idle.get("/v1/models/nothing")
    assert refusal(missing) == (404, "model_not_found", "model")
    assert "paint, sketch" in error_of(missing)["message"]
