"""The ways into the queue, through it and out of it, on a server in one process."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Waiting, card, end_all, prompt_field, quick_server, rows, submit

#: More than the connections that Chromium opens to one server.
TABS = 8


def test_many_tabs_share_one_connection(open_page: OpenPage, quick: str) -> None:
    first = open_page(quick)
    pages = [first] + [open_page(quick, beside=first) for _ in range(TABS - 1)]
    submit(quick, "seen in every tab")
    for page in pages:
        expect(card(page, "seen in every tab")).to_have_attribute("data-status", "completed")


def test_a_job_is_queued_first(open_page: OpenPage, paused: str, line: Waiting) -> None:
    line("was here before", "and so was this")
    page = open_page(paused)
    prompt_field(page).fill("in a hurry")
    page.keyboard.press("Control+Shift+Enter")
    expect(card(page, "in a hurry")).to_contain_text("Position 1 in the queue")
    assert line() == ["in a hurry", "was here before", "and so was this"]


def test_a_waiting_job_is_changed_and_keeps_its_place(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    line("the first", "to be changed", "the last")
    page = open_page(paused)
    card(page, "to be changed").get_by_role("button", name="Edit").click()
    expect(prompt_field(page)).to_have_value("to be changed")
    expect(page.locator(".card.is-edited")).to_have_count(1)
    expect(page.locator(".card.is-edited")).to_contain_text("to be changed")
    assert line() == ["the first", "to be changed", "the last"]
    prompt_field(page).fill("it was changed")
    page.get_by_role("button", name="Replace the Waiting Job").click()
    expect(card(page, "it was changed")).to_contain_text("Position 2 in the queue")
    expect(card(page, "to be changed")).to_have_count(0)
    expect(page.locator(".card.is-edited")).to_have_count(0)
    assert line() == ["the first", "it was changed", "the last"]


def test_cancelled_jobs_are_brought_back_to_their_places(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    before = line("one", "two", "three", "four")
    page = open_page(f"{paused}/queue")
    expect(rows(page)).to_have_count(4)
    for name in ("one", "three"):
        page.get_by_label(f"Select: {name}").check()
    page.get_by_role("button", name="Cancel 2").click()
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(rows(page)).to_have_count(4)
    expect(rows(page).nth(2)).to_contain_text("three")
    assert line() == before


def test_all_waiting_jobs_are_cancelled_and_brought_back(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    before = line("one", "two", "three")
    page = open_page(f"{paused}/queue")
    expect(rows(page)).to_have_count(3)
    page.get_by_role("button", name="Cancel what waits").click()
    expect(rows(page)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(rows(page)).to_have_count(3)
    assert line() == before


def test_a_moved_row_keeps_the_focus_whatever_else_changes(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    line(*(f"number {n}" for n in range(1, 7)))
    page = open_page(f"{paused}/queue")
    expect(rows(page)).to_have_count(6)
    rows(page).nth(5).focus()
    for _ in range(4):
        page.keyboard.press("Alt+ArrowUp")
    expect(rows(page).nth(1)).to_be_focused()
    line("number 7")
    expect(rows(page)).to_have_count(7)
    expect(rows(page).nth(1)).to_be_focused()
    page.keyboard.press("Alt+Home")
    expect(rows(page).first).to_be_focused()
    expect(rows(page).first).to_contain_text("number 6")
    expect(page.get_by_label("Position 1: number 6")).to_be_visible()
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
    assert line() == [f"number {n}" for n in (6, 1, 2, 3, 4, 5, 7)]


def test_alternatives_make_a_job_each(open_page: OpenPage, paused: str, line: Waiting) -> None:
    page = open_page(paused)
    prompt_field(page).fill("a {red|blue} {cat|dog}, {plain}")
    page.get_by_text("Stands for 4 prompts").click()
    expect(page.get_by_text("a red dog, {plain}")).to_be_visible()
    page.get_by_role("button", name="Queue 4 Jobs").click()
    expect(page.locator(".card[data-status=pending]")).to_have_count(4)
    assert line() == [f"a {colour} {pet}, {{plain}}" for colour in ("red", "blue") for pet in ("cat", "dog")]
    prompt_field(page).fill("{a|b}" * 7)
    page.get_by_role("button", name="Queue 64+ Jobs").click()
    expect(page.get_by_role("alert")).to_contain_text("more than 64 prompts")
    assert len(line()) == 4


def test_too_little_memory_offers_less(open_page: OpenPage, tmp_path: Path) -> None:
    with quick_server(tmp_path, media=0) as url:
        page = open_page(url)
        submit(url, "too large", "demo-sd35", width=256, height=256)
        failed = card(page, "too large")
        expect(failed).to_have_attribute("data-status", "failed")
        failed.get_by_role("button", name="Retry at").click()
        expect(page.locator(".card[data-status=completed]")).to_have_count(1)
        settings = httpx.get(f"{url}/api/jobs?limit=1").json()["jobs"][0]["settings"]
        assert settings["width"] * settings["height"] < 256 * 256


def test_the_form_tells_what_a_job_will_take(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page).fill("how long will it take")
    page.keyboard.press("Control+Enter")
    expect(card(page, "how long will it take")).to_have_attribute("data-status", "completed")
    expect(page.locator(".estimate")).to_contain_text("Takes")
    expect(page.get_by_role("status").filter(has_text="Done: demo-flux")).to_have_count(1)


def test_a_running_job_shows_what_it_is_going_to_make(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    submit(quick, "a quiet lake", num_inference_steps=50, num_images=8)
    face = card(page, "a quiet lake").locator(".card-face")
    preview = face.get_by_alt_text("Preview: a quiet lake")
    expect(preview).to_have_js_property("naturalWidth", 96)
    first = preview.get_attribute("src")
    assert first is not None
    expect(preview).not_to_have_attribute("src", first)
    # Not as shown: a card that is still coming in is scaled.
    whole = "it => [it.offsetWidth, it.offsetHeight]"
    assert preview.evaluate(whole) == face.evaluate(whole)
    page.get_by_role("link", name="Queue").click()
    running = page.get_by_role("list", name="Running").get_by_role("listitem")
    expect(running.get_by_alt_text("Preview: a quiet lake")).to_have_js_property("complete", True)
    end_all(quick)
    expect(page.locator("img.preview")).to_have_count(0)
