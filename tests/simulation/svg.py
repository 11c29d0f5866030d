"""A page of shapes, as SVG. Colours hold on light and dark backgrounds alike: the page brings its own."""

from __future__ import annotations

from html import escape

FONT = "font-family='system-ui, sans-serif'"


class Page:
    """Lengths are in pixels, from the upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self._size = f"width='{width:g}' height='{height:g}' viewBox='0 0 {width:g} {height:g}'"
        self._shapes = [f"<rect width='{width:g}' height='{height:g}' fill='#ffffff'/>"]

    def box(self, x: float, y: float, width: float, height: float, fill: str, *, title: str = "") -> None:
        inside = f"<title>{escape(title)}</title>" if title else ""
        size = f"width='{width:.1f}' height='{height:.1f}'"
        self._shapes.append(f"<rect x='{x:.1f}' y='{y:.1f}' {size} fill='{fill}'>{inside}</rect>")

    def dot(self, x: float, y: float, fill: str, *, radius: float = 5, title: str = "") -> None:
        shape = f"cx='{x:.1f}' cy='{y:.1f}' r='{radius:g}' fill='{fill}' stroke='#ffffff'"
        self._shapes.append(f"<circle {shape}><title>{escape(title)}</title></circle>")

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = "#d8dee4") -> None:
        ends = f"x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}'"
        self._shapes.append(f"<line {ends} stroke='{stroke}'/>")

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        anchor: str = "start",
        fill: str = "#24292f",
    ) -> None:
        look = f"font-size='{size:g}' text-anchor='{anchor}' fill='{fill}'"
        self._shapes.append(f"<text x='{x:.1f}' y='{y:.1f}' {look} {FONT}>{escape(words)}</text>")

    def __str__(self) -> str:
        shapes = "\n".join(self._shapes)
        return f"<svg xmlns='http://www.w3.org/2000/svg' {self._size}>\n{shapes}\n</svg>\n"
