"""What people do with the page, on the real server with the demo models."""

from __future__ import annotations

import base64
import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage, card
from tests.servers import Server
from tests.serving import ENDLESS, LASTING, SHORT, Api

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

#: Loading a demo model on a busy machine takes a while.
LONG = 240_000


def expect_done(card: Locator) -> None:
    expect(card).to_have_attribute("data-status", "completed", timeout=LONG)


def choose_model(page: Page, name: str) -> None:
    page.locator(".picker-button").click()
    page.get_by_role("option", name=name).click()


def submit(page: Page, prompt: str) -> Locator:
    page.locator(".picker-button").wait_for()
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.keyboard.press("Control+Enter")
    return card(page, prompt)


def test_a_picture_is_made_from_a_prompt(open_page: OpenPage, server: Server, api: Api) -> None:
    page = open_page(server.url)
    page.get_by_label("Prompt", exact=True).fill("a small yellow star on a green background")
    page.get_by_role("button", name="Generate Image").click()
    done = card(page, "a small yellow star")
    expect(done).to_be_visible()
    expect_done(done)
    image = done.locator("img")
    expect(image).to_have_attribute("alt", "a small yellow star on a green background")
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 0


def test_a_clip_is_made_from_a_prompt(open_page: OpenPage, server: Server, api: Api) -> None:
    page = open_page(server.url)
    choose_model(page, "demo-wan-t2v")
    expect(page.get_by_role("button", name="Generate Video")).to_be_visible()
    expect(page.get_by_text("17 frames = 1.1 s at 16 fps")).to_be_visible()
    done = submit(page, "a red circle moving to the right")
    expect_done(done)
    expect(done.locator(".clip-badge")).to_have_text("1.1 s")
    done.locator("a.result").hover()
    expect(done.locator("video")).to_be_visible()


def test_a_picture_of_the_gallery_is_animated(open_page: OpenPage, server: Server, api: Api) -> None:
    source = api.end(api.paint("a large red circle", **SHORT))["image_ids"][0]
    page = open_page(f"{server.url}/gallery?view={source}")
    page.get_by_role("dialog", name="Viewer").get_by_role("button", name="Animate").click()
    dialogue = page.get_by_role("dialog", name="Animate")
    expect(dialogue.get_by_label("Model")).to_be_visible()
    dialogue.get_by_label("What should happen").fill("it slowly turns around")
    dialogue.get_by_role("button", name="Generate Video").click()
    expect(dialogue).to_be_hidden()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Generate").click()
    done = card(page, "it slowly turns around")
    expect_done(done)
    job = api.get("/api/jobs", limit=1)["jobs"][0]
    assert (job["type"], job["settings"]["source_image_id"]) == ("i2v", source)


def test_a_reload_and_a_second_tab_show_the_same_job(open_page: OpenPage, server: Server, api: Api) -> None:
    page = open_page(server.url)
    job_id = api.paint("a reload in the middle", **LASTING)
    expect(card(page, "a reload in the middle").get_by_role("progressbar")).to_be_visible(timeout=LONG)
    api.painting(job_id)
    page.reload()
    second = open_page(server.url)
    for each in (page, second):
        expect(card(each, "a reload in the middle")).to_be_visible()
        expect_done(card(each, "a reload in the middle"))


def test_a_running_job_is_cancelled_from_its_card(open_page: OpenPage, server: Server, api: Api) -> None:
    page = open_page(server.url)
    job_id = api.paint("an endless picture", **ENDLESS)
    running = card(page, "an endless picture")
    expect(running.get_by_role("progressbar")).to_have_attribute(
        "aria-valuetext", re.compile(r"Step \d+ of 400"), timeout=LONG
    )
    running.get_by_role("button", name="Cancel").click()
    expect(running).to_have_attribute("data-status", "cancelled", timeout=30_000)
    assert api.job(job_id)["status"] == "cancelled"


def test_a_picture_is_deleted_on_either_page(open_page: OpenPage, server: Server, api: Api) -> None:
    first, second = (api.end(api.paint(f"to be deleted {n}", **SHORT))["image_ids"][0] for n in (1, 2))
    page = open_page(server.url)
    card(page, "to be deleted 1").get_by_role("button", name="Delete").click()
    expect(card(page, "to be deleted 1")).to_be_hidden()
    page.goto(f"{server.url}/gallery?view={second}")
    page.get_by_role("dialog", name="Viewer").get_by_role("button", name="Delete").click()
    for image_id in (first, second):
        until_gone(api, image_id)


def until_gone(api: Api, image_id: str) -> None:
    deadline = time.monotonic() + 30
    while api.http.get(f"/api/image/{image_id}").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_dropped_file_restores_its_settings(open_page: OpenPage, server: Server, api: Api) -> None:
    settings = {"width": 128, "height": 96, "num_inference_steps": 5, "guidance_scale": 2.5, "seed": 4711}
    (image_id,) = api.end(api.paint("a drop to restore", **settings))["image_ids"]
    page = open_page(server.url)
    drop(page, api.http.get(f"/api/image/{image_id}").content, "image/png")
    page.get_by_role("button", name="Use its settings").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a drop to restore")
    fields = {"Width": "128", "Height": "96", "Seed": "4711"}
    for name, value in fields.items():
        expect(page.get_by_label(name).and_(page.locator("[type=number]"))).to_have_value(value)
    expect(page.locator("#steps")).to_have_value("5")
    expect(page.locator("#guidance")).to_have_value("2.5")


def test_a_dropped_clip_restores_its_settings(open_page: OpenPage, server: Server, api: Api) -> None:
    job_id = api.film("a clip to restore", num_frames=9, fps=8, num_inference_steps=4, seed=99)
    (video_id,) = api.end(job_id)["image_ids"]
    page = open_page(server.url)
    drop(page, api.http.get(f"/api/video/{video_id}").content, "video/mp4")
    page.get_by_role("button", name="Use its settings").click()
    expect(page.locator(".picker-name").first).to_have_text("demo-wan-t2v")
    expect(page.locator("#frames")).to_have_value("9")
    expect(page.locator("#seed")).to_have_value("99")


def drop(page: Page, data: bytes, kind: str) -> None:
    page.evaluate(
        """([text, kind]) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "file", { type: kind }));
            window.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [base64.b64encode(data).decode(), kind],
    )


def test_a_prompt_full_of_html_is_only_text(open_page: OpenPage, server: Server, api: Api) -> None:
    prompt = (
        """<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> & "quotes" </textarea>"""
    )
    page = open_page(server.url)
    done = submit(page, prompt)
    expect_done(done)
    expect(done.locator(".card-prompt")).to_have_text(prompt)
    done.locator("a.result").click()
    expect(page.locator(".details-prompt")).to_have_text(prompt)
    assert page.evaluate("window.hacked") is None


def test_a_refused_job_leaves_no_card_and_says_why(open_page: OpenPage, server: Server, api: Api) -> None:
    page = open_page(server.url)
    page.locator(".picker-button").wait_for()
    page.route("**/api/generate", lambda route: route.continue_(post_data='{"model_id":"demo-flux"}'))
    submit(page, "a job that is refused")
    expect(page.get_by_role("alert")).to_contain_text("Missing required fields: prompt")
    expect(page.locator(".card").filter(has_text="a job that is refused")).to_have_count(0)


def test_waiting_jobs_are_reordered_and_cancelled_together(
    open_page: OpenPage, server: Server, api: Api
) -> None:
    api.post("/api/queue/pause")
    first, second, third = (api.paint(f"waiting {n}", **SHORT) for n in (1, 2, 3))
    page = open_page(f"{server.url}/queue")
    rows = page.get_by_role("list", name="Waiting").get_by_role("listitem")
    expect(rows).to_have_count(3)
    rows.nth(2).focus()
    page.keyboard.press("Alt+Home")
    expect(rows.first).to_contain_text("waiting 3")
    expect(rows.first).to_be_focused()
    page.keyboard.press("Alt+ArrowDown")
    expect(rows.first).to_contain_text("waiting 1")
    for name in ("waiting 1", "waiting 3"):
        page.get_by_label(f"Select: {name}").check()
    page.get_by_role("button", name="Cancel 2").click()
    expect(rows).to_have_count(1)
    assert [api.job(each)["status"] for each in (first, second, third)] == [
        "cancelled",
        "pending",
        "cancelled",
    ]


def test_a_model_in_memory_shows_how_much_it_holds_and_is_unloaded(
    open_page: OpenPage, server: Server, api: Api
) -> None:
    api.end(api.paint(**SHORT))
    page = open_page(f"{server.url}/queue")
    flux = page.locator(".deployment").filter(has_text="demo-flux")
    expect(flux).to_contain_text(re.compile(r"\d of \d+ GB of (main|GPU) memory"))
    flux.get_by_role("button", name="Unload").click()
    expect(page.locator(".deployment").filter(has_text="Flux")).to_contain_text("not loaded", timeout=60_000)
