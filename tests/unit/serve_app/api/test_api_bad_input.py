"""Bad input gets a clear 4xx and leaves nothing behind."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from in_process import Workshop

Case = tuple[str, str]


@pytest.fixture
async def client(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    """The API; no test may leave a job."""
    async with workshop.serving(dispatching=False) as client:
        yield client
        assert sum(workshop.stores.jobs.counts().values()) == 0
        assert workshop.stores.media.file_paths() == frozenset(workshop.media_files())


def refusal(reply: httpx.Response, status: int) -> str:
    body = reply.json()
    assert (reply.status_code, body["status"]) == (status, "error"), body
    assert body.keys() <= {"status", "message", "code", "details"}
    assert body["code"]
    return str(body["message"])


async def paint(client: httpx.AsyncClient, **settings: Any) -> str:
    body = {"model_id": "paint", "prompt": "x", "settings": settings}
    return refusal(await post(client, "/api/generate", body), 400)


async def film(client: httpx.AsyncClient, **settings: Any) -> str:
    body = {"model_id": "clip", "prompt": "x", "settings": settings}
    return refusal(await post(client, "/api/generate_t2v", body), 400)


async def post(client: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
    """With Python's JSON, which writes NaN and lone surrogates."""
    headers = {"Content-Type": "application/json"}
    return await client.post(path, content=json.dumps(body), headers=headers)


PICTURE_MODELS = "paint, sketch, switched-off"


@pytest.mark.parametrize(
    ("route", "body", "message"),
    [
        (
            "/api/generate",
            {"model_id": "nope", "prompt": "x"},
            f"Invalid model_id. Available models: {PICTURE_MODELS}",
        ),
        (
            "/api/generate_t2v",
            {"model_id": "nope", "prompt": "x"},
            "Invalid model_id. Available models: clip",
        ),
        (
            "/api/generate_video",
            {"video_model_id": "nope", "video_prompt": "x", "source_image_id": "y"},
            "Invalid video_model_id. Available models: animate",
        ),
        (
            "/api/generate",
            {"model_id": "clip", "prompt": "x"},
            "Model clip is of type t2v and not a text-to-image generation model. "
            f"Models that would do: {PICTURE_MODELS}",
        ),
        (
            "/api/generate_t2v",
            {"model_id": "animate", "prompt": "x"},
            "Model animate is of type i2v and not a text-to-video generation model. "
            "Models that would do: clip",
        ),
        (
            "/api/generate_video",
            {"video_model_id": "paint", "video_prompt": "x", "source_image_id": "y"},
            "Model paint is of type image and not an image-to-video generation model. "
            "Models that would do: animate",
        ),
        (
            "/api/generate",
            {"model_id": "switched-off", "prompt": "x"},
            "Model switched-off is not here, and its download is turned off "
            "(download_enabled, or DOWNLOAD_MODEL_<N>)",
        ),
    ],
)
async def test_a_wrong_model_is_told_which_would_do(
    client: httpx.AsyncClient, route: str, body: dict[str, str], message: str
) -> None:
    assert refusal(await client.post(route, json=body), 400) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 100}, "width 100 must be a multiple of 16; the nearest that fits is 96"),
        ({"height": 250}, "height 250 must be a multiple of 16; the nearest that fits is 256"),
        ({"width": 8}, "width 8 must be between 16 and 1024"),
        ({"width": 0}, "width 0 must be between 16 and 1024"),
        ({"height": -64}, "height -64 must be between 16 and 1024"),
        ({"height": 2048}, "height 2048 must be between 16 and 1024"),
        (
            {"width": 1024, "height": 1024},
            "1024x1024 is 1048576 pixels; paint makes at most 262144 (such as 64x64)",
        ),
        ({"num_images": 0}, "settings.num_images: Input should be greater than or equal to 1"),
        ({"num_images": 9}, "settings.num_images: Input should be less than or equal to 8"),
        ({"num_inference_steps": 0}, "num_inference_steps 0 must be between 1 and 50"),
        ({"num_inference_steps": 51}, "num_inference_steps 51 must be between 1 and 50"),
        ({"guidance_scale": 20.5}, "guidance_scale 20.5 must be between 0 and 20"),
        ({"guidance_scale": -1}, "guidance_scale -1 must be between 0 and 20"),
        ({"guidance_scale": float("nan")}, "settings.guidance_scale: Input should be a finite number"),
        ({"guidance_scale": float("inf")}, "settings.guidance_scale: Input should be a finite number"),
        ({"width": float("nan")}, "settings.width: Input should be a finite number"),
        ({"seed": float("nan")}, "settings.seed: Input should be a finite number"),
        ({"seed": -2}, "settings.seed: Input should be greater than or equal to -1"),
        ({"seed": 2**64}, f"settings.seed: Input should be less than or equal to {2**53 - 16}"),
        ({"width": "64"}, "settings.width must be a number"),
        ({"guidance_scale": "3.5"}, "settings.guidance_scale must be a number"),
        ({"seed": "7"}, "settings.seed must be a number"),
        ({"num_images": True}, "settings.num_images must be a number"),
        ({"guidance_scale": False}, "settings.guidance_scale must be a number"),
        (
            {"width": 64.5},
            "settings.width: Input should be a valid integer, got a number with a fractional part",
        ),
        ({"width": [64]}, "settings.width: Input should be a valid integer"),
        ({"width": {"px": 64}}, "settings.width: Input should be a valid integer"),
        ({"heigth": 64}, "Unknown setting 'heigth': did you mean 'height'?"),
        ({"num_frames": 5}, "Unknown setting 'num_frames': did you mean 'num_images'?"),
        (
            {"negative_prompt": "\ud800"},
            "settings.negative_prompt is not valid Unicode text (a lone surrogate)",
        ),
    ],
)
async def test_a_wrong_setting_is_named_with_what_would_be_right(
    client: httpx.AsyncClient, settings: dict[str, Any], message: str
) -> None:
    assert await paint(client, **settings) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 6}, "num_frames 6 must be a multiple of 4 plus 1; the nearest that fits is 5"),
        ({"num_frames": 8}, "num_frames 8 must be a multiple of 4 plus 1; the nearest that fits is 9"),
        ({"num_frames": 85}, "num_frames 85 must be between 5 and 81"),
        ({"num_frames": 1}, "num_frames 1 must be between 5 and 81"),
        ({"fps": 0}, "fps 0 must be between 1 and 60"),
        ({"fps": "16"}, "settings.fps must be a number"),
        (
            {"num_images": 2},
            "Unknown setting 'num_images': did you mean 'num_frames'?",
        ),
        ({"xyz": 1}, None),
    ],
)
async def test_a_wrong_setting_of_a_clip_is_named(
    client: httpx.AsyncClient, settings: dict[str, Any], message: str | None
) -> None:
    assert await film(client, **settings) == (
        message
        or "Unknown setting 'xyz': known are fps, guidance_scale, height, negative_prompt, num_frames, "
        "num_inference_steps, seed, width"
    )


async def test_more_pictures_than_the_model_makes_at_once_are_refused(client: httpx.AsyncClient) -> None:
    body = {"model_id": "sketch", "prompt": "x", "settings": {"num_images": 5}}
    message = refusal(await client.post("/api/generate", json=body), 400)
    assert message == "num_images must be between 1 and 4 for sketch"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "No data provided"),
        ("{}", "No data provided"),
        ("null", "No data provided"),
        ("[]", "The body must be a JSON object, sent as Content-Type: application/json"),
        ("[1, 2]", "The body must be a JSON object, sent as Content-Type: application/json"),
        ('"text"', "The body must be a JSON object, sent as Content-Type: application/json"),
        ("7", "The body must be a JSON object, sent as Content-Type: application/json"),
        ("{", "The body is not valid JSON: Expecting property name enclosed in double quotes"),
        ("model_id=paint", "The body is not valid JSON: Expecting value"),
        ('{"model_id": "paint"}', "Missing required fields: prompt"),
        ('{"settings": {}}', "Missing required fields: model_id, prompt"),
        ('{"model_id": "paint", "prompt": null}', "prompt: Input should be a valid string"),
        ('{"model_id": "paint", "prompt": 7}', "prompt: Input should be a valid string"),
        ('{"model_id": ["paint"], "prompt": "x"}', "model_id: Input should be a valid string"),
        ('{"model_id": "paint", "prompt": "x", "settings": 7}', "settings must be a JSON object"),
        ('{"model_id": "paint", "prompt": "x", "settings": []}', "settings must be a JSON object"),
        (
            '{"model_id": "paint", "prompt": "a\\ud800b"}',
            "prompt is not valid Unicode text (a lone surrogate)",
        ),
        ('{"model_id": "paint", "prompt": "a\\u0000b"}', "prompt must not contain the NUL character"),
        ('{"model_id": "\\ud800", "prompt": "x"}', "model_id is not valid Unicode text (a lone surrogate)"),
        (
            '{"model_id": "paint", "prompt": "x", "settings": {"\\ud800": 1}}',
            r"Unknown setting '\ud800': known are guidance_scale, height, max_sequence_length, "
            "negative_prompt, num_images, num_inference_steps, seed, width",
        ),
    ],
)
async def test_a_body_that_is_no_request_is_told_why(
    client: httpx.AsyncClient, content: str, message: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await client.post("/api/generate", content=content, headers=headers)
    assert refusal(reply, 400) == message


def nested(depth: int) -> bytes:
    return b'{"model_id": "paint", "prompt": "x", "settings": ' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)


HOSTILE = {
    "bytes": b"\xff\xfe\x00",
    "deep lists": b"[" * 100_000,
    "deep settings": nested(100_000),
    "settings as deep as Python reads": nested(900),
    "digits": b'{"width": ' + b"9" * 5000 + b"}",
    "a large exponent": b'{"model_id": "paint", "prompt": "x", "settings": {"width": 1e999}}',
    "a large integer": b'{"model_id": "paint", "prompt": "x", "settings": {"width": %s}}' % (b"9" * 4000),
    "a large fraction": b'{"model_id": "paint", "prompt": "x", "settings": {"seed": 1e308}}',
    "a large name": b'{"model_id": "paint", "prompt": "x", "settings": {"%s": 1}}' % (b"x" * 900_000),
    "a large model": b'{"model_id": "%s", "prompt": "x"}' % (b"x" * 900_000),
    "many names": b'{"model_id": "paint", "prompt": "x", "settings": {%s}}'
    % b",".join(b'"k%d": 1' % number for number in range(60_000)),
    "many items": b'{"model_id": [%s], "prompt": "x"}' % (b"1," * 400_000 + b"1"),
    "half a surrogate pair": b'{"model_id": "paint", "prompt": "\\ud83d"}',
    "a name twice": b'{"model_id": "paint", "prompt": "x", "prompt": 7}',
    "a byte order mark": "\ufeff".encode() + b"{",
    "utf-16": '{"model_id": "paint"}'.encode("utf-16"),
    "utf-7": b"+AHs-",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_body_that_no_parser_likes_is_refused_at_once(
    client: httpx.AsyncClient, content: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    begin = time.process_time()
    reply = await client.post("/api/generate", content=content, headers=headers)
    assert len(refusal(reply, 400)) < 5000
    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-7",
        "multipart/form-data",
        "\x00",
    ],
)
async def test_a_body_of_another_type_is_read_as_json_or_refused(
    client: httpx.AsyncClient, kind: str
) -> None:
    reply = await client.post("/api/generate", content=b"<x>", headers={"Content-Type": kind})
    refusal(reply, 400)


@pytest.mark.parametrize(
    "path",
    [
        *("/api/status/%00", "/api/jobs?model=%00", "/api/gallery?search=a%00b", "/api/image/%00/metadata"),
        *("/api/jobs?cursor=%00", "/api/gallery?cursor=%ff%fe", "/api/jobs?limit=1e9", "/api/jobs?limit=NaN"),
        *(
            "/api/gallery?page=99999999999999999999",
            "/api/status/x?wait=Infinity",
            "/api/jobs?status=%ED%A0%80",
        ),
    ],
)
async def test_an_address_with_hostile_characters_is_refused(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code in (400, 404)


async def test_a_prompt_may_have_as_many_characters_as_the_model_reads(client: httpx.AsyncClient) -> None:
    for route, name, field in [
        ("/api/generate", "Prompt", {"model_id": "paint", "prompt": "é" * 2001}),
        ("/api/generate_t2v", "Prompt", {"model_id": "clip", "prompt": "é" * 2001}),
        (
            "/api/generate",
            "Negative prompt",
            {"model_id": "sketch", "prompt": "", "negative_prompt": "é" * 2001},
        ),
    ]:
        message = refusal(await client.post(route, json=field), 400)
        assert message == f"{name} too long. Maximum length is 2000 characters."


async def test_a_prompt_of_ten_megabytes_is_too_large(client: httpx.AsyncClient) -> None:
    body = {"model_id": "paint", "prompt": "x" * 10_000_000}
    refusal(await client.post("/api/generate", json=body), 413)


async def test_a_body_that_grows_while_it_is_sent_is_cut_off(client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 100_000

    refusal(await client.post("/api/generate", content=pieces()), 413)


async def test_a_missing_source_picture_is_not_found(client: httpx.AsyncClient) -> None:
    body = {"video_model_id": "animate", "video_prompt": "x", "source_image_id": "nope"}
    reply = await client.post("/api/generate_video", json=body)
    assert refusal(reply, 404) == "Source image not found: nope"


async def test_a_video_cannot_be_the_source(client: httpx.AsyncClient, workshop: Workshop) -> None:
    video = workshop.add_media(media_type="video")
    body = {"video_model_id": "animate", "video_prompt": "x", "source_image_id": video.id}
    reply = await client.post("/api/generate_video", json=body)
    assert refusal(reply, 409) == f"{video.id} is a video; the source must be a picture"
    assert reply.json()["code"] == "source_is_video"


async def test_missing_fields_of_a_video_are_all_named(client: httpx.AsyncClient) -> None:
    reply = await client.post("/api/generate_video", json={"settings": {}})
    message = "Missing required fields: source_image_id, video_model_id, video_prompt"
    assert refusal(reply, 400) == message


async def test_a_key_that_is_too_long_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k" * 256}
    body = {"model_id": "paint", "prompt": "x"}
    message = refusal(await client.post("/api/generate", json=body, headers=headers), 400)
    assert message.startswith("Idempotency-Key: ")


async def test_an_unknown_address_and_a_wrong_method_answer_in_the_same_form(
    client: httpx.AsyncClient,
) -> None:
    assert (
        refusal(await client.get("/api/nope"), 404)
        == "There is no GET /api/nope here; /docs lists what there is"
    )
    assert refusal(await client.get("/api/generate"), 405) == "Method Not Allowed"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/generate", "POST"),
        ("POST", "/api/queue", "GET"),
        ("PUT", "/api/jobs/a", "DELETE, GET"),
        ("DELETE", "/v1/images/generations", "POST"),
        ("POST", "/gallery", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    idle: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    reply = await idle.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)
