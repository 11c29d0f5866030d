"""Where keys are set, clients see and change only what is theirs; an admin's key sees all."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import httpx
import pytest
from in_process import Workshop, now, picture

from serve_app.api.events import of_client, stream
from storage.jobs import JobError, JobId, JobStatus
from storage.media import Media, MediaId

PAINT = {"model_id": "paint", "prompt": "x"}
ANN, BOB, ROOT = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob", "root"))


@pytest.fixture
async def client(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    keys = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
    async with workshop.serving(dispatching=False, **keys) as client:
        yield client


async def submitted(client: httpx.AsyncClient, headers: dict[str, str], **settings: Any) -> JobId:
    reply = await client.post("/api/generate", json=PAINT | {"settings": settings}, headers=headers)
    assert reply.status_code == 200, reply.text
    return JobId(reply.json()["job_id"])


async def made(client: httpx.AsyncClient, workshop: Workshop, headers: dict[str, str]) -> tuple[JobId, Media]:
    """A job of that client, and the picture that came of it."""
    job_id = await submitted(client, headers)
    path = workshop.files.write(MediaId(f"of-{job_id}"), "image", picture(8, 8), now())
    media = Media(
        id=MediaId(f"of-{job_id}"),
        job_id=job_id,
        media_type="image",
        file_path=path,
        created_at=now(),
        width=8,
        height=8,
        metadata={"model_id": "paint", "prompt": "x", "seed": 1},
    )
    jobs = workshop.stores.jobs
    jobs.claim(job_id, owner="me", now=now(), lease_until=now() + timedelta(minutes=1))
    assert jobs.complete(job_id, owner="me", now=now(), media=(media,), load_seconds=0, run_seconds=1)
    return job_id, media


def fail(workshop: Workshop, job_id: JobId) -> None:
    jobs = workshop.stores.jobs
    jobs.claim(job_id, owner="me", now=now(), lease_until=now() + timedelta(minutes=1))
    jobs.fail(job_id, owner="me", now=now(), error=JobError(code="c", message="m"))


JOB_ROUTES = [
    ("GET", "/api/status/{job}", None),
    ("GET", "/api/status/{job}?wait=1", None),
    ("GET", "/api/jobs/{job}", None),
    ("POST", "/api/jobs/{job}/cancel", None),
    ("POST", "/api/jobs/{job}/retry", None),
    ("POST", "/api/jobs/{job}/move", {"before": None}),
    ("DELETE", "/api/jobs/{job}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), JOB_ROUTES)
@pytest.mark.parametrize("ended", [False, True])
async def test_anothers_job_is_not_found(
    client: httpx.AsyncClient, workshop: Workshop, method: str, path: str, body: Any, ended: bool
) -> None:
    job_id = await submitted(client, ANN)
    if ended:
        fail(workshop, job_id)
    before = workshop.job(job_id)
    reply = await client.request(method, path.format(job=job_id), json=body, headers=BOB)
    assert (reply.status_code, reply.json()["message"]) == (404, f"Job not found: {job_id}")
    assert workshop.job(job_id) == before
    assert sum(workshop.stores.jobs.counts().values()) == 1


@pytest.mark.parametrize(("method", "path", "body"), JOB_ROUTES)
async def test_an_admin_reaches_everyones_jobs(
    client: httpx.AsyncClient, workshop: Workshop, method: str, path: str, body: Any
) -> None:
    job_id = await submitted(client, ANN)
    reply = await client.request(method, path.format(job=job_id), json=body, headers=ROOT)
    assert reply.status_code in (200, 409)


async def test_a_job_is_not_moved_before_anothers(client: httpx.AsyncClient) -> None:
    anns, bobs = await submitted(client, ANN), await submitted(client, BOB)
    reply = await client.post(f"/api/jobs/{bobs}/move", json={"before": anns}, headers=BOB)
    assert reply.status_code == 404


MEDIA_ROUTES = [
    ("GET", "/api/image/{media}", None),
    ("GET", "/api/get_image/{media}", None),
    ("GET", "/api/video/{media}", None),
    ("GET", "/api/get_video/{media}", None),
    ("GET", "/api/image/{media}/thumbnail", None),
    ("GET", "/api/video/{media}/thumbnail", None),
    ("GET", "/api/image/{media}/metadata", None),
    ("DELETE", "/api/image/{media}", None),
    ("POST", "/api/favorite/{media}", None),
    ("DELETE", "/api/favorite/{media}", None),
    ("GET", "/api/media/{media}/tags", None),
    ("PUT", "/api/media/{media}/tags", {"tags": ["sea"]}),
    ("POST", "/api/batch_download", {"ids": ["{media}"]}),
    (
        "POST",
        "/api/generate_video",
        {"source_image_id": "{media}", "video_model_id": "animate", "video_prompt": "x"},
    ),
]


def filled(body: Any, media_id: str) -> Any:
    if isinstance(body, dict):
        return {key: filled(value, media_id) for key, value in body.items()}
    if isinstance(body, list):
        return [filled(value, media_id) for value in body]
    return body.format(media=media_id) if isinstance(body, str) else body


@pytest.mark.parametrize(("method", "path", "body"), MEDIA_ROUTES)
@pytest.mark.parametrize("kind", ["output", "upload"])
async def test_anothers_picture_is_not_found(
    client: httpx.AsyncClient, workshop: Workshop, method: str, path: str, body: Any, kind: str
) -> None:
    if kind == "output":
        media_id: str = (await made(client, workshop, ANN))[1].id
    else:
        reply = await client.post("/api/upload", files={"file": ("p", picture(8, 8))}, headers=ANN)
        media_id = reply.json()["id"]
    before = (workshop.stores.media.get(MediaId(media_id)), workshop.stores.jobs.counts())
    reply = await client.request(
        method, path.format(media=media_id), json=filled(body, media_id), headers=BOB
    )
    assert (reply.status_code, reply.json()["message"].partition(":")[2]) == (404, f" {media_id}")
    assert (workshop.stores.media.get(MediaId(media_id)), workshop.stores.jobs.counts()) == before
    assert (await client.get(f"/api/image/{media_id}", headers=ANN)).status_code == 200
    assert (await client.get(f"/api/image/{media_id}", headers=ROOT)).status_code == 200


async def test_a_zip_with_one_of_anothers_is_refused(client: httpx.AsyncClient, workshop: Workshop) -> None:
    (_, anns), (_, bobs) = await made(client, workshop, ANN), await made(client, workshop, BOB)
    mine = await client.post("/api/batch_download", json={"ids": [anns.id]}, headers=ANN)
    with zipfile.ZipFile(BytesIO(mine.content)) as archive:
        assert archive.namelist() == [f"{anns.id}.png"]
    both = await client.post("/api/batch_download", json={"ids": [anns.id, bobs.id]}, headers=ANN)
    assert both.status_code == 404


async def test_anothers_media_are_passed_over_in_a_deletion(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    (_, anns), (_, bobs) = await made(client, workshop, ANN), await made(client, workshop, BOB)
    reply = await client.post("/api/batch_delete", json={"ids": [anns.id, bobs.id]}, headers=ANN)
    assert reply.json()["deleted"] == 1
    assert (await client.get("/api/gallery/ids", headers=ROOT)).json() == {"ids": [bobs.id]}
    assert (await client.get("/api/gallery/ids", headers=ANN)).json() == {"ids": []}


async def test_anothers_media_are_neither_tagged_nor_counted(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    (_, anns), (_, bobs) = await made(client, workshop, ANN), await made(client, workshop, BOB)
    for headers, name, tagged in [(ANN, "sea", 1), (BOB, "dusk", 1), (ROOT, "calm", 2)]:
        body = {"ids": [anns.id, bobs.id], "add": [name]}
        assert (await client.post("/api/batch_tag", json=body, headers=headers)).json()["tagged"] == tagged
    for headers, expected in [(ANN, {"sea": 1, "calm": 1}), (ROOT, {"calm": 2, "dusk": 1, "sea": 1})]:
        tags = (await client.get("/api/tags", headers=headers)).json()["tags"]
        assert {tag["name"]: tag["count"] for tag in tags} == expected
    gallery = (await client.get("/api/gallery?tag=calm", headers=BOB)).json()
    assert [(image["id"], image["tags"]) for image in gallery["images"]] == [(bobs.id, ["calm", "dusk"])]


async def test_lists_hold_what_is_onesof_client(client: httpx.AsyncClient, workshop: Workshop) -> None:
    (anns, anns_picture), (bobs, bobs_picture) = (
        await made(client, workshop, ANN),
        await made(client, workshop, BOB),
    )
    for headers, jobs, pictures in [
        (ANN, [anns], [anns_picture.id]),
        (BOB, [bobs], [bobs_picture.id]),
        (ROOT, [bobs, anns], [bobs_picture.id, anns_picture.id]),
    ]:
        listed = (await client.get("/api/jobs", headers=headers)).json()
        assert [job["id"] for job in listed["jobs"]] == jobs
        gallery = (await client.get("/api/gallery", headers=headers)).json()
        assert [image["id"] for image in gallery["images"]] == pictures
        assert gallery["total"] == len(pictures)


async def test_the_queue_counts_ones_own_and_tells_how_many_wait_in_all(client: httpx.AsyncClient) -> None:
    await submitted(client, ANN)
    for _ in range(2):
        await submitted(client, BOB)
    for headers, pending in [(ANN, 1), (BOB, 2), (ROOT, 3)]:
        queue = (await client.get("/api/queue?detailed=true", headers=headers)).json()
        assert (queue["pending"], queue["total"], queue["queue_size"]) == (pending, pending, 3)
        assert queue["recent_24h"]["pending"] == pending


async def test_the_detailed_queue_names_no_job_of_anothers(client: httpx.AsyncClient) -> None:
    anns, bobs = await submitted(client, ANN), await submitted(client, BOB)
    assert anns not in (await client.get("/api/queue?detailed=true", headers=BOB)).text
    assert bobs not in (await client.get("/api/queue?detailed=true", headers=ANN)).text


async def test_clearing_the_queue_cancels_ones_own_jobs(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    anns, bobs = await submitted(client, ANN), await submitted(client, BOB)
    assert (await client.post("/api/queue/clear", headers=BOB)).json()["cleared"] == 1
    assert (workshop.status(anns), workshop.status(bobs)) == (JobStatus.PENDING, JobStatus.CANCELLED)
    assert (await client.post("/api/queue/clear", headers=ROOT)).json()["cleared"] == 1


@pytest.mark.parametrize(
    "path", ["/api/queue/pause", "/api/queue/resume", "/api/reset_queue", "/api/models/paint/unload"]
)
async def test_what_concerns_everyone_wants_an_admins_key(
    client: httpx.AsyncClient, workshop: Workshop, path: str
) -> None:
    reply = await client.post(path, headers=ANN)
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    assert "CYBERIMAGE_ADMIN_KEYS" in reply.json()["message"]
    assert not workshop.stores.jobs.paused
    assert (await client.post(path, headers=ROOT)).status_code == 200


async def test_events_tell_only_of_ones_own_jobs(client: httpx.AsyncClient, workshop: Workshop) -> None:
    anns, bobs = await submitted(client, ANN), await submitted(client, BOB)
    app = client._transport.app  # type: ignore[attr-defined]
    client_of_ann = workshop.job(anns).client
    assert client_of_ann is not None
    events = stream(workshop.news, None, of_client(app.state.services, client_of_ann))
    assert "hello" in await anext(events)
    for job_id in (bobs, anns, bobs, "unknown", anns):
        workshop.news.publish(job_id, "processing")
        workshop.news.publish(job_id, "completed")
    text = await anext(events)
    assert anns in text
    assert bobs not in text


async def test_a_sole_key_sees_what_was_made_before_it_was_set(workshop: Workshop) -> None:
    earlier = workshop.add()
    async with workshop.serving(dispatching=False, api_keys="ann-key") as client:
        assert (await client.get(f"/api/status/{earlier}", headers=ANN)).status_code == 200
        assert (await client.post("/api/queue/pause", headers=ANN)).status_code == 200


async def test_without_an_admin_key_several_keys_are_equal(workshop: Workshop) -> None:
    earlier = workshop.add()
    async with workshop.serving(dispatching=False, api_keys="ann-key,bob-key") as client:
        assert (await client.get(f"/api/status/{earlier}", headers=ANN)).status_code == 404
        assert (await client.post("/api/queue/pause", headers=ANN)).status_code == 403


async def test_an_admin_key_alone_closes_the_server_to_others(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, admin_keys="root-key") as client:
        assert (await client.get("/api/queue")).status_code == 401
        assert (await client.get("/api/queue", headers=ROOT)).status_code == 200


async def test_without_keys_everyone_sees_everything(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    earlier = workshop.add()
    assert (await idle.get(f"/api/status/{earlier}")).status_code == 200
    assert (await idle.post("/api/queue/pause")).status_code == 200
