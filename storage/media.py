"""A finished picture or clip: its row, and what an index of them promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType, Protocol

from storage.tags import Tag, TagUse

MediaId = NewType("MediaId", str)
MediaType = Literal["image", "video"]

#: The `source` in the metadata of an upload that came with its job.
SENT_ALONG = "input_reference"


@dataclass(frozen=True, slots=True)
class Life:
    """The time in which a server ran on a database, restarts included."""

    begin: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.begin <= moment <= self.end


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """One row of the media table. An uploaded picture has no job."""

    id: MediaId
    job_id: str | None
    media_type: MediaType
    #: Relative to the media root: `YYYY/MM/DD/<id>.png` or `.mp4`.
    file_path: str
    created_at: datetime
    width: int
    height: int
    #: Model, prompt, negative_prompt, settings, seed and so on, as in the file itself.
    metadata: dict[str, Any] = field(default_factory=dict)
    favorite: bool = False
    #: Each once, in order.
    tags: tuple[Tag, ...] = ()

    @property
    def is_upload(self) -> bool:
        return self.job_id is None

    @property
    def sent_along(self) -> bool:
        """An upload that came with its job, so that its sender was not told its id."""
        return self.is_upload and self.metadata.get("source") == SENT_ALONG


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaQuery:
    """What the gallery shows. Words are ANDed; each must occur in the prompt, the model or the seed.

    A word like "seed:42" names the whole seed. Made at `since` or later, and earlier than `until`. With every
    one of the tags.
    """

    words: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    media_type: MediaType | None = None
    favorite: bool | None = None
    tags: tuple[Tag, ...] = ()
    client: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaPage:
    """Some media, newest first, and how many match in all."""

    media: tuple[Media, ...]
    total: int
    next_cursor: str | None


class MediaIndex(Protocol):
    """Rows of finished media. Blocking; call it from a thread."""

    def add(self, media: Media, *, client: str | None = None) -> None:
        """Insert an uploaded picture's row, for the client that sent it."""
        ...

    def get(self, media_id: MediaId, *, client: str | None = None) -> Media | None:
        """None if there is no such media, or it is another client's than the one given."""
        ...

    def of_job(self, job_id: str) -> tuple[Media, ...]:
        """A job's outputs in order of output number."""
        ...

    def page(self, query: MediaQuery, *, limit: int, cursor: str | None = None, offset: int = 0) -> MediaPage:
        """Newest first by (created_at, id), uploads left out. Raises InvalidCursor."""
        ...

    def ids(self, query: MediaQuery) -> tuple[MediaId, ...]:
        """Of all that a query finds, newest first."""
        ...

    def set_favorite(self, media_id: MediaId, favorite: bool, *, client: str | None = None) -> bool:
        """False if there is no such media (of that client)."""
        ...

    def set_tags(self, media_id: MediaId, tags: Sequence[Tag], *, client: str | None = None) -> bool:
        """Give it these tags in place of those that it has. False as for `set_favorite`.

        Raises TooManyTags.
        """
        ...

    def change_tags(
        self,
        media_ids: Sequence[MediaId],
        *,
        add: Sequence[Tag] = (),
        remove: Sequence[Tag] = (),
        client: str | None = None,
    ) -> int:
        """Remove some tags, then add others, on those of the media that there are (of that client): how many.

        Tags that stay keep their spelling. Raises TooManyTags, and then none is changed.
        """
        ...

    def tags(self, *, client: str | None = None) -> tuple[TagUse, ...]:
        """Those of the media in the gallery (of that client), the most used first."""
        ...

    def delete(self, media_id: MediaId, *, client: str | None = None) -> Media | None:
        """Remove the row and return it, so that the file can go too. None as for `get`.

        Its tags are gone, here as in `delete_all` and `prune`.
        """
        ...

    def delete_all(self, media_ids: Sequence[MediaId], *, client: str | None = None) -> tuple[Media, ...]:
        """Remove the rows that there are (of that client), and return them."""
        ...

    def expendable(self, *, after: Media | None, limit: int) -> tuple[Media, ...]:
        """Media that may make room, oldest first, from behind `after`.

        That is: no favourites, and no sources of jobs that wait or run.
        """
        ...

    def prune(self, media_ids: Sequence[MediaId]) -> tuple[Media, ...]:
        """Remove those of the rows that are expendable still, and return them, so that the files can go."""
        ...

    @property
    def born(self) -> datetime:
        """When the database was made."""
        ...

    @property
    def life(self) -> Life | None:
        """When a server has last run on this database; None where that is not known.

        Files without a row are its leftovers only if they are from then. Others may be those of another
        database, or of rows that were lost.
        """
        ...

    def set_life(self, life: Life | None) -> None:
        """Best effort: cheap, and may be lost with the machine."""
        ...

    def file_paths(self) -> frozenset[str]:
        """The path of every file that has a row, relative to the media root."""
        ...
