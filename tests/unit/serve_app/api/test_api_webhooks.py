"""A submit may name an address that is told of the job's end, if its host is listed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from in_process import Workshop, picture

from storage.jobs import JobId

URL = "https://hooks.example/x"
SECRET = "a secret that is long enough"
PAINT = {"model_id": "paint", "prompt": "a red fox"}


@pytest.fixture
async def hooked(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    """The API of a server that may tell ends to one host."""
    settings = {"webhook_hosts": "hooks.example", "webhook_secret": SECRET}
    async with workshop.serving(dispatching=False, **settings) as client:
        yield client


async def submitted(client: httpx.AsyncClient, route: str, body: dict[str, object]) -> str:
    reply = await client.post(route, json=body | {"webhook_url": URL})
    assert reply.status_code in (200, 202), reply.text
    return str(reply.json()["job_id"])


async def test_every_submit_takes_an_address_and_a_retry_keeps_it(hooked: httpx.AsyncClient) -> None:
    source = (await hooked.post("/api/upload", files={"file": ("p", picture(8, 8))})).json()["id"]
    film = {"video_model_id": "animate", "video_prompt": "it runs", "source_image_id": source}
    ids = [
        await submitted(hooked, "/api/generate", PAINT),
        await submitted(hooked, "/api/generate_t2v", {"model_id": "clip", "prompt": "a red fox"}),
        await submitted(hooked, "/api/generate_video", film),
    ]
    await hooked.post(f"/api/jobs/{ids[0]}/cancel")
    ids.append((await hooked.post(f"/api/jobs/{ids[0]}/retry")).json()["job_id"])
    views = [(await hooked.get(f"/api/status/{job_id}")).json()["webhook"] for job_id in ids]
    assert [view["url"] for view in views] == [URL] * 4
    assert views[3]["status"] == "waiting"


async def test_a_job_tells_how_its_webhook_goes(hooked: httpx.AsyncClient, workshop: Workshop) -> None:
    job_id = await submitted(hooked, "/api/generate", PAINT)
    shown = [(await hooked.get(f"/api/status/{job_id}")).json()["webhook"]]
    now = datetime.now(UTC)
    webhooks = workshop.stores.webhooks
    webhooks.failed(JobId(job_id), problem="answered 500", next_at=now + timedelta(seconds=5))
    shown.append((await hooked.get("/api/jobs")).json()["jobs"][0]["webhook"])
    webhooks.delivered(JobId(job_id), now=now)
    shown.append((await hooked.get(f"/api/status/{job_id}")).json()["webhook"])
    assert [(view["status"], view["attempts"], view["problem"]) for view in shown] == [
        ("waiting", 0, None),
        ("failing", 1, "answered 500"),
        ("delivered", 2, None),
    ]
    assert [bool(view["next_attempt_at"]) for view in shown] == [False, True, False]


async def test_a_job_without_an_address_shows_none(hooked: httpx.AsyncClient) -> None:
    job_id = (await hooked.post("/api/generate", json=PAINT | {"webhook_url": None})).json()["job_id"]
    assert (await hooked.get(f"/api/status/{job_id}")).json()["webhook"] is None


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", "http://127.0.0.1:8265/", "http://hooks.example/x", "nonsense", ""],
)
async def test_an_address_elsewhere_is_refused_and_leaves_no_job(
    hooked: httpx.AsyncClient, workshop: Workshop, url: str
) -> None:
    reply = await hooked.post("/api/generate", json=PAINT | {"webhook_url": url})
    assert (reply.status_code, reply.json()["code"]) == (400, "webhook_refused")
    assert "CYBERIMAGE_WEBHOOK_HOSTS" in reply.json()["message"]
    assert workshop.stores.jobs.page(limit=9).jobs == ()


async def test_by_default_every_address_is_refused(idle: httpx.AsyncClient) -> None:
    reply = await idle.post("/api/generate", json=PAINT | {"webhook_url": URL})
    assert (reply.status_code, reply.json()["code"]) == (400, "webhook_refused")


@pytest.mark.parametrize("url", [7, ["https://hooks.example"], "https://hooks.example/" + "a" * 2000])
async def test_what_is_no_address_is_refused_at_the_door(hooked: httpx.AsyncClient, url: object) -> None:
    assert (await hooked.post("/api/generate", json=PAINT | {"webhook_url": url})).status_code == 400


async def test_the_description_says_which_addresses_will_do(hooked: httpx.AsyncClient) -> None:
    bodies = (await hooked.get("/openapi.json")).json()["components"]["schemas"]
    fields = [bodies[name]["properties"]["webhook_url"] for name in ("GenerateBody", "GenerateVideoBody")]
    assert [field["examples"] for field in fields] == [["https://hooks.example/cyberimage"]] * 2
    assert re.match(fields[0]["anyOf"][0]["pattern"], URL)
    assert not re.match(fields[0]["anyOf"][0]["pattern"], "https://hooks.example.evil.example/")
