"""The gallery and its viewer, and files that bring their settings back."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, quick_server

INFOTEXT = "a fox in the snow\nNegative prompt: blurry\nSteps: 7, Sampler: Euler, CFG scale: 2.5, Seed: 4711"
NODES = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 4711, "steps": 7, "cfg": 2.5, "positive": ["6", 0], "negative": ["7", 0]},
    },
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 96, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox in the snow", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
}
EXIF_BLOCK, USER_COMMENT = 0x8769, 0x9286


def picture(kind: str, byte_order: str = "utf-16-be") -> bytes:
    """A file as other programs write it, with its settings inside."""
    image, buffer = Image.new("RGB", (64, 64), "teal"), io.BytesIO()
    if kind == "PNG":
        notes = PngInfo()
        notes.add_text("prompt", json.dumps(NODES))
        image.save(buffer, "PNG", pnginfo=notes)
        return buffer.getvalue()
    exif = Image.Exif()
    exif.get_ifd(EXIF_BLOCK)[USER_COMMENT] = b"UNICODE\0" + INFOTEXT.encode(byte_order)
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "byte_order"), [("JPEG", "utf-16-be"), ("WEBP", "utf-16-be"), ("JPEG", "utf-16-le"), ("PNG", "")]
)
def test_files_of_other_programs_restore_their_settings(
    open_page: OpenPage, quick: str, kind: str, byte_order: str
) -> None:
    page = open_page(quick)
    page.locator(".picker-button").wait_for()
    file = {"name": "picture", "mimeType": f"image/{kind.lower()}", "buffer": picture(kind, byte_order)}
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Pick a file").click()
    chooser.value.set_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Use its settings").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox in the snow")
    expect(page.locator("#steps")).to_have_value("7")
    expect(page.locator("#guidance")).to_have_value("2.5")
    expect(page.locator("#seed")).to_have_value("4711")


def test_a_picture_without_settings_is_animated(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), "teal").save(buffer, "JPEG")
    page.evaluate(
        """(text) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "file", { type: "image/jpeg" }));
            window.dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
        }""",
        base64.b64encode(buffer.getvalue()).decode(),
    )
    expect(page.get_by_role("dialog", name="Animate")).to_be_visible()


def tiles(page: Page, url: str, query: str = "") -> None:
    page.goto(f"{url}/gallery{query}")
    page.locator(".tile-open img").first.wait_for()


#: Scrolls on, and counts what comes into the grid and what leaves it.
MOVED = """
() => new Promise((done) => {
  const grid = document.querySelector(".grid");
  const moved = { came: 0, left: 0 };
  const watcher = new MutationObserver((changes) => {
    for (const { addedNodes, removedNodes } of changes) {
      moved.came += addedNodes.length;
      moved.left += removedNodes.length;
    }
  });
  watcher.observe(grid, { childList: true });
  let frames = 0;
  const step = () => {
    scrollBy(0, 60);
    frames += 1;
    if (frames < 120) return requestAnimationFrame(step);
    const columns = new Set([...grid.children].map((tile) => tile.getBoundingClientRect().x)).size;
    done({ ...moved, columns });
  };
  step();
})
"""


def test_scrolling_moves_no_tile_that_stays(open_page: OpenPage, tmp_path: Path) -> None:
    with quick_server(tmp_path, media=600) as url:
        page = open_page(url)
        tiles(page, url)
        moved = page.evaluate(MOVED)
        rows = page.evaluate("scrollY") / page.locator(".tile").first.bounding_box()["height"]
        assert moved["left"] > 0
        # Twice: a tile that is not fetched yet is replaced once it is.
        assert moved["came"] < 2 * (rows + 8) * moved["columns"]


def test_a_held_key_deletes_once_and_each_deletion_can_be_undone(open_page: OpenPage, tmp_path: Path) -> None:
    with quick_server(tmp_path, media=9) as url:
        page = open_page(url)
        tiles(page, url)
        page.locator(".tile-open").first.click()
        page.locator(".stage-medium").wait_for()
        undo = page.get_by_role("dialog", name="Viewer").get_by_role("button", name="Undo")
        for _ in range(3):
            page.keyboard.down("Delete")
        page.keyboard.up("Delete")
        expect(undo).to_have_count(1)
        for _ in range(3):
            page.keyboard.press("Delete")
        expect(undo).to_have_count(4)


def test_escape_closes_a_menu_before_it_ends_the_selection(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    tiles(page, quick)
    page.keyboard.press("s")
    page.locator(".tile-open").first.click()
    page.get_by_role("button", name="Date", exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Last 30 days")).to_be_hidden()
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("1 selected")).to_be_hidden()


def test_the_viewer_goes_on_past_what_the_grid_has_fetched(open_page: OpenPage, tmp_path: Path) -> None:
    with quick_server(tmp_path, media=400) as url:
        page = open_page(url)
        # The tile of place 97: the newest is made-399.
        tiles(page, url, "?view=made-302")
        place = page.locator(".viewer-count")
        expect(place).to_have_text("98 of 400")
        for at in (99, 100, 101):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(500)
            assert place.text_content() == f"{at} of 400"


def test_a_seed_goes_to_the_model_that_the_form_shows(open_page: OpenPage, quick: str) -> None:
    page = open_page("about:blank", wait=False)
    shown = httpx.get(f"{quick}/api/models").json()
    shown["defaults"]["image"] = "demo-sd35"
    page.route("**/api/models", lambda route: route.fulfill(json=shown))
    tiles(page, quick)
    page.locator(".tile-open").first.click()
    page.get_by_role("button", name="Use seed").click()
    expect(page.locator(".picker-name").first).to_have_text("demo-sd35")
    newest = httpx.get(f"{quick}/api/gallery?limit=1").json()["images"][0]
    expect(page.locator("#seed")).to_have_value(str(newest["settings"]["seed"]))


def test_two_pictures_are_compared(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    tiles(page, quick)
    page.keyboard.press("s")
    page.locator(".tile-open").nth(1).click()
    expect(page.get_by_role("button", name="Compare")).to_be_hidden()
    page.locator(".tile-open").nth(2).click()
    page.get_by_role("button", name="Compare").click()
    viewer = page.get_by_role("dialog", name="Viewer")
    border = viewer.get_by_role("slider", name="Border between the two pictures")
    expect(border).to_have_attribute("aria-valuetext", "50%")
    border.focus()
    page.keyboard.press("End")
    expect(border).to_have_attribute("aria-valuetext", "100%")
    page.reload()
    expect(border).to_be_visible()
    page.keyboard.press("c")
    expect(border).to_be_hidden()
    expect(viewer.locator("img.stage-medium")).to_be_visible()


def test_each_filter_can_be_taken_away(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    tiles(page, quick, "?search=calm+dusk&model=demo-flux&type=image")
    active = page.get_by_role("list", name="Active filters").get_by_role("button")
    expect(active).to_have_text(["calm", "dusk", "demo-flux", "Pictures", "Clear the filters"])
    active.filter(has_text="calm").click()
    expect(page.get_by_label("Search", exact=True)).to_have_value("dusk")
    page.get_by_role("button", name="Clear the filters").click()
    expect(active).to_have_count(0)
    page.go_back()
    expect(active).to_have_count(4)


def test_what_has_the_same_seed_is_one_click_away(open_page: OpenPage, quick: str) -> None:
    for prompt in ("one of two", "the other of two"):
        body = {"model_id": "demo-flux", "prompt": prompt, "settings": {"seed": 5}}
        httpx.post(f"{quick}/api/generate", json=body).raise_for_status()
    page = open_page(quick)
    tiles(page, quick, "?search=of+two")
    page.locator(".tile-open").first.click()
    page.get_by_role("link", name="All with seed 5").click()
    expect(page.get_by_role("list", name="Active filters").get_by_role("button")).to_have_text(["Seed 5"])
    # Not those of seeds 15, 25 and so on.
    expect(page.locator(".page-head [role=status]")).to_have_text("2 files")


def test_a_finger_that_rests_on_a_tile_selects_it(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    tiles(page, quick)
    touch(page, page.locator(".tile-open").nth(2).bounding_box(), held_ms=700)
    expect(page.get_by_text("1 selected")).to_be_visible()
    expect(page.get_by_role("dialog", name="Viewer")).to_be_hidden()
    touch(page, page.locator(".tile-open").nth(0).bounding_box(), held_ms=20)
    expect(page.get_by_text("2 selected")).to_be_visible()


def touch(page: Page, box: object, held_ms: int) -> None:
    """A finger, through the debugger: Playwright's own only taps."""
    assert isinstance(box, dict)
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    debugger = page.context.new_cdp_session(page)
    debugger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    page.wait_for_timeout(held_ms)
    debugger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_all_but_the_favourites_are_selected(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    tiles(page, quick, "?search=lighthouse")
    heart = page.locator(".tile").nth(3).get_by_role("button", name="Favourite")
    heart.click()
    expect(heart).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("s")
    page.get_by_role("button", name="All", exact=True).last.click()
    expect(page.get_by_text("10 selected")).to_be_visible()
    page.get_by_role("button", name="All but favourites").click()
    expect(page.get_by_text("9 selected")).to_be_visible()
    page.keyboard.press("s")
    heart.click()
    expect(heart).to_have_attribute("aria-pressed", "false")


def test_the_page_can_sound(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    page.evaluate("window.notes = []")
    page.evaluate(
        "window.OscillatorNode = class extends OscillatorNode {"
        " constructor(...made) { super(...made); window.notes.push(made[1].frequency); } }; 0"
    )
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_label("Sound when a job ends").check()
    page.wait_for_function("() => window.notes.length === 2")


def test_the_gallery_of_some_days(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    tiles(page, quick, "?to=2999-01-01")
    page.get_by_role("button", name="Date", exact=True).click()
    page.get_by_role("button", name="Last 30 days").click()
    page.keyboard.press("Escape")
    active = page.get_by_role("list", name="Active filters").get_by_role("button")
    expect(active).to_have_count(1)
    expect(page.locator(".tile-open").first).to_be_visible()
    page.reload()
    expect(active).to_contain_text("From ")
    page.get_by_role("button", name="Date", exact=True).click()
    page.get_by_label("To", exact=True).fill("2001-02-03")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.keyboard.press("Escape")
    active.filter(has_text="To Feb 3, 2001").click()
    expect(page.locator(".tile-open").first).to_be_visible()


#: Presses Delete as soon as the bar tells of a selection, before the browser has drawn it.
AT_ONCE = """
() => {
  const bar = () => document.querySelector(".selection [role=status]")?.textContent ?? "";
  const watcher = new MutationObserver(() => {
    if (!bar().startsWith("60")) return;
    watcher.disconnect();
    dispatchEvent(new KeyboardEvent("keydown", { key: "Delete" }));
  });
  watcher.observe(document.body, { childList: true, characterData: true, subtree: true });
}
"""


def test_a_key_means_the_selection_that_is_shown(open_page: OpenPage, tmp_path: Path) -> None:
    with quick_server(tmp_path, media=60) as url:
        page = open_page(url)
        tiles(page, url)
        page.keyboard.press("s")
        page.evaluate(AT_ONCE)
        page.get_by_role("button", name="All", exact=True).last.click()
        expect(page.get_by_text("60 deleted")).to_be_visible()


def test_a_large_gallery_is_deleted_as_a_whole(open_page: OpenPage, tmp_path: Path) -> None:
    count = 2300
    with quick_server(tmp_path, media=count) as url:
        page = open_page(url)
        tiles(page, url)
        shown = page.locator(".page-head [role=status]")
        page.keyboard.press("s")
        page.get_by_role("button", name="All", exact=True).last.click()
        expect(page.get_by_text(f"{count} selected")).to_be_visible()
        expect(page.get_by_role("button", name="Zip")).to_be_disabled()
        page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
        expect(shown).to_have_text("0 files")
        page.get_by_role("button", name="Undo").click()
        expect(shown).to_have_text("2,300 files")
        page.keyboard.press("s")
        page.get_by_role("button", name="All", exact=True).last.click()
        expect(page.get_by_text(f"{count} selected")).to_be_visible()
        page.keyboard.press("Delete")
        expect(page.get_by_text("The gallery is empty")).to_be_visible()
        page.wait_for_event("requestfinished", lambda request: "batch_delete" in request.url)
        page.wait_for_function("async () => (await (await fetch('/api/gallery')).json()).total === 0")
