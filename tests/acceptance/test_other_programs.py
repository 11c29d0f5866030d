"""Programs that were not written for this server: for AUTOMATIC1111's API, MCP, and the earlier JSON-RPC."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
from mcp import Client
from mcp.types import ImageContent
from PIL import Image
from webuiapi import WebUIApi

from deployments.demo.drawing import Style
from deployments.demo.judge import judge
from deployments.demo.scenes import RADIUS, Scene, Thing, center_of
from tests.servers import Server
from tests.serving import PROMPT, Api, until

pytestmark = pytest.mark.acceptance

X, Y = center_of("center", RADIUS["large"])
CIRCLE = Thing(shape="circle", color="red", size="large", x=X, y=Y, radius=RADIUS["large"])
MEANT = Scene(background="blue", things=(CIRCLE,), place="center")
STYLE: Style = "filled"


@pytest.fixture
def webui(server: Server) -> Iterator[WebUIApi]:
    """A client of AUTOMATIC1111's API with that client's own defaults."""
    webui = WebUIApi(baseurl=f"{server.url}/sdapi/v1")
    yield webui
    webui.session.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


# -- AUTOMATIC1111's API


def test_webuiapi_gets_the_picture_that_it_asked_for(webui: WebUIApi) -> None:
    result = webui.txt2img(prompt=PROMPT, seed=2)
    verdict = judge(result.image.convert("RGB"), MEANT, STYLE)
    # Of its shapes nothing is expected at a size that the demo was not trained for.
    assert (verdict.background, verdict.colors, verdict.place) == (True, True, True)
    assert result.image.info["parameters"].startswith(f"{PROMPT}\nSteps: 20, ")
    assert (result.info["seed"], result.info["sd_model_name"]) == (2, "demo-flux")
    assert result.image.size == (result.info["width"], result.info["height"]) == (256, 256)
    assert result.info["adjusted"] == ["width 512 to 256", "height 512 to 256"]


def test_webuiapi_chooses_a_model_by_giving_the_options_back(webui: WebUIApi) -> None:
    before = webui.get_options()
    try:
        assert webui.set_options(before | {"sd_model_checkpoint": "demo-sd35"}) is None
        result = webui.txt2img(prompt=PROMPT, width=64, height=64, steps=2, batch_size=2, seed=4)
    finally:
        webui.set_options(before)
    assert (result.info["sd_model_name"], result.info["all_seeds"]) == ("demo-sd35", [4, 5])
    assert len(result.images) == 2


def test_webuiapi_watches_the_progress_and_interrupts(webui: WebUIApi, threads: ThreadPoolExecutor) -> None:
    assert webui.get_progress()["state"]["job_count"] == 0
    asked: Future[Any] = threads.submit(webui.txt2img, prompt=PROMPT, n_iter=16, steps=50)
    seen = until(lambda: painting(webui))
    assert 0 < seen["progress"] < 1
    assert 0 < seen["state"]["sampling_step"] < seen["state"]["sampling_steps"] == 400
    assert seen["state"]["job_count"] == 2
    assert opened(seen["current_image"]).size == (256, 256)
    webui.interrupt()
    assert asked.result(timeout=60).images == []
    assert webui.get_progress()["progress"] == 0


def painting(webui: WebUIApi) -> dict[str, Any] | None:
    """The progress once steps are done and there is something to see."""
    told: dict[str, Any] = webui.get_progress()
    return told if told["progress"] and told["current_image"] else None


def opened(in_base64: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(in_base64, validate=True))).convert("RGB")


# -- the Model Context Protocol


async def test_an_mcp_client_lists_tools_and_gets_a_picture(server: Server) -> None:
    progress: list[float] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async with Client(f"{server.url}/mcp") as client:
        assert "generate_image" in {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool(
            "generate_image", {"prompt": PROMPT, "seed": 3}, progress_callback=on_progress
        )
        told = result.structured_content
        again = await client.call_tool("job_status", {"job_id": told["job_id"]})
    assert (told["status"], again.structured_content["status"]) == ("completed", "completed")
    assert progress == sorted(set(progress))
    assert progress[-1] == 100
    (picture,) = [item for item in result.content if isinstance(item, ImageContent)]
    assert judge(opened(picture.data), MEANT, STYLE).all


async def test_an_mcp_client_animates_a_picture(server: Server, made: dict[str, Any]) -> None:
    asked = {"image_id": made["flux"]["image_ids"][0], "prompt": "it moves to the right", "num_frames": 9}
    async with Client(f"{server.url}/mcp", mode="legacy") as client:
        result = await client.call_tool("animate_image", asked | {"wait_seconds": 200})
        recent = await client.call_tool("list_recent", {"type": "video", "limit": 1})
    (clip,) = result.structured_content["images"]
    assert (clip["media_type"], clip["url"]) == ("video", f"{server.url}/api/video/{clip['id']}")
    assert [item["id"] for item in recent.structured_content["images"]] == [clip["id"]]


# -- the earlier JSON-RPC dialect


def test_an_earlier_client_generates_asks_after_it_and_fetches_it(api: Api) -> None:
    settings = {"seed": 6, "num_images": 2}
    made = call(api, "generate", prompt=PROMPT, settings=settings)
    assert made["num_images"] == 2
    told = until(lambda: (seen := call(api, "status", job_id=made["job_id"]))["images"] and seen)
    assert (told["status"], told["progress"]["completed"]) == ("completed", True)
    for image in told["images"]:
        assert image["url"] == f"/api/get_image/{image['id']}"
        assert judge(api.picture(image), MEANT, STYLE).all


def call(api: Api, method: str, **params: Any) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "method": f"context.image_generation.{method}", "params": params, "id": 1}
    result: dict[str, Any] = api.post("/api/mcp", body)["result"]
    return result
