"""The figures of every load, drawn: a row each, a dot for each policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.simulation.figures import Figures
from tests.simulation.policies import FIFO, OURS, POLICIES
from tests.simulation.svg import Page

COLOURS = dict(zip(POLICIES, ("#d1242f", "#57606a", "#e0a030", "#2ca02c", "#8250df"), strict=True))
WIDTH, NAMES, GAP, TOP, ROW = 960.0, 232.0, 40.0, 96.0, 24.0
PANEL = (WIDTH - NAMES - 2 * GAP) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A load, its figures by policy, and the least possible makespan in seconds.

    `kept` is the largest part of its promised longest wait that any job has waited under our policy.
    """

    name: str
    figures: Mapping[str, Figures]
    least_s: float
    kept: float

    @property
    def pictures(self) -> float:
        """What 95 of 100 pictures wait at most under our policy, as a part of that in line."""
        return self.figures[OURS].picture_p95_s / self.figures[FIFO].picture_p95_s

    @property
    def later(self) -> float:
        """How much later all is done than under the quickest of the other policies, as a part of that."""
        best = min(each.makespan_s for name, each in self.figures.items() if name != OURS)
        return self.figures[OURS].makespan_s / best - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    title: str
    x: float
    value: Callable[[Row, Figures], float]
    low: float
    high: float
    ticks: tuple[float, ...]
    tick: str

    def place(self, value: float) -> float:
        part = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.x + part * PANEL


PANELS = (
    Panel(
        title="95 of 100 pictures wait no longer than",
        x=NAMES,
        value=lambda row, found: found.picture_p95_s,
        low=30,
        high=30_000,
        ticks=(60, 300, 1800, 7200),
        tick="{:.0f} s",
    ),
    Panel(
        title="All done, over the least possible",
        x=NAMES + PANEL + GAP,
        value=lambda row, found: found.makespan_s / row.least_s,
        low=1,
        high=3,
        ticks=(1, 1.25, 1.5, 2, 3),
        tick="{:g} x",
    ),
)


def draw_chart(rows: list[Row]) -> str:
    bottom = TOP + ROW * len(rows)
    page = Page(WIDTH, bottom + 40)
    page.text(16, 26, "Simulated: runs alone would take 80% of the GPUs' time", size=17)
    for number, (name, colour) in enumerate(COLOURS.items()):
        page.dot(24 + 140 * number, 48, colour)
        page.text(34 + 140 * number, 52, name)
    for panel in PANELS:
        _frame(page, panel, bottom)
    for number, row in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        page.text(16, y + 4, row.name)
        for panel in PANELS:
            _dots(page, panel, row, y)
    return str(page)


def _frame(page: Page, panel: Panel, bottom: float) -> None:
    page.text(panel.x, 80, panel.title, size=13)
    for tick in panel.ticks:
        x = panel.place(tick)
        page.line(x, TOP - 6, x, bottom)
        page.text(x, bottom + 18, panel.tick.format(tick), size=11, anchor="middle")


def _dots(page: Page, panel: Panel, row: Row, y: float) -> None:
    page.line(panel.x, y, panel.x + PANEL, y, "#eef1f4")
    for name in reversed(POLICIES):
        value = panel.value(row, row.figures[name])
        page.dot(panel.place(value), y, COLOURS[name], title=f"{name}: {panel.tick.format(value)}")
