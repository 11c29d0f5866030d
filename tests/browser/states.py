"""Every page and state that is to be looked at, by axe and by eye: how to get there from the start page."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import end_all

State = Callable[[Page, str], None]


def generate(page: Page, url: str) -> None:
    page.locator(".picker-button").wait_for()


def generate_working(page: Page, url: str) -> None:
    """A failed, a cancelled, a finished, a running one with a preview, and two waiting jobs."""
    end_all(url)
    _submit(url, "demo-sd35", "two quiet foxes in the snow", num_inference_steps=6)
    _submit(
        url, "demo-flux", "a small yellow star on a green background", num_images=4, num_inference_steps=2
    )
    endless = [
        _submit(url, "demo-flux", prompt, num_inference_steps=50, num_images=8)
        for prompt in (
            "misty hills in the first light",
            "dunes under a violet sky",
            "a quiet lake",
            "a glacier",
        )
    ]
    httpx.post(f"{url}/api/jobs/{endless.pop()}/cancel")
    page.locator(".card[data-status=processing] [role=progressbar][aria-valuenow]").wait_for()
    page.locator(".card[data-status=processing] .preview").wait_for()
    expect(page.locator(".card[data-status=pending]")).to_have_count(2)


def alternatives(page: Page, url: str) -> None:
    page.locator(".picker-button").wait_for()
    page.get_by_label("Prompt", exact=True).fill("a {small|large} star on a {green|violet} background")
    page.get_by_text("Stands for 4 prompts").click()


def wildcards(page: Page, url: str) -> None:
    """With lists that there are, and one that is missing."""
    page.locator(".picker-button").wait_for()
    page.get_by_label("Prompt", exact=True).fill("a {tiny|large} __color__ __shape__ __place__, __mood__")
    page.get_by_text("Stands for 2 prompts").wait_for()


def lists(page: Page, url: str) -> None:
    wildcards(page, url)
    page.get_by_role("button", name="Lists", exact=True).click()
    page.get_by_role("dialog", name="Lists").get_by_role("button", name="place").click()


def editing(page: Page, url: str) -> None:
    generate_working(page, url)
    page.locator(".card[data-status=pending]").first.get_by_role("button", name="Edit").click()
    page.get_by_text("You are changing a waiting job").wait_for()


def picker(page: Page, url: str) -> None:
    page.locator(".picker-button").click()
    page.get_by_role("listbox").wait_for()


def video_form(page: Page, url: str) -> None:
    picker(page, url)
    page.get_by_role("option", name="demo-wan-t2v").click()
    page.get_by_text("Generate Video").wait_for()


def settings(page: Page, url: str) -> None:
    page.locator("[popovertarget=settings-menu]").click()
    page.locator("#settings-menu").wait_for()


def help_sheet(page: Page, url: str) -> None:
    page.locator(".picker-button").wait_for()
    page.get_by_role("button", name="Keyboard and help").click()
    page.get_by_role("dialog").wait_for()


def gallery(page: Page, url: str) -> None:
    page.goto(f"{url}/gallery")
    page.locator(".tile-open img").first.wait_for()


def gallery_empty(page: Page, url: str) -> None:
    page.goto(f"{url}/gallery?search=nothing+of+that+kind")
    page.get_by_text("Nothing matches").wait_for()


def selection(page: Page, url: str) -> None:
    gallery(page, url)
    page.get_by_role("button", name="Select").click()
    page.locator(".tile-open").nth(1).click()
    page.locator(".tile-open").nth(3).click()


def filtered(page: Page, url: str) -> None:
    page.goto(f"{url}/gallery?search=calm+sea&model=demo-flux&type=image")
    page.locator(".tile-open img").first.wait_for()


def dates(page: Page, url: str) -> None:
    page.goto(f"{url}/gallery?from=2001-02-03")
    page.locator(".tile-open img").first.wait_for()
    page.get_by_role("button", name="Date", exact=True).click()
    page.get_by_label("To", exact=True).wait_for()


def viewer(page: Page, url: str) -> None:
    gallery(page, url)
    page.locator(".tile-open").nth(2).click()
    page.locator(".stage-medium").wait_for()


def tagged(page: Page, url: str) -> None:
    """A picture with tags, while one more is typed."""
    tag(url, [2, 3, 5], "sea", "long exposure", "the long exposures of the northern coast")
    tag(url, [3, 8], "seal", "misty", "lighthouse")
    viewer(page, url)
    page.keyboard.press("t")
    page.locator("#tags:focus").wait_for()
    page.keyboard.type("s")
    page.get_by_role("option", name="seal").wait_for()


def tag_filter(page: Page, url: str) -> None:
    tag(url, [1, 4, 6], "sea", "dusk")
    tag(url, [1, 3, 6, 7], "calm", "mountains", "northern lights", "print")
    page.goto(f"{url}/gallery?tag=sea&tag=dusk")
    page.locator(".tile-open img").first.wait_for()
    page.get_by_role("button", name="Tags", exact=True).click()
    page.get_by_role("button", name="sea").first.wait_for()


def tag_dialogue(page: Page, url: str) -> None:
    tag(url, [1], "dusk", "sea")
    tag(url, [3], "calm")
    selection(page, url)
    page.get_by_role("button", name="Tag…").click()
    add = page.get_by_role("combobox", name="Add to all")
    add.fill("lighthouse")
    add.press("Enter")
    page.locator("#tags-remove-list").get_by_role("option", name="dusk").click()
    page.get_by_role("combobox", name="Remove from all").press("ArrowDown")


def compare(page: Page, url: str) -> None:
    viewer(page, url)
    page.get_by_role("dialog", name="Viewer").get_by_role("button", name="Compare").click()
    page.get_by_role("slider").wait_for()


def animate(page: Page, url: str) -> None:
    viewer(page, url)
    page.get_by_role("dialog", name="Viewer").get_by_role("button", name="Animate").click()
    page.get_by_role("dialog", name="Animate").get_by_label("Model").wait_for()


def queue(page: Page, url: str) -> None:
    generate_working(page, url)
    page.goto(f"{url}/queue")
    page.get_by_role("list", name="Waiting").get_by_role("listitem").first.wait_for()
    page.locator(".row.ended").first.wait_for()


def away(page: Page, url: str) -> None:
    page.locator(".picker-button").wait_for()
    page.context.set_offline(True)
    page.route("**/api/**", lambda route: route.abort())
    # More than once: an answer that was under way would tell that the server is there.
    page.wait_for_function(
        "() => dispatchEvent(new Event('online')) && document.querySelector('[role=alert]')", polling=500
    )


#: Those that leave jobs behind come last.
STATES: dict[str, State] = {
    "generate": generate,
    "picker": picker,
    "video-form": video_form,
    "settings": settings,
    "help": help_sheet,
    "gallery": gallery,
    "gallery-empty": gallery_empty,
    "selection": selection,
    "filtered": filtered,
    "dates": dates,
    "viewer": viewer,
    "tagged": tagged,
    "tag-filter": tag_filter,
    "tag-dialogue": tag_dialogue,
    "compare": compare,
    "animate": animate,
    "alternatives": alternatives,
    "wildcards": wildcards,
    "lists": lists,
    "away": away,
    "working": generate_working,
    "editing": editing,
    "queue": queue,
}


def tag(url: str, places: list[int], *names: str) -> None:
    """Give these tags to the pictures at these places of the gallery."""
    ids = httpx.get(f"{url}/api/gallery/ids").json()["ids"]
    body = {"ids": [ids[place] for place in places], "add": names}
    assert httpx.post(f"{url}/api/batch_tag", json=body).is_success


def _submit(url: str, model: str, prompt: str, **values: int) -> str:
    body = {"model_id": model, "prompt": prompt, "settings": values}
    return str(httpx.post(f"{url}/api/generate", json=body).json()["job_id"])
