"""A measured quantity, and the table that the benchmarks print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Samples of one quantity under a heading. `note` says what they include."""

    heading: str
    name: str
    unit: str
    samples: tuple[float, ...]
    note: str = ""

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"{self.heading}, {self.name}: nothing was measured")

    @property
    def median(self) -> float:
        return median(self.samples)

    def to_json(self) -> str:
        values = {name: getattr(self, name) for name in ("heading", "name", "unit", "note")}
        spread = {"median": self.median, "min": min(self.samples), "max": max(self.samples)}
        return json.dumps({**values, **spread, "samples": self.samples})


def milliseconds(heading: str, name: str, seconds: Iterable[float], note: str = "") -> Figure:
    samples = tuple(1000 * value for value in seconds)
    return Figure(heading=heading, name=name, unit="ms", samples=samples, note=note)


def seconds(heading: str, name: str, samples: Iterable[float], note: str = "") -> Figure:
    return Figure(heading=heading, name=name, unit="s", samples=tuple(samples), note=note)


def table(surroundings: Mapping[str, str], figures: Sequence[Figure]) -> str:
    """The surroundings, then the figures by heading, in columns."""
    lines = [f"{name:<10} {value}" for name, value in surroundings.items()]
    width = max((len(figure.name) for figure in figures), default=0)
    for heading, group in groupby(figures, key=lambda figure: figure.heading):
        lines += ["", f"{heading:<{width}} {'median':>10} {'min':>10} {'max':>10} {'n':>4}"]
        lines += [_line(figure, width) for figure in group]
    return "\n".join(lines)


def _line(figure: Figure, width: int) -> str:
    values = (figure.median, min(figure.samples), max(figure.samples))
    columns = " ".join(f"{_rounded(value):>10}" for value in values)
    line = f"{figure.name:<{width}} {columns} {len(figure.samples):>4}  {figure.unit:<5} {figure.note}"
    return line.rstrip()


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
