"""A wrong request over real HTTP gets a sentence, and leaves no job and no file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.servers import Server
from tests.serving import PROMPT, Api

pytestmark = pytest.mark.acceptance

PICTURE = "/api/generate"
CLIP = "/api/generate_t2v"
FROM_PICTURE = "/api/generate_video"


def picture(**settings: Any) -> bytes:
    return json.dumps({"model_id": "demo-flux", "prompt": PROMPT, "settings": settings}).encode()


def clip(**settings: Any) -> bytes:
    return json.dumps({"model_id": "demo-wan-t2v", "prompt": PROMPT, "settings": settings}).encode()


def prompt(text: str) -> bytes:
    return json.dumps({"model_id": "demo-flux", "prompt": text}).encode()


def from_picture(source: str) -> bytes:
    body = {"video_model_id": "demo-wan-i2v", "video_prompt": PROMPT, "source_image_id": source}
    return json.dumps(body).encode()


BAD = {
    "no body": (PICTURE, b"", 400, "No data provided"),
    "no JSON": (PICTURE, b"{", 400, "not valid JSON"),
    "no prompt": (PICTURE, b'{"model_id": "demo-flux"}', 400, "Missing required fields: prompt"),
    "unknown model": (PICTURE, picture().replace(b"flux", b"nope"), 400, "Available models: demo-flux"),
    "wrong type": (CLIP, picture(), 400, "is of type image"),
    "a size off the multiple": (PICTURE, picture(width=99), 400, "96"),
    "a size over the limit": (PICTURE, picture(width=4096), 400, "256"),
    "frames off the rule": (CLIP, clip(num_frames=10), 400, "9"),
    "no images": (PICTURE, picture(num_images=0), 400, "num_images"),
    "NaN": (PICTURE, picture(guidance_scale=float("nan")), 400, "guidance_scale"),
    "infinity": (PICTURE, picture(guidance_scale=float("inf")), 400, "guidance_scale"),
    "a string for a number": (PICTURE, picture(num_inference_steps="many"), 400, "num_inference_steps"),
    "an unknown setting": (PICTURE, picture(stepz=3), 400, "stepz"),
    "a long prompt": (PICTURE, prompt("x" * 2001), 400, "2000"),
    "a prompt of 10 MB": (PICTURE, prompt("x" * 10_000_000), 413, ""),
    "no such source picture": (FROM_PICTURE, from_picture("nothing"), 404, "nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_a_sentence(api: Api, server, case):
    path, body, status, words = BAD[case]
    before = (api.get("/api/queue")["total"], server.files())
    reply = api.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == status
    assert reply.json()["status"] == "error"
    assert words in reply.json()["message"]
    assert (api.get("/api/queue")["total"], server.files()) == before


def test_a_video_is_no_source_picture(api: Api, made):
    (clip,) = made["wan-t2v"]["image_ids"]
    reply = api.http.post(FROM_PICTURE, content=from_picture(clip))
    assert (reply.status_code, reply.json()["code"]) == (409, "source_is_video")


@pytest.mark.parametrize("data", [b"", b"GIF89a and then nothing", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_a_broken_upload_leaves_nothing(api: Api, server, data):
    before = uploaded(server)
    reply = api.http.post("/api/upload", files={"file": ("picture.png", data)})
    assert reply.status_code == 400
    assert uploaded(server) == before


def uploaded(server: Server) -> set[str]:
    """All files but thumbnails, which earlier jobs may still be getting."""
    return {file for file in server.files() if not file.startswith(".thumbnails/")}
