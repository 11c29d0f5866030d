"""The `openai` package, unchanged, against the real server."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types import Video
from PIL import Image

from deployments.demo.judge import judge
from deployments.demo.scenes import RADIUS, Scene, Thing, center_of
from tests.generation import png
from tests.servers import Server
from tests.serving import PROMPT, Api

pytestmark = [
    pytest.mark.acceptance,
    # Upstream's service is gone; the package says so at every call for videos.
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]

X, Y = center_of("center", RADIUS["large"])
MEANT = Scene(
    background="blue",
    things=(Thing(shape="circle", color="red", size="large", x=X, y=Y, radius=RADIUS["large"]),),
    place="center",
)
CLIP: dict[str, Any] = {"num_inference_steps": 4, "seed": 11}
QUICK: dict[str, Any] = {"num_inference_steps": 2}


class Lossy(httpx2.HTTPTransport):
    """Loses the first reply, which the server has sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        self.sent += 1
        if self.sent == 1:
            response.read()
            raise httpx2.ReadError("the connection is gone", request=request)
        return response


def client_of(url: str, key: str = "none", **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, timeout=120, **options)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[OpenAI]:
    with client_of(server.url) as client:
        yield client


def jobs(api: Api) -> int:
    return int(api.get("/api/queue")["total"])


def picture(data: str | None) -> Image.Image:
    assert data is not None
    return Image.open(BytesIO(base64.b64decode(data)))


def test_the_models_are_those_of_the_server(client: OpenAI, api: Api):
    names = [model.id for model in client.models.list()]
    assert names == list(api.get("/api/models")["models"])
    assert client.models.retrieve("demo-flux").owned_by == "cyberimage"


def test_a_prompt_becomes_the_picture_that_it_means(client: OpenAI):
    response = client.images.generate(prompt=PROMPT, extra_body={"seed": 2})
    assert response.data is not None
    verdict = judge(picture(response.data[0].b64_json), MEANT, "filled")
    assert verdict.all, verdict
    assert response.size == "128x128"


def test_ten_pictures_in_another_format(client: OpenAI):
    response = client.images.generate(
        prompt=PROMPT,
        n=10,
        model="demo-flux",
        size="64x64",
        output_format="webp",
        extra_body=QUICK,
    )
    assert response.data is not None
    assert [(picture(item.b64_json).format, picture(item.b64_json).size) for item in response.data] == [
        ("WEBP", (64, 64))
    ] * 10


def test_a_picture_at_an_address(client: OpenAI, server: Server):
    response = client.images.generate(prompt=PROMPT, response_format="url", extra_body=QUICK)
    assert response.data is not None
    url = response.data[0].url
    assert url is not None
    assert url.startswith(server.url)
    reply = httpx2.get(url)
    assert (reply.headers["content-type"], Image.open(BytesIO(reply.content)).size) == (
        "image/png",
        (128, 128),
    )


def test_a_stream_shows_what_the_picture_is_going_to_be(client: OpenAI):
    with client.images.generate(
        prompt=PROMPT,
        stream=True,
        partial_images=2,
        size="256x256",
        n=4,
        extra_body={"num_inference_steps": 50},
    ) as stream:
        events = list(stream)
    partials = [event for event in events if event.type == "image_generation.partial_image"]
    finished = [event for event in events if event.type == "image_generation.completed"]
    assert (len(events) - len(finished), len(finished)) == (len(partials), 4)
    assert [event.partial_image_index for event in partials] == list(range(len(partials)))
    assert 1 <= len(partials) <= 2
    assert picture(partials[0].b64_json).format == "PNG"
    assert picture(finished[0].b64_json).size == (256, 256)
    assert finished[0].usage.total_tokens == 0


def test_a_video_is_made_watched_and_fetched(client: OpenAI, tmp_path: Path):
    video = client.videos.create_and_poll(
        prompt="a red circle moving to the right", model="demo-wan-t2v", seconds="1", extra_body=CLIP
    )
    assert (video.status, video.progress, video.seconds, video.size) == ("completed", 100, "1", "64x64")
    client.videos.download_content(video.id).write_to_file(tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"
    small = client.videos.download_content(video.id, variant="thumbnail").read()
    assert Image.open(BytesIO(small)).format == "WEBP"
    assert client.videos.list(limit=1).data[0].id == video.id
    assert video.id in [each.id for each in client.videos.list(limit=1, order="asc")]


def in_body(**reference: str) -> dict[str, Any]:
    return {"extra_body": {"input_reference": reference}}


@pytest.mark.parametrize("form", ["file", "address", "named"])
def test_a_picture_is_animated(client: OpenAI, api: Api, form: str):
    data = png(64, 64)
    # The package's own check takes files only; the fields of other forms go beside it.
    reference: dict[str, Any] = {
        "file": {"input_reference": ("picture.png", data, "image/png")},
        "address": in_body(image_url=f"data:image/png;base64,{base64.b64encode(data).decode()}"),
        "named": in_body(file_id=api.upload(data)["id"]),
    }[form]
    more = {"extra_body": CLIP | reference.pop("extra_body", {})}
    video = client.videos.create_and_poll(prompt="it grows", model="demo-ltx-t2v", **reference, **more)
    assert (video.status, video.model) == ("completed", "demo-ltx-i2v"), video.error


def running(client: OpenAI, api: Api) -> Video:
    """A video that takes a while and has begun."""
    video = client.videos.create(
        prompt=PROMPT, size="128x128", extra_body={"num_inference_steps": 50, "num_frames": 33}
    )
    api.painting(video.id)
    assert 0 < client.videos.retrieve(video.id).progress < 100
    return video


def test_a_running_video_can_be_deleted(client: OpenAI, api: Api):
    video = running(client, api)
    begun = time.monotonic()
    assert client.videos.delete(video.id).deleted
    assert time.monotonic() - begun < 20
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


def test_a_cancelled_video_has_failed_and_says_so(client: OpenAI, api: Api):
    video = running(client, api)
    api.post(f"/api/jobs/{video.id}/cancel")
    ended = client.videos.poll(video.id)
    assert (ended.status, ended.error and ended.error.code) == ("failed", "cancelled")


def test_what_is_wrong_is_told_in_the_packages_own_errors(client: OpenAI, api: Api):
    before = jobs(api)
    with pytest.raises(openai.BadRequestError, match="must be between") as size:
        client.images.generate(prompt=PROMPT, size="1024x1024")
    assert (size.value.param, size.value.type) == ("size", "invalid_request_error")
    with pytest.raises(openai.NotFoundError, match="demo-flux") as model:
        client.images.generate(prompt=PROMPT, model="dall-e-3")
    assert model.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="not fetched"):
        client.videos.create(prompt=PROMPT, **in_body(image_url="https://example.org/x.png"))
    with pytest.raises(openai.NotFoundError, match="There is no POST /v1/chat/completions here"):
        client.chat.completions.create(model="demo-flux", messages=[])
    assert jobs(api) == before


@pytest.mark.parametrize("kind", ["picture", "video"])
def test_a_reply_that_got_lost_makes_no_second_job(server: Server, api: Api, kind: str):
    before = jobs(api)
    transport = Lossy()
    with client_of(server.url, http_client=httpx2.Client(transport=transport)) as client:
        if kind == "picture":
            response = client.images.generate(prompt=PROMPT, extra_body={"num_inference_steps": 3})
            assert response.data is not None
        else:
            client.videos.create(prompt=PROMPT, extra_body=CLIP)
    assert transport.sent == 2
    assert jobs(api) == before + 1


def test_a_client_that_gives_up_gets_the_same_job_when_it_tries_again(server: Server, api: Api):
    before = jobs(api)
    body = {"num_inference_steps": 50, "seed": 8}
    with client_of(server.url) as client:
        response = client.with_options(timeout=0.5, max_retries=30).images.generate(
            prompt=PROMPT, size="256x256", extra_body=body
        )
    assert response.data is not None
    assert picture(response.data[0].b64_json).size == (256, 256)
    assert jobs(api) == before + 1


def test_two_equal_requests_are_two_pictures(client: OpenAI, api: Api):
    before = jobs(api)
    seeds = set()
    for _ in range(2):
        response = client.images.generate(prompt=PROMPT, size="64x64", extra_body=QUICK)
        assert response.data is not None
        seeds.add(response.data[0].model_extra["seed"])
    assert (len(seeds), jobs(api)) == (2, before + 2)
