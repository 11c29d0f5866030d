"""Tags in the gallery: given in the viewer and to a selection, and filtered by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.states import tag


@pytest.fixture
def url(quick: str) -> Iterator[str]:
    """A server none of whose pictures has a tag."""
    remove_all(quick)
    yield quick
    remove_all(quick)


def remove_all(url: str) -> None:
    for item in newest(url, 50):
        assert httpx.put(f"{url}/api/media/{item['id']}/tags", json={"tags": []}).is_success


def newest(url: str, limit: int) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = httpx.get(f"{url}/api/gallery?limit={limit}").json()["images"]
    return images


def names(url: str, limit: int) -> list[list[str]]:
    return [item["tags"] for item in newest(url, limit)]


def gallery(page: Page, url: str, query: str = "") -> None:
    page.goto(f"{url}/gallery{query}")
    page.locator(".tile-open img").first.wait_for()


def test_tags_are_given_and_taken_by_keyboard(open_page: OpenPage, url: str) -> None:
    tag(url, [5], "Seal", "misty")
    page = open_page(url)
    gallery(page, url)
    page.locator(".tile-open").nth(1).press("Enter")
    viewer = page.get_by_role("dialog", name="Viewer")
    viewer.locator(".stage-medium").wait_for()
    page.keyboard.press("t")
    field = viewer.get_by_role("combobox", name="Tags")
    expect(field).to_be_focused()
    page.keyboard.type("  long   exposure ")
    page.keyboard.press("Enter")
    page.keyboard.type("se")
    expect(viewer.get_by_role("option")).to_have_text(["Seal"])
    page.keyboard.press("ArrowDown")
    expect(viewer.get_by_role("option", name="Seal")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    tags = viewer.get_by_role("list", name="Tags").get_by_role("listitem")
    expect(tags).to_have_text(["long exposure", "Seal"])
    page.keyboard.type("SEAL")
    page.keyboard.press("Enter")
    page.keyboard.type("mis")
    page.keyboard.press("Escape")
    expect(viewer.get_by_role("option")).to_have_count(0)
    expect(tags).to_have_count(2)
    viewer.get_by_role("button", name="Remove the tag long exposure").press("Enter")
    expect(field).to_be_focused()
    expect(tags).to_have_text(["Seal"])
    page.wait_for_function("async () => (await (await fetch('/api/tags')).json()).tags[0].count === 2")
    page.reload()
    expect(tags).to_have_text(["Seal"])
    assert names(url, 2) == [[], ["Seal"]]


def test_a_refused_tag_is_taken_back(open_page: OpenPage, url: str) -> None:
    tag(url, [0], *(f"tag {number:02}" for number in range(32)))
    page = open_page(url)
    gallery(page, url)
    page.locator(".tile-open").nth(0).click()
    viewer = page.get_by_role("dialog", name="Viewer")
    viewer.locator(".stage-medium").wait_for()
    page.keyboard.press("t")
    page.keyboard.type("one more")
    page.keyboard.press("Enter")
    expect(viewer.get_by_text("takes 32 tags at most")).to_be_visible()
    expect(viewer.get_by_role("list", name="Tags").get_by_role("listitem")).to_have_count(32)


def test_the_gallery_of_some_tags(open_page: OpenPage, url: str) -> None:
    tag(url, [0, 2, 4], "sea")
    tag(url, [2, 4], "dusk")
    page = open_page(url)
    gallery(page, url)
    shown = page.locator(".page-head [role=status]")
    all_files = shown.text_content() or ""
    page.get_by_role("button", name="Tags", exact=True).click()
    menu = page.get_by_role("group", name="Tags")
    expect(menu.get_by_role("button")).to_have_text(["sea3", "dusk2"])
    menu.get_by_role("button", name="sea").click()
    expect(shown).to_have_text("3 files")
    menu.get_by_role("button", name="dusk").click()
    expect(shown).to_have_text("2 files")
    expect(menu.get_by_role("button", name="dusk")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    page.wait_for_url("**?tag=sea&tag=dusk")
    page.locator(".tile-open").first.click()
    page.locator(".stage-medium").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_url("**?tag=sea&tag=dusk")
    page.reload()
    active = page.get_by_role("list", name="Active filters").get_by_role("button")
    expect(active).to_have_text(["sea", "dusk", "Clear the filters"])
    active.filter(has_text="dusk").click()
    expect(shown).to_have_text("3 files")
    page.go_back()
    page.get_by_role("button", name="Clear the filters").click()
    expect(shown).to_have_text(all_files)


def test_a_tag_leads_to_all_that_has_it(open_page: OpenPage, url: str) -> None:
    tag(url, [1, 3], "sea")
    page = open_page(url)
    page.goto(f"{url}/gallery?search=nothing&view={newest(url, 2)[1]['id']}")
    page.get_by_role("link", name="All with the tag sea").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".page-head [role=status]")).to_have_text("2 files")


def test_the_tags_of_a_selection_are_changed(open_page: OpenPage, url: str) -> None:
    tag(url, [0, 1], "sea", "calm")
    tag(url, [5], "print")
    page = open_page(url)
    gallery(page, url)
    page.keyboard.press("s")
    for place in (0, 2):
        page.locator(".tile-open").nth(place).click()
    page.keyboard.press("t")
    dialogue = page.get_by_role("dialog", name="Tags of 2 files")
    removed = dialogue.get_by_role("combobox", name="Remove from all")
    removed.click()
    options = dialogue.locator("#tags-remove-list").get_by_role("option")
    expect(options).to_have_text(["calm", "sea"])
    options.filter(has_text="sea").click()
    added = dialogue.get_by_role("combobox", name="Add to all")
    added.fill("dusk")
    added.press("Enter")
    added.fill("typed only")
    dialogue.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Tags of 2 files changed")).to_be_visible()
    expect(dialogue).to_have_count(0)
    assert names(url, 4) == [["calm", "dusk", "typed only"], ["calm", "sea"], ["dusk", "typed only"], []]
    page.keyboard.press("s")
    page.locator(".tile-open").nth(0).click()
    tags = page.get_by_role("dialog").get_by_role("list", name="Tags").get_by_role("listitem")
    expect(tags).to_have_text(["calm", "dusk", "typed only"])


def test_what_loses_the_tag_that_is_filtered_by_leaves_the_list(open_page: OpenPage, url: str) -> None:
    tag(url, [0, 1, 2], "sea")
    page = open_page(url)
    gallery(page, url, "?tag=sea")
    page.keyboard.press("s")
    page.get_by_role("button", name="All", exact=True).last.click()
    page.get_by_role("button", name="Tag…").click()
    page.get_by_role("combobox", name="Remove from all").fill("SEA")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert httpx.get(f"{url}/api/tags").json() == {"tags": []}


def test_an_undone_deletion_leaves_the_tags(open_page: OpenPage, url: str) -> None:
    tag(url, [0], "sea")
    page = open_page(url)
    gallery(page, url, "?tag=sea")
    page.locator(".tile-open").first.press("Enter")
    page.locator(".stage-medium").wait_for()
    page.keyboard.press("Delete")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    page.locator(".tile-open").first.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("link", name="All with the tag sea")).to_be_visible()
    assert names(url, 1) == [["sea"]]
