"""How long media and jobs are kept, and how much room they may take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from storage.files import MediaFiles
from storage.jobs import JobStore
from storage.media import Media, MediaIndex

#: Rows that are read, or removed in one transaction, at a time: jobs do not wait long for the database.
BATCH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What may stay; None is without limit."""

    age: timedelta | None = None
    #: Of all media files with their thumbnails.
    size: int | None = None

    @property
    def any(self) -> bool:
        return self.age is not None or self.size is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A picture or clip that goes, and the bytes that its files take."""

    media: Media
    size: int


class Retention:
    """Removes what is over the limits, oldest first: never favourites nor sources of unfinished jobs."""

    def __init__(self, jobs: JobStore, media: MediaIndex, files: MediaFiles) -> None:
        self._jobs = jobs
        self._media = media
        self._files = files

    def excess(self, limits: Limits, *, now: datetime) -> Iterator[Removal]:
        """What is over the limits now."""
        surplus = 0 if limits.size is None else self._total() - limits.size
        oldest = None if limits.age is None else now - limits.age
        for media in self._expendable() if limits.any else ():
            too_old = oldest is not None and media.created_at < oldest
            if not too_old and surplus <= 0:
                return
            size = self._files.size(media.file_path)
            surplus -= size
            yield Removal(media=media, size=size)

    def remove(self, limits: Limits, *, now: datetime) -> Iterator[Removal]:
        """Remove it, in batches; yields what is gone, with its files."""
        excess = self.excess(limits, now=now)
        while batch := list(islice(excess, BATCH)):
            sizes = {removal.media.id: removal.size for removal in batch}
            for media in self._media.prune(list(sizes)):
                self._files.delete(media.file_path)
                yield Removal(media=media, size=sizes[media.id])

    def forget_jobs(self, limits: Limits, *, now: datetime) -> int:
        """Remove the ended jobs over the age that have no media (any more); the number."""
        if limits.age is None:
            return 0
        oldest = now - limits.age
        forgotten = 0
        while some := self._jobs.forget(ended_before=oldest, limit=BATCH):
            forgotten += some
        return forgotten

    def forget_keys(self, *, now: datetime) -> int:
        """Remove the idempotency keys of deleted jobs that hold no longer; the number."""
        return self._jobs.forget_keys(now=now)

    def _total(self) -> int:
        return self._files.total(self._media.file_paths())

    def _expendable(self) -> Iterator[Media]:
        after: Media | None = None
        while page := self._media.expendable(after=after, limit=BATCH):
            yield from page
            after = page[-1]
