"""Reading how a picture was made."""

from __future__ import annotations

import base64
import time
from io import BytesIO

import httpx
import pytest
from in_process import picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from serve_app.api.automatic1111.infotext import parse

# As that web UI writes it, with an extension's quoted field.
THEIRS = (
    "a red fox, <lora:fur:0.8>\nin the snow\nNegative prompt: blurry,\nugly: very\n"
    "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 123, Size: 512x768, "
    'Model hash: 6ce0161689, Model: v1-5, Lora hashes: "fur: abc, x: \\"d\\"", Version: v1.10.1'
)


def png(**texts: str) -> bytes:
    chunks, file = PngInfo(), BytesIO()
    for key, text in texts.items():
        chunks.add_text(key, text)
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


async def info(client: httpx.AsyncClient, data: bytes, prefix: str = "") -> httpx.Response:
    body = {"image": prefix + base64.b64encode(data).decode()}
    return await client.post("/sdapi/v1/png-info", json=body)


def test_every_field_of_their_text_is_read() -> None:
    fields = parse(THEIRS)
    assert fields["Prompt"] == "a red fox, <lora:fur:0.8>\nin the snow"
    assert fields["Negative prompt"] == "blurry,\nugly: very"
    assert (fields["Steps"], fields["Seed"], fields["CFG scale"]) == ("20", "123", "7.0")
    assert (fields["Size-1"], fields["Size-2"]) == ("512", "768")
    assert fields["Lora hashes"] == 'fur: abc, x: "d"'
    assert fields["Version"] == "v1.10.1"


@pytest.mark.parametrize("text", ["", "a fox", "a: b", "fox\nred: blue, x", 'Steps: "', ":,:,:,", "a\n\n\n"])
def test_what_is_no_line_of_fields_is_prompt(text: str) -> None:
    assert parse(text) == {"Prompt": text.strip(), "Negative prompt": ""}


async def test_a_text_that_no_reply_can_carry_is_mended(idle: httpx.AsyncClient) -> None:
    text = 'a fox\nSteps: 1, Sampler: x, Odd: "\\ud800"'
    assert (await info(idle, png(parameters=text))).json()["parameters"]["Odd"] == "?"


@pytest.mark.parametrize("piece", ["a", " ", ",", ":", '"', "a:", 'a:"', 'a:"\\', "a:b,", "\\"])
def test_reading_takes_a_time_that_grows_with_the_length_only(piece: str) -> None:
    started = time.process_time()
    parse(piece * 200_000)
    assert time.process_time() - started < 2


async def test_our_own_picture_is_read(client: httpx.AsyncClient) -> None:
    made = (await client.post("/sdapi/v1/txt2img", json={"prompt": "a fox, red", "seed": 5})).json()
    answer = (await client.post("/sdapi/v1/png-info", json={"image": made["images"][0]})).json()
    assert answer["info"] == answer["items"]["parameters"]
    assert (answer["parameters"]["Prompt"], answer["parameters"]["Seed"]) == ("a fox, red", "5")
    assert answer["items"]["cyberimage"].startswith("{")


async def test_their_picture_is_read_from_a_data_url(idle: httpx.AsyncClient) -> None:
    answer = (await info(idle, png(parameters=THEIRS), "data:image/png;base64,")).json()
    assert answer["info"] == THEIRS
    assert answer["parameters"]["Model"] == "v1-5"


async def test_a_picture_that_says_nothing_has_no_info(idle: httpx.AsyncClient) -> None:
    assert (await info(idle, png())).json() == {"info": "", "items": {}, "parameters": {}}


@pytest.mark.parametrize("data", [b"", b"GIF89a", picture(8, 8, "JPEG"), png(parameters="x")[:20]])
async def test_what_is_no_png_is_refused(idle: httpx.AsyncClient, data: bytes) -> None:
    reply = await info(idle, data)
    assert (reply.status_code, reply.json()["detail"]) == (422, "This is not a PNG.")


async def test_what_is_no_base64_is_refused(idle: httpx.AsyncClient) -> None:
    reply = await idle.post("/sdapi/v1/png-info", json={"image": "!!!"})
    assert (reply.status_code, reply.json()["detail"]) == (422, "image is not a picture in base64")


async def test_a_large_picture_is_read_though_other_bodies_are_small(idle: httpx.AsyncClient) -> None:
    assert (await info(idle, png(parameters=THEIRS, other="x" * 2_000_000))).status_code == 200
    body = {"prompt": "x" * 2_000_000}
    reply = await idle.post("/sdapi/v1/txt2img", json=body)
    assert (reply.status_code, reply.json()["error"]) == (413, "content_too_large")
