"""The samples over time, drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from tests.simulation.svg import Page

Point = tuple[float, float]
COLOURS = ("#0969da", "#d1242f", "#2ca02c", "#8250df", "#e0a030", "#57606a", "#bf3989", "#1b7c83")
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 1000.0, 190.0, 70.0, 260.0, 60.0, 60.0
#: Series of a panel that are drawn: the largest.
MOST = len(COLOURS)


def draw(title: str, panels: Mapping[str, Mapping[str, Sequence[Point]]]) -> str:
    """A panel for each title, in which each name has a line through its points: (minutes, value)."""
    page = Page(WIDTH, TOP + len(panels) * (PANEL + GAP))
    page.text(16, 28, title, size=17)
    for number, (name, series) in enumerate(panels.items()):
        _panel(page, TOP + number * (PANEL + GAP), name, series)
    return str(page)


def _panel(page: Page, top: float, title: str, series: Mapping[str, Sequence[Point]]) -> None:
    largest = sorted(series.items(), key=lambda item: -max(value for _, value in item[1]))[:MOST]
    points = [point for _, each in largest for point in each]
    until = max((at for at, _ in points), default=1.0) or 1.0
    most = 1.1 * max((value for _, value in points), default=1.0) or 1.0
    page.text(16, top, title, size=13)
    for part in (0.0, 0.5, 1.0):
        y = top + 12 + PANEL * (1 - part)
        page.line(LEFT, y, WIDTH - RIGHT, y)
        page.text(LEFT - 6, y + 4, f"{most * part:.4g}", size=11, anchor="end")
    page.text(WIDTH - RIGHT, top + PANEL + 28, f"{until:.0f} min", size=11, anchor="end")

    def place(point: Point) -> Point:
        at, value = point
        return LEFT + (WIDTH - LEFT - RIGHT) * at / until, top + 12 + PANEL * (1 - value / most)

    for number, (name, each) in enumerate(largest):
        _line(page, each, place, COLOURS[number])
        page.text(WIDTH - RIGHT + 14, top + 24 + 20 * number, name, size=11, fill=COLOURS[number])


def _line(page: Page, points: Sequence[Point], place: Callable[[Point], Point], colour: str) -> None:
    for before, after in pairwise(points):
        page.line(*place(before), *place(after), colour)
