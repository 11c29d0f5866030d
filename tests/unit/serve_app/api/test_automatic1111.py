"""AUTOMATIC1111's API, as its clients use it."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from io import BytesIO
from typing import Any

import httpx
import pytest
from in_process import Workshop
from PIL import Image

from deployments.errors import OutOfMemory
from serve_app.api import shared_file

KEYS = {"api_keys": "ann-key,bob-key", "admin_keys": "root-key"}
#: What SillyTavern and webuiapi send beside what is wanted.
EXTRAS: dict[str, Any] = {
    "sampler_name": "Euler a",
    "scheduler": "karras",
    "sampler_index": "Euler a",
    "restore_faces": False,
    "enable_hr": False,
    "hr_scale": 2,
    "hr_upscaler": "Latent",
    "denoising_strength": 0.7,
    "firstphase_width": 0,
    "clip_skip": 1,
    "styles": [],
    "subseed": -1,
    "tiling": False,
    "do_not_save_samples": True,
    "save_images": False,
    "script_name": None,
    "script_args": [],
    "alwayson_scripts": {},
}


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"user:{key}".encode()).decode()}


async def txt2img(client: httpx.AsyncClient, headers: Any = None, **body: Any) -> dict[str, Any]:
    reply = await client.post("/sdapi/v1/txt2img", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer | {"info": json.loads(answer["info"])}


def pictures(answer: dict[str, Any]) -> list[Image.Image]:
    return [Image.open(BytesIO(base64.b64decode(image, validate=True))) for image in answer["images"]]


async def checkpoint(client: httpx.AsyncClient, headers: Any = None) -> str:
    options = (await client.get("/sdapi/v1/options", headers=headers)).json()
    return str(options["sd_model_checkpoint"])


# -- txt2img


async def test_a_prompt_becomes_a_png_with_its_infotext(client: httpx.AsyncClient) -> None:
    answer = await txt2img(client, prompt="a red fox", steps=3, cfg_scale=4, width=64, height=48, seed=5)
    (picture,) = pictures(answer)
    assert (picture.format, picture.size) == ("PNG", (64, 48))
    assert picture.info["parameters"].startswith("a red fox\nSteps: 3, ")
    assert answer["info"]["infotexts"] == [picture.info["parameters"]]
    assert answer["info"]["adjusted"] == []


async def test_info_says_what_was_made(client: httpx.AsyncClient) -> None:
    info = (await txt2img(client, prompt="x", steps=3, cfg_scale=4, width=64, height=48, seed=5))["info"]
    assert (info["prompt"], info["all_prompts"], info["seed"], info["all_seeds"]) == ("x", ["x"], 5, [5])
    assert (info["width"], info["height"], info["steps"], info["cfg_scale"]) == (64, 48, 3, 4)
    assert (info["sd_model_name"], info["sampler_name"], info["batch_size"]) == ("paint", "Fake", 1)
    assert len(info["job_timestamp"]) == 14


async def test_a_random_seed_is_told_and_gives_the_same_picture_again(client: httpx.AsyncClient) -> None:
    first = await txt2img(client, prompt="x", seed=-1)
    again = await txt2img(client, prompt="x", seed=first["info"]["seed"])
    assert again["images"] == first["images"]


async def test_a_batch_is_made_in_jobs_of_what_the_model_allows(
    client: httpx.AsyncClient, workshop: Workshop
) -> None:
    await client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "sketch"})
    answer = await txt2img(client, prompt="x", batch_size=3, n_iter=2, seed=10)
    assert answer["info"]["all_seeds"] == [10, 11, 12, 13, 14, 15]
    assert len(set(answer["images"])) == 6
    jobs = [workshop.job(job_id) for job_id in answer["info"]["job_ids"]]
    assert [(job.outputs, job.seed) for job in jobs] == [(4, 10), (2, 14)]


async def test_what_other_programs_send_besides_is_ignored(client: httpx.AsyncClient) -> None:
    answer = await txt2img(client, prompt="x", **EXTRAS)
    assert len(answer["images"]) == 1
    assert answer["parameters"]["sampler_name"] == "Euler a"
    assert "enable_hr" not in answer["parameters"]


async def test_images_are_left_out_when_they_are_not_wanted(client: httpx.AsyncClient) -> None:
    answer = await txt2img(client, prompt="x", send_images=False)
    assert answer["images"] == []
    assert len(answer["info"]["image_ids"]) == 1


async def test_what_the_model_cannot_do_becomes_the_nearest_and_is_told(client: httpx.AsyncClient) -> None:
    answer = await txt2img(client, prompt="x", width=2048, height=1024, steps=5000, cfg_scale=7)
    info = answer["info"]
    assert pictures(answer)[0].size == (info["width"], info["height"]) == (720, 352)
    assert info["adjusted"] == ["width 2048 to 720", "height 1024 to 352", "steps 5000 to 50"]
    assert info["infotexts"][0].endswith(
        'Model: paint, Adjusted: "width 2048 to 720, height 1024 to 352, steps 5000 to 50"'
    )
    assert answer["parameters"]["width"] == 2048


async def test_absent_settings_are_the_models_defaults(client: httpx.AsyncClient, workshop: Workshop) -> None:
    limits = workshop.registry["paint"].limits
    info = (await txt2img(client, prompt="x"))["info"]
    assert (info["width"], info["height"]) == (limits.width.default, limits.height.default)
    assert (info["steps"], info["cfg_scale"]) == (limits.steps.default, limits.guidance.default)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"steps": 0}, "steps: Input should be greater than or equal to 1"),
        ({"width": "wide"}, "width must be a number"),
        ({"batch_size": 40, "n_iter": 2}, "batch_size times n_iter is 80; at most 64 are made"),
        ({"prompt": "x" * 2001}, "Prompt too long. Maximum length is 2000 characters."),
        ({"prompt": 5}, "prompt: Input should be a valid string"),
    ],
)
async def test_a_bad_request_is_told_in_that_apis_form_and_leaves_no_job(
    idle: httpx.AsyncClient, workshop: Workshop, body: dict[str, Any], detail: str
) -> None:
    reply = await idle.post("/sdapi/v1/txt2img", json={"prompt": "x"} | body)
    assert reply.status_code == 422
    assert reply.json() == {
        "error": reply.json()["error"],
        "detail": detail,
        "body": "",
        "errors": detail,
    }
    assert sum(workshop.stores.jobs.counts().values()) == 0


async def test_a_failed_job_is_told_with_its_reason(client: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.family.fail_next(OutOfMemory("The GPU has no room."))
    reply = await client.post("/sdapi/v1/txt2img", json={"prompt": "x"})
    assert (reply.status_code, reply.json()["error"]) == (502, "out_of_memory")
    assert reply.json()["detail"].startswith("The GPU has no room.")


async def test_a_full_queue_takes_all_jobs_of_a_batch_or_none(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_pending=1) as client:
        reply = await client.post("/sdapi/v1/txt2img", json={"prompt": "x", "n_iter": 20})
    assert (reply.status_code, reply.json()["error"]) == (429, "too_many_requests")
    assert "retry-after" in reply.headers
    assert sum(workshop.stores.jobs.counts().values()) == 0


async def test_an_idempotency_key_makes_the_pictures_once(client: httpx.AsyncClient) -> None:
    body = {"prompt": "x", "n_iter": 10}
    first = await txt2img(client, {"Idempotency-Key": "once"}, **body)
    again = await txt2img(client, {"Idempotency-Key": "once"}, **body)
    assert again["info"]["job_ids"] == first["info"]["job_ids"]
    assert len(again["images"]) == 10


async def test_jobs_that_are_queued_are_answered_though_the_clients_file_is_locked(
    client: httpx.AsyncClient, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_file, "PATIENCE_S", 0.1)
    await checkpoint(client)  # makes the file
    with closing(sqlite3.connect(workshop.folder / "automatic1111.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")  # may be read still, so that the model is found
        answer = await txt2img(client, prompt="x")
    assert len(answer["images"]) == 1
    assert sum(workshop.stores.jobs.counts().values()) == 1


async def test_a_damaged_clients_file_is_begun_anew(client: httpx.AsyncClient, workshop: Workshop) -> None:
    await client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "sketch"})
    (workshop.folder / "automatic1111.sqlite3").write_bytes(b"noise" * 9999)
    assert await checkpoint(client) == "paint"
    await client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "sketch"})
    assert await checkpoint(client) == "sketch"


async def test_image_to_image_is_refused_with_what_there_is_instead(idle: httpx.AsyncClient) -> None:
    reply = await idle.post("/sdapi/v1/img2img", json={"init_images": ["A" * 2_000_000], "prompt": "x"})
    assert reply.status_code == 404
    assert reply.json()["detail"].startswith("This server has no image-to-image model. txt2img makes")


# -- checkpoints and options


async def test_text_to_image_models_are_checkpoints(idle: httpx.AsyncClient) -> None:
    models = (await idle.get("/sdapi/v1/sd-models")).json()
    assert [model["title"] for model in models] == ["paint", "sketch", "switched-off"]
    assert all(model["title"] == model["model_name"] for model in models)


async def test_the_whole_options_object_is_taken_back(client: httpx.AsyncClient) -> None:
    options = (await client.get("/sdapi/v1/options")).json()
    assert options["sd_model_checkpoint"] == "paint"
    reply = await client.post("/sdapi/v1/options", json=options | {"sd_model_checkpoint": "sketch"})
    assert (reply.status_code, reply.json()) == (200, None)
    assert await checkpoint(client) == "sketch"
    assert (await txt2img(client, prompt="x"))["info"]["sd_model_name"] == "sketch"


async def test_choosing_a_checkpoint_loads_nothing(client: httpx.AsyncClient, workshop: Workshop) -> None:
    await client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "sketch"})
    assert workshop.families["SD35"].loaded_model is None
    assert (await client.get("/sdapi/v1/progress")).json()["state"]["job_count"] == 0


@pytest.mark.parametrize(("kept", "afterwards"), [(True, "paint"), (False, "sketch")])
async def test_a_request_may_have_another_checkpoint(
    client: httpx.AsyncClient, kept: bool, afterwards: str
) -> None:
    override = {"override_settings": {"sd_model_checkpoint": "sketch", "CLIP_stop_at_last_layers": 2}}
    answer = await txt2img(client, prompt="x", override_settings_restore_afterwards=kept, **override)
    assert answer["info"]["sd_model_name"] == "sketch"
    assert await checkpoint(client) == afterwards


async def test_an_unknown_checkpoint_is_not_found(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    override = {"override_settings": {"sd_model_checkpoint": "clip"}}
    for path, body in (("options", {"sd_model_checkpoint": "v1-5"}), ("txt2img", override)):
        reply = await idle.post(f"/sdapi/v1/{path}", json=body)
        assert reply.status_code == 404
        assert reply.json()["detail"].startswith("Checkpoint not found: ")
    assert sum(workshop.stores.jobs.counts().values()) == 0


async def test_each_client_has_a_checkpoint_of_its_own(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, **KEYS) as client:
        chosen = {"sd_model_checkpoint": "sketch"}
        await client.post("/sdapi/v1/options", json=chosen, headers=basic("ann-key"))
        assert await checkpoint(client, basic("ann-key")) == "sketch"
        assert await checkpoint(client, basic("bob-key")) == "paint"


async def test_only_an_admin_unloads_the_checkpoint(workshop: Workshop) -> None:
    async with workshop.serving(**KEYS) as client:
        await txt2img(client, basic("ann-key"), prompt="x")
        refused = await client.post("/sdapi/v1/unload-checkpoint", headers=basic("ann-key"))
        assert refused.status_code == 403
        assert "admin key" in refused.json()["detail"]
        reply = await client.post("/sdapi/v1/unload-checkpoint", headers=basic("root-key"))
        assert (reply.status_code, reply.json()) == (200, {})
        assert workshop.clients["Flux"].replicas == 0


async def test_without_a_key_there_is_no_entry_and_the_refusal_has_that_apis_form(
    workshop: Workshop,
) -> None:
    async with workshop.serving(dispatching=False, **KEYS) as client:
        reply = await client.get("/sdapi/v1/options")
        assert (reply.status_code, reply.json()["error"]) == (401, "unauthorized")
        assert reply.json()["detail"].startswith("A valid API key is needed")
        assert reply.headers["www-authenticate"].startswith("Basic")


async def test_what_that_web_ui_has_and_this_server_has_not_is_not_found(idle: httpx.AsyncClient) -> None:
    reply = await idle.get("/sdapi/v1/hypernetworks")
    unknown = "There is no GET /sdapi/v1/hypernetworks here; /docs lists what there is"
    assert (reply.status_code, reply.json()["detail"]) == (404, unknown)


# -- lists


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("samplers", ["Euler"]),
        ("schedulers", ["automatic"]),
        ("upscalers", ["None"]),
        ("latent-upscale-modes", []),
        ("sd-vae", []),
        ("sd-modules", []),
        ("loras", []),
        ("prompt-styles", []),
    ],
)
async def test_lists_have_names(idle: httpx.AsyncClient, path: str, names: list[str]) -> None:
    assert [item["name"] for item in (await idle.get(f"/sdapi/v1/{path}")).json()] == names


async def test_memory_adds_up(idle: httpx.AsyncClient) -> None:
    ram = (await idle.get("/sdapi/v1/memory")).json()["ram"]
    assert ram["free"] + ram["used"] == ram["total"] > 0
    assert (await idle.get("/sdapi/v1/cmd-flags")).json()["api"] is True
