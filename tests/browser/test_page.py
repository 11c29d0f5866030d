"""The page itself: keyboard, languages, sizes, weight, and what it does when nothing happens."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import OpenPage, card, prompt_field, quick_server, submit
from tests.processes import free_port

#: First load, all files as they travel.
MOST_BYTES = 150_000
#: Until the card of a new job is in the page.
CARD_WITHIN_MS = 100
#: The quickest counts: a machine that does other things, too, takes its time now and then.
TRIES = 5
PAGES = ("", "gallery", "queue")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


#: Submits the form, and waits for the card; milliseconds.
SUBMIT = """() => new Promise((done) => {
    const cards = () => document.querySelectorAll(".card").length;
    const before = cards();
    new MutationObserver((_, observer) => {
        if (cards() === before) return;
        observer.disconnect();
        done(performance.now() - begun);
    }).observe(document.body, { childList: true, subtree: true });
    const begun = performance.now();
    document.querySelector("form").requestSubmit();
})"""

#: Pastes a text and a picture of this name into the prompt; whether the page took them.
PASTE = """async ([text, name]) => {
    const canvas = new OffscreenCanvas(64, 64);
    canvas.getContext("2d");
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([await canvas.convertToBlob()], name, { type: "image/png" }));
    if (text) clipboardData.setData("text/plain", text);
    const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    return !document.querySelector("#prompt").dispatchEvent(paste);
}"""


def test_everything_comes_from_the_server_itself(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    for name in ("Gallery", "Queue"):
        page.get_by_role("link", name=name).click()
        page.get_by_role("heading", name=name).wait_for()
    addresses = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {urlsplit(address).netloc for address in addresses} == {urlsplit(quick).netloc}


def test_the_first_load_is_light(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('/assets/'))"
        ".map((e) => e.encodedBodySize)"
    )
    assert 0 < sum(sizes) < MOST_BYTES


def test_an_idle_page_asks_for_nothing(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    page.wait_for_timeout(2000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(4000)
    assert asked == []


def test_a_new_card_shows_before_the_server_has_answered(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    held: list[Route] = []
    page.route("**/api/generate", lambda route: held.append(route))
    page.get_by_label("Prompt", exact=True).fill("shown at once")
    took_ms = [page.evaluate(SUBMIT) for _ in range(TRIES)]
    assert min(took_ms) < CARD_WITHIN_MS
    expect(page.locator(".card").first).to_contain_text("Queued")
    for route in held:
        route.continue_()
    shown = page.locator(".card").filter(has_text="shown at once")
    expect(shown.and_(page.locator("[data-status=completed]"))).to_have_count(TRIES)
    expect(shown).to_have_count(TRIES)


def test_a_job_that_could_not_be_sent_waits_to_be_sent_again(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    page.route("**/api/generate", lambda route: route.abort())
    page.get_by_label("Prompt", exact=True).fill("sent twice")
    page.keyboard.press("Control+Enter")
    card = page.locator(".card").filter(has_text="sent twice")
    expect(card).to_have_attribute("data-status", "unsent")
    page.unroute("**/api/generate")
    card.get_by_role("button", name="Send again").click()
    expect(card).to_have_attribute("data-status", "completed")


def test_it_stays_true_without_events(open_page: OpenPage, quick: str, browser: Any) -> None:
    page = open_page("about:blank", wait=False)
    page.add_init_script("delete window.SharedWorker")  # Its requests cannot be held up.
    page.route("**/api/events", lambda route: route.abort())
    page.goto(quick)
    page.locator(".picker-button").wait_for()
    httpx.post(f"{quick}/api/generate", json={"model_id": "demo-flux", "prompt": "found by asking"})
    card = page.locator(".card").filter(has_text="found by asking")
    expect(card).to_have_attribute("data-status", "completed", timeout=30_000)


def test_all_can_be_done_with_the_keyboard(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    page.keyboard.press("Tab")
    page.locator("#prompt").blur()
    page.keyboard.press("/")
    page.keyboard.type("typed by hand")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".card").filter(has_text="typed by hand")).to_be_visible()
    page.locator("#prompt").blur()
    page.keyboard.press("2")
    tile = page.locator(".tile-open").first
    tile.wait_for()
    tile.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    focused = page.evaluate("document.activeElement.closest('li')?.dataset.place")
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog", name="Viewer")
    expect(viewer).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    assert page.evaluate("document.activeElement.closest('li')?.dataset.place") == focused
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard and help")).to_be_visible()


def test_an_enriched_prompt_is_not_put_over_what_was_typed_meanwhile(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    held: list[Route] = []
    page.route("**/api/enrich", lambda route: held.append(route))
    field = prompt_field(page)
    field.fill("a fox")
    page.get_by_role("button", name="Enrich").click()
    field.fill("a fox in the snow")
    held[0].fulfill(json={"enriched_prompt": "a fox, golden light"})
    page.get_by_role("button", name="Use it").wait_for()
    expect(field).to_have_value("a fox in the snow")
    page.get_by_role("button", name="Use it").click()
    expect(field).to_have_value("a fox, golden light")
    page.get_by_role("button", name="Back to my own prompt").click()
    expect(field).to_have_value("a fox in the snow")


def test_only_a_seed_that_was_typed_is_kept(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page)
    seed = page.locator("#seed")
    seed.focus()
    seed.press("Tab")
    expect(page.get_by_role("button", name="Keep this seed")).to_have_attribute("aria-pressed", "false")
    seed.press_sequentially("7")
    seed.press("Tab")
    expect(page.get_by_role("button", name="Keep this seed")).to_have_attribute("aria-pressed", "true")


def test_text_that_comes_with_its_picture_is_pasted_as_text(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page)
    assert not page.evaluate(PASTE, ["red\tblue", "image.png"])
    assert page.evaluate(PASTE, ["picture.png", "picture.png"])
    dialogue = page.get_by_role("dialog", name="Animate")
    dialogue.get_by_label("What should happen").fill("it turns around")
    page.evaluate(PASTE, ["", "other.png"])
    page.wait_for_timeout(500)
    expect(dialogue.get_by_label("What should happen")).to_have_value("it turns around")


def test_the_address_keeps_the_filters(open_page: OpenPage, quick: str) -> None:
    page = open_page(f"{quick}/gallery")
    page.locator(".tile-open").first.wait_for()
    page.get_by_label("Search", exact=True).fill("lighthouse")
    expect(page.get_by_role("status").filter(has_text="10 files")).to_be_visible()
    page.get_by_role("button", name="Favourites").click()
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("status").filter(has_text="10 files")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Search", exact=True)).to_have_value("lighthouse")


def test_several_are_selected_and_their_deletion_is_undone(open_page: OpenPage, quick: str) -> None:
    page = open_page(f"{quick}/gallery")
    tiles = page.locator(".tile-open")
    tiles.first.wait_for()
    page.keyboard.press("s")
    tiles.nth(1).click()
    tiles.nth(4).click(modifiers=["Shift"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Zip").click()
    assert Path(download.value.path()).read_bytes()[:2] == b"PK"
    before = page.get_by_role("status").filter(has_text="files").inner_text()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").filter(has_text="files").first).not_to_have_text(before)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").filter(has_text="files").first).to_have_text(before)


def test_german_is_complete_and_kept(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("button", name="Bild erzeugen")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="Warteschlange")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "de"


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_needs_no_sideways_scrolling(open_page: OpenPage, quick: str, path: str) -> None:
    page = open_page(f"{quick}/{path}", **PHONE)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    tabs = page.get_by_role("navigation", name="Pages").bounding_box()
    assert tabs is not None
    assert tabs["y"] + tabs["height"] == pytest.approx(740, abs=2)


def test_the_title_tells_the_progress(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    settings = {"num_inference_steps": 40}
    httpx.post(f"{quick}/api/generate", json={"model_id": "demo-flux", "prompt": "x", "settings": settings})
    expect(page).to_have_title(re.compile(r"^\d+% · "))
    assert "favicons/p" in str(page.locator("link[rel=icon]").get_attribute("href"))
    expect(page).to_have_title("Generate · CyberImage")


def test_only_the_rows_near_the_window_are_in_the_page(open_page: OpenPage, tmp_path: Path) -> None:
    with quick_server(tmp_path, media=25_000) as url:
        page = open_page(f"{url}/gallery")
        page.locator(".tile-open").first.wait_for()
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
        page.wait_for_function("Number(document.querySelector('.tile')?.dataset.place) > 12_000")
        page.locator(".tile-open").first.wait_for()
        assert page.locator(".tile").count() < 120


def test_a_server_restart_in_the_middle_is_told_and_survived(open_page: OpenPage, tmp_path: Path) -> None:
    port, away = free_port(), "The server cannot be reached"
    with quick_server(tmp_path, media=0, port=port, step_s=0.5, end=signal.SIGKILL) as url:
        page = open_page(url)
        job = submit(url, "through a restart")
        under_way = card(page, "through a restart")
        expect(under_way.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text(away)).to_be_visible()
    expect(under_way).not_to_have_attribute("data-status", "completed")
    with quick_server(tmp_path, media=0, port=port) as url:
        expect(page.get_by_text(away)).to_be_hidden()
        expect(under_way).to_have_attribute("data-status", "completed")
        assert httpx.get(f"{url}/api/status/{job}").json()["attempts"] == 2
