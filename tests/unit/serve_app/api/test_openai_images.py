"""POST /v1/images/generations: pictures in the reply."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import httpx
import pytest
from in_process import Workshop, now, until
from openai_requests import IMAGES, error_of, paint, picture_in, refusal
from PIL import Image

from deployments.errors import BrokenWeights, GenerationFailed, OutOfMemory
from serve_app.api.openai.image_jobs import shares
from serve_app.api.openai.replies import Images
from storage.jobs import JobStatus


async def test_the_picture_is_in_the_reply(client: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await paint(client, seed=5)
    body = reply.json()
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    Images.model_validate(body)
    assert (body["size"], body["output_format"], len(body["data"])) == ("64x64", "png", 1)
    assert body["data"][0]["seed"] == 5
    picture = picture_in(body["data"][0]["b64_json"])
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert workshop.job(workshop.stores.jobs.page(limit=1).jobs[0].id).model == "paint"


async def test_all_settings_reach_the_job_and_what_is_not_known_is_ignored(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    extras = {"quality": "high", "user": "ann", "background": "auto", "moderation": "low", "style": None}
    settings = {"negative_prompt": "blur", "num_inference_steps": 3, "guidance_scale": 2.5, "seed": 9}
    reply = await paint(client, model="sketch", n=2, size="128x96", **settings, **extras)
    assert reply.status_code == 200, reply.text
    (job,) = workshop.stores.jobs.page(limit=9).jobs
    assert (job.model, job.negative_prompt, job.seed) == ("sketch", "blur", 9)
    found = {name: job.settings[name] for name in ("width", "height", "num_images", "num_inference_steps")}
    assert found == {"width": 128, "height": 96, "num_images": 2, "num_inference_steps": 3}
    assert job.settings["guidance_scale"] == 2.5


@pytest.mark.parametrize(
    "body", [{}, {"size": "auto", "model": ""}, {"size": None, "n": None, "model": None}]
)
async def test_what_is_left_out_is_the_servers_choice(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    reply = await paint(client, **body)
    assert (reply.status_code, reply.json()["size"]) == (200, "64x64")


@pytest.mark.parametrize(
    "body",
    [
        {"n": 1, "size": "512x512", "response_format": "b64_json"},
        {"background": "auto", "n": 1, "output_compression": 100, "quality": "auto", "size": "auto"},
    ],
    ids=["Open WebUI", "LibreChat"],
)
async def test_what_programs_send_is_understood(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    reply = await paint(client, model="paint", **body)
    assert reply.status_code == 200, reply.text
    assert picture_in(reply.json()["data"][0]["b64_json"]).format == "PNG"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("form", ["b64_json", "url"])
async def test_every_format_comes_inside_and_at_an_address(
    client: httpx.AsyncClient, kind: str, form: str
) -> None:
    reply = await paint(client, response_format=form, output_format=kind, output_compression=50)
    (item,) = reply.json()["data"]
    assert reply.json()["output_format"] == kind
    if form == "b64_json":
        picture = picture_in(item["b64_json"])
    else:
        file = await client.get(item["url"])
        assert file.headers["content-type"] == f"image/{kind}"
        picture = Image.open(BytesIO(file.content))
    assert (picture.format, picture.size) == (kind.upper(), (64, 64))


async def test_compression_is_quality(client: httpx.AsyncClient) -> None:
    replies = [
        await paint(client, seed=1, size="512x512", output_format="webp", output_compression=quality)
        for quality in (0, 95)
    ]
    small, large = (len(reply.json()["data"][0]["b64_json"]) for reply in replies)
    assert small < large


@pytest.mark.parametrize(
    ("count", "most", "parts"),
    [(1, 8, [1]), (10, 8, [5, 5]), (10, 4, [4, 3, 3]), (8, 8, [8]), (3, 1, [1] * 3)],
)
def test_pictures_are_shared_out_evenly(count: int, most: int, parts: list[int]) -> None:
    assert shares(count, most) == parts


async def test_more_pictures_than_a_job_makes_are_several_jobs(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    data = (await paint(client, model="sketch", n=10, seed=3)).json()["data"]
    jobs = workshop.stores.jobs.page(limit=9).jobs
    assert sorted(job.settings["num_images"] for job in jobs) == [3, 3, 4]
    assert [item["seed"] for item in data] == list(range(3, 13))
    alone = (await paint(client, model="sketch", seed=12)).json()["data"]
    assert data[9]["b64_json"] != data[0]["b64_json"]
    assert picture_in(alone[0]["b64_json"]).tobytes() == picture_in(data[9]["b64_json"]).tobytes()


async def test_several_jobs_are_accepted_together_or_not_at_all(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_pending=2) as client:
        assert refusal(await paint(client, model="sketch", n=10)) == (429, "rate_limit_exceeded", None)
        assert sum(workshop.stores.jobs.counts().values()) == 0


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "nothing"}, 404, "model_not_found", "model"),
        ({"model": "clip"}, 400, "bad_request", "model"),
        ({"size": "63x64"}, 400, "bad_request", "size"),
        ({"size": "1024x1024"}, 400, "bad_request", "size"),
        ({"size": "large"}, 400, "invalid_request", "size"),
        ({"n": 0}, 400, "invalid_request", "n"),
        ({"n": 11}, 400, "invalid_request", "n"),
        ({"prompt": "x" * 2001}, 400, "bad_request", "prompt"),
        ({"prompt": None}, 400, "invalid_request", "prompt"),
        ({"num_inference_steps": 999}, 400, "bad_request", "num_inference_steps"),
        ({"guidance_scale": -1}, 400, "bad_request", "guidance_scale"),
        ({"output_format": "gif"}, 400, "invalid_request", "output_format"),
        ({"output_compression": 101}, 400, "invalid_request", "output_compression"),
        ({"response_format": "file"}, 400, "invalid_request", "response_format"),
        ({"partial_images": 4}, 400, "invalid_request", "partial_images"),
        ({"seed": -2}, 400, "invalid_request", "seed"),
    ],
    ids=str,
)
async def test_a_request_that_is_wrong_says_where_and_leaves_no_job(
    idle: httpx.AsyncClient, workshop: Workshop, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    assert refusal(await paint(idle, **body)) == (status, code, param)
    assert sum(workshop.stores.jobs.counts().values()) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"prompt": 1}', b'{"n": 1}'])
async def test_a_body_that_is_none_is_refused(idle: httpx.AsyncClient, body: bytes) -> None:
    reply = await idle.post(IMAGES, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert error_of(reply)["message"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (GenerationFailed("The pipeline broke."), 502, "server_error"),
        (OutOfMemory(hint="Try a smaller size."), 400, "invalid_request_error"),
        (BrokenWeights("A file is broken."), 503, "server_error"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_job_that_fails_says_why_and_is_not_to_be_sent_again(
    client: httpx.AsyncClient, workshop: Workshop, error: Any, status: int, kind: str
) -> None:
    workshop.family.fail_next(error)
    reply = await paint(client)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (status, "false")
    found = error_of(reply)
    assert (found["type"], found["code"]) == (kind, error.code)
    assert found["message"].startswith(str(error))
    assert found["message"].endswith(error.hint or str(error))


@pytest.mark.parametrize(("deleted", "end"), [(False, (409, "cancelled")), (True, (404, "job_deleted"))])
async def test_a_job_that_is_cancelled_or_deleted_ends_the_waiting(
    workshop: Workshop, deleted: bool, end: tuple[int, str]
) -> None:
    async with workshop.serving(dispatching=False) as client:
        waiting = asyncio.create_task(paint(client))
        await until(lambda: workshop.stores.jobs.counts()[JobStatus.PENDING] == 1)
        (job,) = workshop.stores.jobs.page(limit=1).jobs
        workshop.stores.jobs.request_cancel(job.id, now=now())
        if deleted:
            workshop.stores.jobs.delete(job.id)
        workshop.news.publish(job.id, JobStatus.CANCELLED)
        reply = await waiting
    assert refusal(reply) == (*end, None)
    assert reply.headers.get("x-should-retry") == (None if deleted else "false")


async def test_one_who_waits_keeps_nobody_else_waiting(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.gate.close()
    waiting = [asyncio.create_task(paint(client, f"fox {number}")) for number in range(20)]
    await workshop.reached()
    assert (await client.get("/health")).status_code == 200
    workshop.gate.open()
    assert {(await each).status_code for each in waiting} == {200}


async def test_pictures_are_in_the_gallery_and_status_shows_the_job(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    (item,) = (await paint(client)).json()["data"]
    gallery = (await client.get("/api/gallery")).json()["images"]
    assert [each["id"] for each in gallery] == [item["id"]]


PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "studio.example", "X-Forwarded-Prefix": "/paint/"}


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://cyberimage"),
        (PROXY, "https://studio.example/paint"),
        (
            {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "a.example:8443, b"},
            "https://a.example:8443",
        ),
        ({"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "a b/c", "X-Forwarded-Prefix": "x?"}, None),
        ({"X-Forwarded-Prefix": "//evil.example"}, None),
    ],
    ids=str,
)
async def test_addresses_are_what_the_client_can_reach(
    client: httpx.AsyncClient, headers: dict[str, str], base: str | None
) -> None:
    (item,) = (await paint(client, response_format="url", headers=headers)).json()["data"]
    assert item["url"] == f"{base or 'http://cyberimage'}/v1/images/{item['id']}/content"


async def test_the_path_under_which_the_server_is_mounted_is_part_of_the_address(workshop: Workshop) -> None:
    async with workshop.serving() as client:
        transport = httpx.ASGITransport(client._transport.app, root_path="/studio")  # type: ignore[attr-defined]
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as mounted:
            reply = await mounted.post(f"/studio{IMAGES}", json={"prompt": "a fox", "response_format": "url"})
            url = reply.json()["data"][0]["url"]
            assert url.startswith("http://here/studio/v1/images/")
            assert (await mounted.get(url)).status_code == 200
            assert error_of(await mounted.get("/studio/v1/nothing"))["code"] == "not_found"
