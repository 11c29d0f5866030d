"""How quick the page is: its weight, when it can be used, and how smoothly 25,000 pictures scroll.

python -m tests.browser.measure
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import chromium, quick_server

FEW, MEDIA = 100, 25_000
LOADS = 9
FRAMES = 600
#: Pixels a frame: a quick, steady swipe.
SPEED = 60

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
    page.goto(f"{url}/gallery")
    page.locator(".tile-open img").first.wait_for()
    took = sorted(page.evaluate(SCROLL, [FRAMES, SPEED]))
    slow = sum(each > 1000 / 60 * 1.5 for each in took)
    print(
        f"scrolling: frames median {statistics.median(took):.1f} ms, "
        f"p95 {took[int(0.95 * len(took))]:.1f} ms, {slow} of {len(took)} over 25 ms"
    )


if __name__ == "__main__":
    main()
