"""Requests as OpenAI's SDKs send them."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from typing import Any

import httpx
from PIL import Image

IMAGES = "/v1/images/generations"
VIDEOS = "/v1/videos"


def again(count: int, timeout: float = 600) -> dict[str, str]:
    """Headers of a request that an SDK sends for the nth time, counted from 0."""
    return {"x-stainless-retry-count": str(count), "x-stainless-read-timeout": str(timeout)}


async def paint(
    client: httpx.AsyncClient, prompt: str = "a fox", *, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    return await client.post(IMAGES, json={"prompt": prompt} | more, headers=headers)


async def film(
    client: httpx.AsyncClient,
    prompt: str = "a fox runs",
    *,
    headers: dict[str, str] | None = None,
    picture: bytes | None = None,
    **more: Any,
) -> httpx.Response:
    """As a form, with a file or without: the SDK sends nothing else."""
    files: dict[str, Any] = {name: (None, str(value)) for name, value in ({"prompt": prompt} | more).items()}
    if picture is not None:
        files["input_reference"] = ("picture.png", picture)
    return await client.post(VIDEOS, files=files, headers=headers)


def error_of(reply: httpx.Response) -> dict[str, Any]:
    """The error, in the form that the SDKs read."""
    body = reply.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def refusal(reply: httpx.Response) -> tuple[int, str, str | None]:
    error = error_of(reply)
    return reply.status_code, error["code"], error["param"]


def picture_in(data: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(data)))


def events_of(reply: httpx.Response) -> list[dict[str, Any]]:
    """The data of a reply's server-sent events."""
    return [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: ")]
