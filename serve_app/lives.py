"""When this dispatcher ran on the database, and the one before it: what they left behind is from then."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from storage import MediaIndex, StorageError
from storage.media import Life

#: A dispatcher that begins so soon after another has recorded its life goes on with it.
ONE_LIFE = timedelta(minutes=2)


class Lives:
    """Blocking."""

    def __init__(self, media: MediaIndex, now: Callable[[], datetime], every: timedelta) -> None:
        """`every`: how often it is recorded, at the least."""
        self._media = media
        self._now = now
        self._every = every
        self._begin: datetime | None = None
        self._before: Life | None = None

    def begin(self) -> None:
        """Go on with the life before, as after a death, or begin one of its own after a pause."""
        self._begin, last = self._now(), self._media.life
        if last is not None and self._begin - last.end < ONE_LIFE:
            self._begin = last.begin
        elif last is not None:
            self._before = replace(last, end=last.end + self._every)
        with suppress(StorageError):  # A full disk; the next record tries again.
            self.record()

    def record(self) -> None:
        """That it goes on."""
        self._media.set_life(self._own())

    def known(self) -> list[Life]:
        return [life for life in (self._own(), self._before) if life is not None]

    def _own(self) -> Life | None:
        """None before it has begun."""
        return None if self._begin is None else Life(self._begin, self._now())
