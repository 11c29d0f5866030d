"""Every page and state against axe's rules for WCAG 2.2 AA, in both themes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import AXE, OpenPage
from tests.browser.states import STATES

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

#: The transitions to another theme's colours are over.
COLORS_CHANGED = "Promise.allSettled(document.getAnimations().map(({ finished }) => finished)).then(() => {})"


@pytest.fixture(scope="module")
def axe() -> Callable[[Page], list[str]]:
    source = AXE.read_text("utf-8")

    def violations(page: Page) -> list[str]:
        """Through the debugger: the page's own policy lets no foreign script in."""
        page.context.new_cdp_session(page).send("Runtime.evaluate", {"expression": source})
        found = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
        return [
            f"{violation['id']}: {node['html'][:200]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    return violations


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(
    open_page: OpenPage, quick: str, axe: Callable[[Page], list[str]], state: str
) -> None:
    page = open_page(quick, color_scheme="dark", reduced_motion="reduce")
    STATES[state](page, quick)
    assert axe(page) == []
    page.emulate_media(color_scheme="light")
    page.evaluate(COLORS_CHANGED)
    assert axe(page) == []
