"""How quick the page is: its weight, when it can be used, and how smoothly 25,000 pictures scroll.

Scrolling stands beside that of a page of plain, lazily loaded pictures: what the browser can do here.

python -m tests.browser.measure
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import chromium, quick_server

FEW, MEDIA = 100, 25_000
LOADS = 15
FRAMES = 600
#: Pixels a frame: a quick, steady swipe.
SPEED = 60
#: More than are scrolled past.
PLAIN = 2_000

USABLE = """
new Promise((done) => {
  const look = () => {
    if (document.querySelector(".picker-button")) done(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})
"""
SCROLL = """
([frames, speed]) => new Promise((done) => {
  const took = [];
  let last = performance.now();
  const step = (now) => {
    took.push(now - last);
    last = now;
    scrollBy(0, speed);
    took.length < frames ? requestAnimationFrame(step) : done(took.slice(5));
  };
  requestAnimationFrame(step);
})
"""


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for media in (FEW, MEDIA):
            with tempfile.TemporaryDirectory() as folder, quick_server(Path(folder), media=media) as url:
                print(f"with {media} pictures:")
                measure_load(browser, url)
                if media == MEDIA:
                    measure_scrolling(browser, url)
        browser.close()


def measure_load(browser: Browser, url: str) -> None:
    times = []
    for _ in range(LOADS):
        page = browser.new_page()
        page.goto(url, wait_until="commit")
        times.append(page.evaluate(USABLE))
        sizes = page.evaluate(
            "performance.getEntriesByType('resource').filter((e) => e.name.includes('/assets/'))"
            ".map((e) => e.encodedBodySize)"
        )
        page.close()
    print(f"first load: {sum(sizes) / 1000:.1f} KB in {len(sizes)} files")
    print(f"usable after: {statistics.median(times):.0f} ms (best {min(times):.0f}, of {LOADS})")


def measure_scrolling(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.route(f"{url}/plain", lambda route: route.fulfill(content_type="text/html", body=plain_page(url)))
    for name, path, first in (("gallery", "gallery", ".tile-open img"), ("plain", "plain", "img")):
        page.goto(f"{url}/{path}")
        page.locator(first).first.wait_for()
        told(f"scrolling, {name}", sorted(page.evaluate(SCROLL, [FRAMES, SPEED])))


def plain_page(url: str) -> str:
    """As many pictures in a row as the gallery has, and as large."""
    ids = httpx.get(f"{url}/api/gallery/ids").json()["ids"][:PLAIN]
    style = "width: 222px; height: 222px; margin: 5px; object-fit: cover"
    images = (f'<img loading="lazy" src="{url}/api/image/{each}/thumbnail" style="{style}">' for each in ids)
    return f"<!doctype html><body>{''.join(images)}"


def told(what: str, took: list[float]) -> None:
    slow = sum(each > 1000 / 60 * 1.5 for each in took)
    print(
        f"{what}: frames median {statistics.median(took):.1f} ms, "
        f"p95 {took[int(0.95 * len(took))]:.1f} ms, {slow} of {len(took)} over 25 ms"
    )


if __name__ == "__main__":
    main()
