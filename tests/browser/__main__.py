"""Pictures of every page and state, in both themes and at three widths, under out/screenshots.

python -m tests.browser             # all of them
python -m tests.browser queue away  # these states anew
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import REPOSITORY, chromium, end_all, quick_server
from tests.browser.states import STATES

FOLDER = REPOSITORY / "out/screenshots"
#: A browser of each kind comes to a state once, for its pictures at all sizes and in both themes.
DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {},
    "phone": {"has_touch": True, "is_mobile": True},
}
SIZES = {
    "desktop": {"wide": (1440, 900), "tablet": (834, 1112)},
    "phone": {"phone": (360, 740)},
}
THEMES: tuple[Literal["dark"], Literal["light"]] = ("dark", "light")
#: A machine that does other things, too, must not end a run of a hundred pictures.
PATIENCE_MS = 180_000
PICTURES_SHOW = """() => [...document.images].every(
    (image) => image.complete || image.getBoundingClientRect().top > innerHeight
)"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("states", nargs="*", metavar="STATE", help=", ".join(STATES))
    names = parser.parse_args().states
    if unknown := set(names) - STATES.keys():
        parser.error(f"no such state: {', '.join(unknown)}")
    if not names:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    take(names or list(STATES))


def take(names: list[str]) -> None:
    """Pictures of these states, in place of those that there are."""
    with (
        tempfile.TemporaryDirectory() as folder,
        quick_server(Path(folder), media=60, step_s=0.1) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name in names:
            for device, options in DEVICES.items():
                with closing(browser.new_context(locale="en-US", **options)) as context:
                    context.set_default_timeout(PATIENCE_MS)
                    picture(context.new_page(), url, name, SIZES[device])
                end_all(url)
        browser.close()
    print(f"{len(list(FOLDER.iterdir()))} pictures in {FOLDER}")


def picture(page: Page, url: str, name: str, sizes: dict[str, tuple[int, int]]) -> None:
    """Pictures of one state."""
    for place, (size, (width, height)) in enumerate(sizes.items()):
        page.set_viewport_size({"width": width, "height": height})
        if place == 0:
            page.goto(url)
            STATES[name](page, url)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(PICTURES_SHOW)
            page.wait_for_timeout(400)
            page.screenshot(path=FOLDER / f"{name}-{theme}-{size}.png")


if __name__ == "__main__":
    main()
