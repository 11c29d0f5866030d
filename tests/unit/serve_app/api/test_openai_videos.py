"""/v1/videos: ask, look, list, fetch, delete."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from in_process import Workshop, now, picture, small_registry, spec, until
from openai_requests import VIDEOS, error_of, film, paint, refusal

from configs.models import IntRange
from configs.registry import Registry
from deployments.errors import GenerationFailed
from serve_app.api.openai.replies import Video, Videos
from serve_app.api.openai.video_views import length
from storage.jobs import JobId, JobStatus

KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
ANN, BOB, ROOT = ({"Authorization": f"Bearer {name}-key"} for name in ("ann", "bob", "root"))
DATA_URL = "data:image/png;base64," + base64.b64encode(picture(32, 16)).decode()


async def made(client: httpx.AsyncClient, workshop: Workshop, **body: Any) -> Video:
    """A video that is finished."""
    video = (await film(client, **body)).json()
    await workshop.ended(video["id"])
    return Video.model_validate((await client.get(f"{VIDEOS}/{video['id']}")).json())


async def test_a_form_becomes_a_job_of_the_servers_model_for_clips(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    settings = {"num_inference_steps": 3, "guidance_scale": 2.5, "seed": 9, "negative_prompt": "blur"}
    reply = await film(idle, "a fox", size="128x96", seconds="2", fps=8, quality="high", **settings)
    video = Video.model_validate(reply.json())
    assert (video.status, video.progress, video.model, video.prompt) == ("queued", 0, "clip", "a fox")
    assert (video.size, video.seconds, video.num_frames, video.seed) == ("128x96", "2", 17, 9)
    job = workshop.job(video.id)
    assert (job.type, job.negative_prompt, job.settings["num_inference_steps"]) == ("t2v", "blur", 3)
    assert (job.settings["guidance_scale"], job.settings["fps"]) == (2.5, 8)


@pytest.mark.parametrize("seconds", ["2", 2, 2.0])
async def test_json_does_as_well(idle: httpx.AsyncClient, seconds: Any) -> None:
    body = {"prompt": "a fox", "seconds": seconds, "size": None, "model": "clip", "user": "ann"}
    reply = await idle.post(VIDEOS, json=body)
    assert (reply.status_code, reply.json()["num_frames"], reply.json()["size"]) == (200, 17, "64x64")


async def test_a_form_without_a_boundary_or_of_the_other_kind_is_no_riddle(idle: httpx.AsyncClient) -> None:
    plain = await idle.post(VIDEOS, data={"prompt": "a fox", "seconds": "1"})
    assert (plain.status_code, plain.json()["num_frames"]) == (200, 9)
    broken = await idle.post(VIDEOS, content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert broken.status_code == 400
    assert error_of(broken)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("seconds", "frames", "told"),
    [
        (0.1, 5, "0.62"),
        (0.6, 5, "0.62"),
        (1, 9, "1"),
        (4, 33, "4"),
        (9.4, 77, "9.62"),
        (9.9, 81, "10"),
        (10, 81, "10"),
        (60, 81, "10"),
    ],
)
async def test_seconds_become_frames_that_the_model_can_make(
    idle: httpx.AsyncClient, seconds: float, frames: int, told: str
) -> None:
    video = (await film(idle, seconds=seconds)).json()
    assert (video["num_frames"], video["seconds"]) == (frames, told)


def test_the_length_of_a_clip_of_no_known_model_is_exact() -> None:
    assert [length(81, 16, None), length(80, 16, None), length(33, 8, None)] == ["5.06", "5", "4.12"]


async def test_exact_frames_beat_seconds(idle: httpx.AsyncClient) -> None:
    assert (await film(idle, seconds=9, num_frames=13)).json()["num_frames"] == 13


async def test_a_video_shows_its_true_progress_and_when_to_look_again(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close(after_steps=3)
    video = (await film(client, num_inference_steps=10)).json()
    await workshop.reached()
    await until(lambda: (p := workshop.job(video["id"]).progress) is not None and p.step == 3)
    reply = await client.get(f"{VIDEOS}/{video['id']}")
    assert (reply.json()["status"], reply.json()["progress"]) == ("in_progress", 30)
    assert int(reply.headers["openai-poll-after-ms"]) == 500
    workshop.gate.open()
    await workshop.ended(video["id"])
    reply = await client.get(f"{VIDEOS}/{video['id']}")
    assert (reply.json()["status"], reply.json()["progress"]) == ("completed", 100)
    assert reply.json()["completed_at"] >= reply.json()["created_at"]
    assert "openai-poll-after-ms" not in reply.headers


async def test_polling_leaves_half_of_what_a_client_may_ask(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, requests_per_minute=60) as client:
        reply = await client.get(f"{VIDEOS}/{(await film(client)).json()['id']}")
        assert reply.headers["openai-poll-after-ms"] == "2000"


async def test_the_end_of_keeping_is_told(workshop: Workshop) -> None:
    async with workshop.serving(keep_days=2) as client:
        video = await made(client, workshop)
    assert video.completed_at is not None
    assert video.expires_at == video.completed_at + 2 * 24 * 3600


async def test_a_failed_and_a_cancelled_video_say_why(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.families["WanT2V"].fail_next(GenerationFailed("It broke.", hint="Try again."))
    failed = await made(client, workshop)
    assert (failed.status, failed.error and failed.error.code) == ("failed", "generation_failed")
    assert failed.error is not None
    assert failed.error.message == "It broke. Try again."
    content = await client.get(f"{VIDEOS}/{failed.id}/content")
    assert (content.status_code, content.headers["x-should-retry"]) == (502, "false")
    workshop.gate.close()
    video = (await film(client)).json()
    await client.post(f"/api/jobs/{video['id']}/cancel")
    workshop.gate.open()
    await workshop.ended(video["id"])
    cancelled = (await client.get(f"{VIDEOS}/{video['id']}")).json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")


async def test_the_file_comes_with_ranges_and_the_thumbnail_as_a_picture(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    video = await made(client, workshop)
    whole = await client.get(f"{VIDEOS}/{video.id}/content")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    part = await client.get(f"{VIDEOS}/{video.id}/content", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    assert part.content == b"ftyp"
    small = await client.get(f"{VIDEOS}/{video.id}/content", params={"variant": "thumbnail"})
    assert (small.headers["content-type"], small.content[8:12]) == ("image/webp", b"WEBP")
    sheet = await client.get(f"{VIDEOS}/{video.id}/content", params={"variant": "spritesheet"})
    assert refusal(sheet) == (400, "bad_request", "variant")


async def test_the_file_of_a_video_under_way_is_not_there_yet(idle: httpx.AsyncClient) -> None:
    video = (await film(idle)).json()
    reply = await idle.get(f"{VIDEOS}/{video['id']}/content")
    assert refusal(reply) == (409, "video_not_ready", None)
    assert reply.headers["x-should-retry"] == "false"


async def test_videos_are_listed_without_the_pictures_either_way_round(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.add()
    ids = [(await film(idle, f"fox {number}")).json()["id"] for number in range(5)]
    page = Videos.model_validate((await idle.get(VIDEOS, params={"limit": 2})).json())
    assert [video.id for video in page.data] == [ids[4], ids[3]]
    assert (page.first_id, page.last_id, page.has_more) == (ids[4], ids[3], True)
    rest = (await idle.get(VIDEOS, params={"after": page.last_id})).json()
    assert ([video["id"] for video in rest["data"]], rest["has_more"]) == ([ids[2], ids[1], ids[0]], False)
    oldest = (await idle.get(VIDEOS, params={"order": "asc", "after": ids[1], "limit": 2})).json()
    assert [video["id"] for video in oldest["data"]] == [ids[2], ids[3]]


async def test_a_list_of_nothing(idle: httpx.AsyncClient) -> None:
    reply = await idle.get(VIDEOS)
    assert reply.json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    assert refusal(await idle.get(VIDEOS, params={"after": "x"})) == (404, "not_found", None)
    assert refusal(await idle.get(VIDEOS, params={"limit": 0})) == (400, "invalid_request", "limit")


async def test_deleting_takes_the_file_along(client: httpx.AsyncClient, workshop: Workshop) -> None:
    video = await made(client, workshop)
    reply = await client.delete(f"{VIDEOS}/{video.id}")
    assert reply.json() == {"id": video.id, "object": "video.deleted", "deleted": True}
    assert workshop.media_files() == []
    assert refusal(await client.get(f"{VIDEOS}/{video.id}")) == (404, "not_found", None)
    assert (await client.delete(f"{VIDEOS}/{video.id}")).status_code == 404


async def test_deleting_ends_a_video_that_waits_or_runs(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    workshop.gate.close(after_steps=1)
    ids = [(await film(client, f"fox {number}", num_inference_steps=40)).json()["id"] for number in range(2)]
    await workshop.reached()
    for video_id in reversed(ids):
        reply = await client.delete(f"{VIDEOS}/{video_id}")
        assert (reply.status_code, reply.json()["deleted"]) == (200, True)
    assert sum(workshop.stores.jobs.counts().values()) == 0


async def test_a_run_that_does_not_stop_in_time_is_to_be_deleted_again(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, stop_within_s=0.01) as client:
        from serve_app.api.openai import videos

        job_id = workshop.add("clip")
        workshop.stores.jobs.claim(JobId(job_id), owner="gone", now=now(), lease_until=now())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(videos, "GRACE_S", 0.05)
            reply = await client.delete(f"{VIDEOS}/{job_id}")
    assert refusal(reply) == (409, "still_stopping", None)
    assert "x-should-retry" not in reply.headers
    assert workshop.job(job_id).cancel_requested


async def test_pictures_are_no_videos(client: httpx.AsyncClient, workshop: Workshop) -> None:
    await paint(client)
    (job,) = workshop.stores.jobs.page(limit=1).jobs
    for method, path in [("GET", ""), ("GET", "/content"), ("DELETE", "")]:
        reply = await client.request(method, f"{VIDEOS}/{job.id}{path}")
        assert refusal(reply) == (404, "not_found", None)
    assert workshop.status(job.id) is JobStatus.COMPLETED


async def test_each_key_has_its_own_videos(workshop: Workshop) -> None:
    async with workshop.serving(**KEYS) as client:
        video_id = (await film(client, headers=ANN)).json()["id"]
        await workshop.ended(video_id)
        for headers, status, count in [(ANN, 200, 1), (BOB, 404, 0), (ROOT, 200, 1)]:
            assert len((await client.get(VIDEOS, headers=headers)).json()["data"]) == count
            for path in ("", "/content"):
                reply = await client.get(f"{VIDEOS}/{video_id}{path}", headers=headers)
                assert reply.status_code == status
        assert (await client.delete(f"{VIDEOS}/{video_id}", headers=BOB)).status_code == 404
        assert (await client.delete(f"{VIDEOS}/{video_id}", headers=ANN)).status_code == 200


# -- with a picture to begin with


async def test_a_picture_makes_it_an_animation(client: httpx.AsyncClient, workshop: Workshop) -> None:
    video = await made(client, workshop, picture=picture(32, 16, "JPEG"))
    assert (video.status, video.model) == ("completed", "animate")
    source = workshop.stores.media.get(workshop.job(video.id).settings["source_image_id"])
    assert source is not None
    assert (source.width, source.height, source.is_upload) == (32, 16, True)


async def test_deleting_takes_the_picture_along_that_was_sent(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    video = await made(client, workshop, picture=picture(32, 16))
    assert len(workshop.media_files()) > 1
    again = (await client.post(f"/api/jobs/{video.id}/retry")).json()["job_id"]
    await workshop.ended(again)
    assert (await client.delete(f"{VIDEOS}/{video.id}")).status_code == 200
    source_id = workshop.job(again).settings["source_image_id"]
    assert (await client.get(f"/api/image/{source_id}")).status_code == 200
    assert (await client.delete(f"{VIDEOS}/{again}")).status_code == 200
    assert workshop.media_files() == []
    assert workshop.stores.media.get(source_id) is None


async def test_deleting_leaves_a_picture_whose_id_was_told(idle: httpx.AsyncClient) -> None:
    upload = (await idle.post("/api/upload", files={"file": picture(32, 16)})).json()
    video = (await film(idle, **{"input_reference[file_id]": upload["id"]})).json()
    assert (await idle.delete(f"{VIDEOS}/{video['id']}")).status_code == 200
    assert (await idle.get(upload["url"])).status_code == 200


async def test_the_native_api_deletes_a_video_alone(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    video = (await film(idle, picture=picture(32, 16))).json()
    await idle.post(f"/api/jobs/{video['id']}/cancel")
    assert (await idle.delete(f"/api/jobs/{video['id']}")).status_code == 200
    assert len(workshop.media_files()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"input_reference": DATA_URL},
        {"input_reference": {"image_url": DATA_URL}},
        {"input_reference": {"image_url": DATA_URL.replace("+", "%2B")}},
    ],
    ids=["plain", "nested", "quoted"],
)
async def test_the_picture_may_be_in_a_data_url(idle: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await idle.post(VIDEOS, json={"prompt": "x"} | body)).json()["model"] == "animate"


async def test_forms_may_nest_the_data_url_or_name_a_picture_that_is_here(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    nested = await film(idle, **{"input_reference[image_url]": DATA_URL})
    assert nested.json()["model"] == "animate"
    media = workshop.add_media()
    named = (await film(idle, **{"input_reference[file_id]": media.id})).json()
    assert workshop.job(named["id"]).settings["source_image_id"] == media.id
    assert refusal(await film(idle, **{"input_reference[file_id]": "x"})) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("model", "chosen"),
    [("clip", "animate"), ("animate", "animate"), ("ltx-t2v-2", "ltx-i2v-2"), ("ltx-t2v-3", "ltx-i2v-1")],
)
async def test_the_model_is_the_sibling_that_animates(make_workshop: Any, model: str, chosen: str) -> None:
    frames = {"limits": {"frames": IntRange(min=9, max=81, default=9, multiple=8, offset=1)}}
    names = [
        ("ltx-i2v-1", "ltx_i2v"),
        ("ltx-i2v-2", "ltx_i2v"),
        ("ltx-t2v-2", "ltx_t2v"),
        ("ltx-t2v-3", "ltx_t2v"),
    ]
    more = [spec(name, family, **frames) for name, family in names]
    workshop = make_workshop(registry=Registry([*small_registry().values(), *more]))
    workshop_settings = {"dispatching": False, "max_pending": 77}
    async with workshop.serving(**workshop_settings) as client:
        assert (await film(client, picture=picture(8, 8), model=model)).json()["model"] == chosen


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "nothing"}, 404, "model_not_found", "model"),
        ({"model": "paint"}, 400, "bad_request", "model"),
        ({"model": "animate"}, 400, "bad_request", "input_reference"),
        ({"model": "paint", "picture": picture(8, 8)}, 400, "bad_request", "model"),
        ({"picture": b"no picture"}, 400, "bad_request", None),
        ({"picture": picture(8, 8)[:45]}, 400, "bad_request", None),
        ({"input_reference": "https://evil.example/x.png"}, 400, "remote_url_refused", "input_reference"),
        ({"input_reference": "file:///etc/passwd"}, 400, "remote_url_refused", "input_reference"),
        ({"input_reference[image_url]": "http://127.0.0.1/"}, 400, "remote_url_refused", "input_reference"),
        ({"input_reference": "data:image/png,abc"}, 400, "bad_request", "input_reference"),
        ({"input_reference": "data:image/png;base64,???"}, 400, "bad_request", "input_reference"),
        ({"input_reference[other]": "x"}, 400, "invalid_request", "input_reference"),
        ({"seconds": "long"}, 400, "invalid_request", "seconds"),
        ({"seconds": 0}, 400, "invalid_request", "seconds"),
        ({"seconds": "nan"}, 400, "invalid_request", "seconds"),
        ({"fps": 0}, 400, "bad_request", "fps"),
        ({"fps": "9" * 400, "seconds": 1}, 400, "invalid_request", "fps"),
        ({"num_frames": 6}, 400, "bad_request", "num_frames"),
        ({"size": "63x64"}, 400, "bad_request", "size"),
        ({"size": "1280"}, 400, "invalid_request", "size"),
        ({"prompt": "x" * 2001}, 400, "bad_request", "prompt"),
        ({"seed": "-2"}, 400, "invalid_request", "seed"),
    ],
    ids=str,
)
async def test_a_request_that_is_wrong_says_where_and_leaves_nothing(
    idle: httpx.AsyncClient, workshop: Workshop, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    assert refusal(await film(idle, **body)) == (status, code, param)
    assert sum(workshop.stores.jobs.counts().values()) == 0
    assert workshop.media_files() == []


async def test_a_full_queue_keeps_no_picture(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_pending=1) as client:
        assert (await film(client, picture=picture(8, 8))).status_code == 200
        assert (await film(client, picture=picture(8, 8))).status_code == 429
    assert len(workshop.media_files()) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'"x"', b"\xff", b'{"fps": true}']
)
async def test_a_body_that_is_none_is_refused(idle: httpx.AsyncClient, body: bytes) -> None:
    reply = await idle.post(VIDEOS, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert error_of(reply)["message"]
