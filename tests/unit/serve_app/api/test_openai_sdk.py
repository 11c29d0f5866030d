"""What the `openai` package makes of refusals: its own errors, and no useless tries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import openai
import pytest
from in_process import Workshop
from openai import AsyncOpenAI

from deployments.errors import GenerationFailed

KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
ANN = {"Authorization": "Bearer ann-key"}


class Counting(httpx2.ASGITransport):
    """Counts what is sent."""

    sent = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent += 1
        return await super().handle_async_request(request)


@contextmanager
def sdk(
    client: httpx.AsyncClient, key: str = "none", **options: Any
) -> Iterator[tuple[AsyncOpenAI, Counting]]:
    """The package as a client of the same application."""
    transport = Counting(client._transport.app, raise_app_exceptions=False)  # type: ignore[attr-defined]
    http = httpx2.AsyncClient(transport=transport)
    yield AsyncOpenAI(base_url="http://cyberimage/v1", api_key=key, http_client=http, **options), transport


async def test_a_picture_needs_nothing_but_a_prompt(client: httpx.AsyncClient) -> None:
    with sdk(client) as (ai, _):
        response = await ai.images.generate(prompt="a fox")
    assert response.data is not None
    assert response.data[0].b64_json


async def test_a_wrong_key_is_an_authentication_error(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, **KEYS) as client:
        with sdk(client, "wrong") as (ai, transport), pytest.raises(openai.AuthenticationError) as error:
            await ai.images.generate(prompt="a fox")
        assert (error.value.code, transport.sent) == ("invalid_api_key", 1)
        with sdk(client, "ann-key") as (ai, _):
            assert (await ai.models.list()).data


async def test_too_many_requests_are_a_rate_limit_error(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_outputs_per_day=1, **KEYS) as client:
        with sdk(client, "ann-key", max_retries=0) as (ai, _), pytest.raises(openai.RateLimitError) as error:
            await ai.images.generate(prompt="a fox", n=2)
    assert error.value.code == "rate_limit_exceeded"


async def test_a_request_that_was_refused_for_a_moment_is_sent_again(workshop: Workshop) -> None:
    async with workshop.serving(requests_per_minute=120, **KEYS) as client:
        with sdk(client, "ann-key") as (ai, transport):
            while (
                await client.get("/v1/models", headers={"Authorization": "Bearer ann-key"})
            ).status_code < 400:
                pass
            assert (await ai.images.generate(prompt="a fox")).data
    assert transport.sent == 2
    assert sum(workshop.stores.jobs.counts().values()) == 1


async def test_a_failed_job_is_an_error_and_is_not_tried_again(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.family.fail_next(GenerationFailed("It broke."))
    with sdk(client) as (ai, transport), pytest.raises(openai.InternalServerError, match="It broke"):
        await ai.images.generate(prompt="a fox")
    assert transport.sent == 1


async def test_a_failing_stream_is_an_error(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.family.fail_next(GenerationFailed("It broke."))
    with sdk(client) as (ai, _), pytest.raises(openai.APIError, match="It broke"):
        async for _event in await ai.images.generate(prompt="a fox", stream=True):
            pass
