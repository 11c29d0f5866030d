"""When a preview may be made: seldom enough that the pictures themselves do not wait for it. No torch."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL_S = 0.75
"""Between two previews of a run: people see no more of them."""

SHARE = 0.05
"""Of a run's time that its previews may take."""


class Pace:
    """Paces the previews of one model's runs, by what the quickest of them took.

    The first of all is not counted as one of these, since the first decoding of a size prepares itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._quickest_s: float | None = None
        self._made = 0
        self.begin()

    def begin(self) -> None:
        """A run begins."""
        self._begun = self._latest = self.clock()
        self._spent_s = 0.0

    def allows(self, pictures: int) -> bool:
        """Whether so many previews may be made now, together."""
        now = self.clock()
        expected_s = pictures * (self._quickest_s or 0.0)
        is_due = now - self._latest >= INTERVAL_S
        return is_due and self._spent_s + expected_s <= SHARE * (now - self._begun)

    def spent(self, seconds: float, pictures: int) -> None:
        """So many previews have been made in `seconds`."""
        self._latest = self.clock()
        self._spent_s += seconds
        if self._made:
            each_s = seconds / pictures
            self._quickest_s = min(each_s, self._quickest_s or each_s)
        self._made += pictures
