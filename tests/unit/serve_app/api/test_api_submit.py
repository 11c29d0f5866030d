from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import httpx
import pytest
from in_process import Workshop
from PIL import Image

from storage.jobs import JobId

PAINT = {"model_id": "paint", "prompt": "a red fox"}
CLIP = {"model_id": "clip", "prompt": "a red fox runs"}


async def settings_of(workshop: Workshop, reply: httpx.Response) -> dict[str, Any]:
    return workshop.job(reply.json()["job_id"]).settings


async def test_a_picture_is_submitted_made_and_fetched(client: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await client.post("/api/generate", json=PAINT | {"settings": {"num_images": 2, "seed": 5}})
    assert (reply.status_code, reply.json()["status"], reply.json()["num_images"]) == (200, "pending", 2)
    assert reply.json()["message"] == "Image generation job submitted successfully for 2 image(s)"
    await workshop.ended(reply.json()["job_id"])
    view = (await client.get(f"/api/status/{reply.json()['job_id']}")).json()
    assert (view["status"], view["message"]) == ("completed", "Generated 2 image(s)")
    assert [image["metadata"]["seed"] for image in view["images"]] == [5, 6]
    assert view["image_ids"] == [image["id"] for image in view["images"]]
    picture = await client.get(view["images"][0]["url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")


async def test_a_clip_is_submitted_made_and_fetched(client: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await client.post("/api/generate_t2v", json=CLIP)
    assert (reply.status_code, reply.json()["status"]) == (202, "pending")
    assert reply.json()["message"] == "Text-to-Video generation job submitted successfully."
    await workshop.ended(reply.json()["job_id"])
    view = (await client.get(f"/api/status/{reply.json()['job_id']}")).json()
    (clip,) = view["images"]
    assert (view["type"], clip["media_type"], clip["metadata"]["frame_count"]) == ("t2v", "video", 5)
    assert (await client.get(clip["url"])).headers["content-type"] == "video/mp4"


async def test_a_picture_is_animated(client: httpx.AsyncClient, workshop: Workshop) -> None:
    source = workshop.add_media()
    body = {"source_image_id": source.id, "video_model_id": "animate", "video_prompt": "it runs"}
    reply = await client.post("/api/generate_video", json=body)
    assert reply.status_code == 202
    (job,) = await workshop.ended(reply.json()["job_id"])
    assert job.settings["source_image_id"] == source.id
    assert workshop.media(job.id)[0].metadata["source_image_id"] == source.id


async def test_what_is_absent_is_the_models_default(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await idle.post("/api/generate_t2v", json=CLIP)
    settings = await settings_of(workshop, reply)
    assert 0 <= settings.pop("seed") < 2**32
    assert settings == {
        "type": "t2v",
        "width": 64,
        "height": 64,
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
        "num_frames": 5,
        "fps": 8,
    }


async def test_what_is_given_is_what_runs(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    given = {"width": 128, "height": 32, "num_inference_steps": 7, "guidance_scale": 0, "seed": 0}
    reply = await idle.post("/api/generate", json=PAINT | {"settings": given | {"num_images": 8}})
    assert (await settings_of(workshop, reply)).items() >= (given | {"num_images": 8}).items()
    assert workshop.job(reply.json()["job_id"]).seed == 0


async def test_a_whole_float_counts_as_an_integer(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await idle.post("/api/generate", json=PAINT | {"settings": {"width": 128.0}})
    assert (await settings_of(workshop, reply))["width"] == 128


@pytest.mark.parametrize(
    "prompt",
    [
        *(
            "\u202eevil\u202c",
            "\u200f\u2066x\u2069",
            "\x1b[31mred\x1b]0;title\x07",
            "a\r\nb\tc",
            "\ufeff",
            "\uffff",
        ),
        *(
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "e" + "\u0301" * 500,
            "\u0430dmin",
            "%s%n{0}${x}",
            "'; DROP TABLE jobs;--",
        ),
    ],
)
async def test_a_prompt_is_kept_character_for_character(
    client: httpx.AsyncClient, workshop: Workshop, prompt: str
) -> None:
    reply = await client.post("/api/generate", json=PAINT | {"prompt": prompt})
    job_id = reply.json()["job_id"]
    await workshop.ended(job_id)
    view = (await client.get(f"/api/status/{job_id}")).json()
    assert (view["prompt"], view["images"][0]["metadata"]["prompt"]) == (prompt, prompt)
    picture = (await client.get(view["images"][0]["url"])).content
    assert json.loads(Image.open(BytesIO(picture)).info["cyberimage"])["prompt"] == prompt


@pytest.mark.parametrize("seed", [None, -1])
async def test_a_random_seed_is_chosen_and_recorded(
    idle: httpx.AsyncClient, workshop: Workshop, seed: int | None
) -> None:
    seeds = set()
    for _ in range(3):
        reply = await idle.post("/api/generate", json=PAINT | {"settings": {"seed": seed}})
        seeds.add(workshop.job(reply.json()["job_id"]).seed)
    assert len(seeds) == 3
    assert min(seeds) >= 0


async def test_the_same_request_with_a_seed_gives_the_same_file(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    files = []
    for _ in range(2):
        reply = await client.post("/api/generate", json=PAINT | {"settings": {"seed": 11}})
        (job,) = await workshop.ended(reply.json()["job_id"])
        files.append(workshop.files.path(job.media_path or "").read_bytes())
    assert files[0] == files[1]


async def test_the_route_decides_the_type_and_the_source(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    forged = {"type": "i2v", "source_image_id": "x"}
    reply = await idle.post("/api/generate", json=PAINT | {"settings": forged})
    settings = await settings_of(workshop, reply)
    assert settings["type"] == "image"
    assert "source_image_id" not in settings


async def test_unknown_fields_beside_settings_are_ignored(idle: httpx.AsyncClient) -> None:
    assert (await idle.post("/api/generate", json=PAINT | {"style": "noir"})).status_code == 200


async def test_a_body_without_a_content_type_is_read_as_json(idle: httpx.AsyncClient) -> None:
    reply = await idle.post("/api/generate", content=b'{"model_id": "paint", "prompt": "x"}')
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("given", "recorded"),
    [({}, "ugly"), ({"negative_prompt": ""}, "ugly"), ({"negative_prompt": "dogs"}, "dogs")],
)
async def test_the_negative_prompt_is_the_given_one_or_the_models(
    idle: httpx.AsyncClient, workshop: Workshop, given: dict[str, str], recorded: str
) -> None:
    body = {"model_id": "sketch", "prompt": "cats"}
    for form in (body | given, body | {"settings": given}):
        reply = await idle.post("/api/generate", json=form)
        assert workshop.job(reply.json()["job_id"]).negative_prompt == recorded


async def test_a_negative_prompt_that_the_model_does_not_take_is_ignored_and_said(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    reply = await idle.post("/api/generate", json=PAINT | {"negative_prompt": "dogs"})
    assert reply.json()["message"].endswith("paint takes no negative prompt, so it is ignored")
    assert workshop.job(reply.json()["job_id"]).negative_prompt == ""


async def test_the_same_key_and_body_give_the_same_job(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    headers = {"Idempotency-Key": "once"}
    replies = [await idle.post("/api/generate", json=PAINT, headers=headers) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    assert workshop.stores.jobs.queue_position(workshop.job(replies[0].json()["job_id"])) == 1


async def test_the_same_key_with_another_body_or_route_is_a_conflict(idle: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    await idle.post("/api/generate", json=PAINT, headers=headers)
    other = await idle.post("/api/generate", json=PAINT | {"prompt": "a dog"}, headers=headers)
    clip = await idle.post("/api/generate_t2v", json=CLIP, headers=headers)
    assert (other.status_code, clip.status_code) == (409, 409)
    assert "used before with a different request" in other.json()["message"]


async def test_an_empty_key_is_no_key(idle: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": ""}
    replies = [await idle.post("/api/generate", json=PAINT, headers=headers) for _ in range(2)]
    assert replies[0].json()["job_id"] != replies[1].json()["job_id"]


async def test_a_full_queue_says_when_to_come_back(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_pending=1) as client:
        await client.post("/api/generate", json=PAINT)
        reply = await client.post("/api/generate", json=PAINT)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "30")
    assert reply.json() == {
        "status": "error",
        "message": "The queue is full. Try again when some jobs have finished.",
        "code": "too_many_requests",
    }


async def test_a_job_remembers_who_sent_it(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await idle.post("/api/generate", json=PAINT)
    assert workshop.job(JobId(reply.json()["job_id"])).client == "127.0.0.1"
