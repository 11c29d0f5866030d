"""Places in the queue, as floats: there is nearly always room between two."""

from __future__ import annotations


def after(last: float | None) -> float:
    """The place behind `last`, or the first place of all."""
    return 1.0 if last is None else last + 1.0


def between(low: float | None, high: float) -> float | None:
    """A place before `high` and behind `low` (None: nothing is there). None when the two leave no room."""
    if low is None:
        return high - 1.0
    middle = low + (high - low) / 2
    return middle if low < middle < high else None
