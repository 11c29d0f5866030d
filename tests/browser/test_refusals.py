"""The server refuses, or falls out for a moment: nothing is lost, and nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import httpx
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import OpenPage, Waiting, card, prompt_field, rows, submit

#: The addresses of one job, and of lists of jobs.
ONE_JOB, LISTS = "**/api/jobs/*", "**/api/jobs?*"

#: A browser that lets nobody notify, in a tab at which nobody looks.
NO_NOTIFYING = """
window.Notification = class {
  static permission = "granted";
  constructor() {
    window.notified = true;
    throw new TypeError("Illegal constructor");
  }
};
localStorage.setItem("cyberimage.notify", "true");
Object.defineProperty(document, "hidden", { get: () => true });
"""


def refuse(route: Route, *, message: str = "Come back later", status: int = 503) -> None:
    body = {"status": "error", "message": message, "code": "refused"}
    route.fulfill(status=status, json=body, headers={"Retry-After": "1"})


def full(route: Route) -> None:
    refuse(route, message="The queue is full", status=429)


def only(number: int, handle: Callable[[Route], None]) -> Callable[[Route], None]:
    """Handles the request of this number and lets all others through."""
    numbers = count(1)
    return lambda route: handle(route) if next(numbers) == number else route.continue_()


def until_completed(page: Page, url: str, job_id: str) -> None:
    while httpx.get(f"{url}/api/jobs/{job_id}").json()["status"] != "completed":
        page.wait_for_timeout(100)


def test_what_could_not_be_read_is_read_later(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page)
    page.route(ONE_JOB, refuse)
    until_completed(page, quick, submit(quick, "read in the end"))
    page.wait_for_timeout(500)
    page.unroute(ONE_JOB)
    expect(card(page, "read in the end")).to_have_attribute("data-status", "completed")


def test_asking_instead_of_events_survives_refusals(open_page: OpenPage, quick: str) -> None:
    page = open_page("about:blank", wait=False)
    page.add_init_script("delete window.SharedWorker")  # Its requests cannot be held up.
    page.route("**/api/events", lambda route: route.abort())
    page.goto(quick)
    prompt_field(page)
    submit(quick, "found by asking")
    expect(card(page, "found by asking")).to_have_attribute("data-status", "completed")
    page.route(LISTS, refuse, times=3)
    submit(quick, "found by asking again")
    expect(card(page, "found by asking again")).to_have_attribute("data-status", "completed")


def test_a_browser_that_cannot_notify_keeps_the_page_true(open_page: OpenPage, quick: str) -> None:
    page = open_page("about:blank", wait=False)
    page.add_init_script(NO_NOTIFYING)
    page.goto(quick)
    prompt_field(page)
    for prompt in ("told of by nobody", "nor of this one"):
        submit(quick, prompt)
        expect(card(page, prompt)).to_have_attribute("data-status", "completed")
    assert page.evaluate("window.notified")


def test_a_job_whose_state_is_not_told_is_queued_once(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    page = open_page(paused)
    prompt_field(page).fill("queued once")
    page.route(ONE_JOB, refuse)
    page.keyboard.press("Control+Enter")
    expect(card(page, "queued once")).to_have_attribute("data-status", "pending")
    page.wait_for_timeout(300)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert line() == ["queued once"]


def test_a_refusal_in_the_middle_leaves_only_the_rest(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    line("was here before")
    page = open_page(paused)
    prompt_field(page).fill("a {red|blue|green|black|white} cat")
    page.get_by_text("Keep prompt").click()
    page.route("**/api/generate", only(3, full))
    page.keyboard.press("Control+Shift+Enter")
    expect(page.get_by_role("alert")).to_contain_text("2 of 5 queued. The queue is full")
    assert line() == ["a red cat", "a blue cat", "was here before"]
    expect(prompt_field(page)).to_have_value("a {red|blue|green|black|white} cat")
    page.get_by_role("button", name="Queue 3 Jobs").click()
    expect(page.locator(".card[data-status=pending]")).to_have_count(6)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert line()[2:] == ["was here before", "a green cat", "a black cat", "a white cat"]
    prompt_field(page).fill("a {red|blue|green|black|white} cat")
    expect(page.get_by_role("button", name="Queue 5 Jobs")).to_be_visible()


def test_a_job_that_could_not_be_cancelled_can_be_cancelled_again(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    line("one", "two", "three")
    page = open_page(f"{paused}/queue")
    expect(rows(page)).to_have_count(3)
    page.route("**/cancel", refuse, times=1)
    for name in ("one", "three"):
        page.get_by_label(f"Select: {name}").check()
    page.get_by_role("button", name="Cancel 2").click()
    expect(page.get_by_text("Come back later")).to_be_visible()
    expect(page.get_by_text("Cancelled 1 job")).to_be_visible()
    expect(rows(page)).to_have_count(2)
    page.goto(paused)
    page.route("**/cancel", refuse, times=1)
    cancel = card(page, "two").get_by_role("button", name="Cancel")
    cancel.click()
    expect(page.get_by_text("Come back later")).to_be_visible()
    cancel.click()
    expect(card(page, "two")).to_have_attribute("data-status", "cancelled")


def test_a_change_that_was_refused_or_not_sent_still_replaces_its_job(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    line("the first", "to be changed", "the last")
    page = open_page(paused)
    card(page, "to be changed").get_by_role("button", name="Edit").click()
    prompt_field(page).fill("refused")
    page.route("**/api/generate", full, times=1)
    replace = page.get_by_role("button", name="Replace the Waiting Job")
    replace.click()
    expect(page.get_by_role("alert")).to_contain_text("The queue is full")
    prompt_field(page).fill("changed once")
    replace.click()
    expect(card(page, "to be changed")).to_have_count(0)
    assert line() == ["the first", "changed once", "the last"]
    card(page, "changed once").get_by_role("button", name="Edit").click()
    prompt_field(page).fill("changed twice")
    page.route("**/api/generate", lambda route: route.abort(), times=1)
    replace.click()
    card(page, "changed twice").get_by_role("button", name="Send again").click()
    expect(card(page, "changed once")).to_have_count(0)
    assert line() == ["the first", "changed twice", "the last"]


def test_an_animation_that_was_refused_keeps_its_text(open_page: OpenPage, paused: str) -> None:
    page = open_page(f"{paused}/gallery")
    page.locator(".tile-open").first.click()
    page.get_by_role("dialog", name="Viewer").get_by_role("button", name="Animate").click()
    dialogue = page.get_by_role("dialog", name="Animate")
    text = dialogue.get_by_label("What should happen")
    text.fill("it slowly turns around")
    page.route("**/api/generate_video", full, times=1)
    page.keyboard.press("Control+Enter")
    expect(dialogue.get_by_role("alert")).to_contain_text("The queue is full")
    expect(text).to_have_value("it slowly turns around")
    page.keyboard.press("Control+Enter")
    expect(dialogue).to_be_hidden()
    expect(page.get_by_text("The clip is in the queue").first).to_be_visible()
    waiting = httpx.get(f"{paused}/api/jobs?status=pending").json()["jobs"]
    assert [job["prompt"] for job in waiting] == ["it slowly turns around"]


def test_what_cannot_be_brought_back_now_is_brought_back_later(
    open_page: OpenPage, paused: str, line: Waiting
) -> None:
    before = line("one", "two", "three")
    page = open_page(f"{paused}/queue")
    expect(rows(page)).to_have_count(3)
    page.get_by_role("button", name="Cancel what waits").click()
    expect(rows(page)).to_have_count(0)
    page.route("**/retry", full, times=1)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The queue is full")).to_be_visible()
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(rows(page)).to_have_count(3)
    assert line() == before


def test_what_is_refused_when_it_is_sent_again_can_be_sent_once_more(open_page: OpenPage, quick: str) -> None:
    page = open_page(quick)
    prompt_field(page).fill("sent three times")
    page.route("**/api/generate", lambda route: route.abort(), times=1)
    page.keyboard.press("Control+Enter")
    again = card(page, "sent three times").get_by_role("button", name="Send again")
    again.wait_for()
    page.route("**/api/generate", full, times=1)
    again.click()
    expect(card(page, "sent three times")).to_contain_text("The queue is full")
    again.click()
    expect(card(page, "sent three times")).to_have_attribute("data-status", "completed")
