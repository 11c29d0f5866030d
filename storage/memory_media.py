"""A media index that forgets everything at exit: for tests, and for trying things out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import RLock

from storage.cursors import Mark, decode_cursor, encode_cursor
from storage.media import Life, Media, MediaId, MediaPage, MediaQuery
from storage.rows import media_model, output_number, search_text, whole_seed
from storage.tags import Tag, TagUse, changed, in_order, key_of, most_used_first


class MemoryMediaIndex:
    """The twin of SqlMediaIndex."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._media: dict[MediaId, Media] = {}
        self._clients: dict[MediaId, str | None] = {}
        self.born = datetime.fromtimestamp(0, UTC)
        self.life: Life | None = None
        #: The pictures that unfinished jobs are to animate; the job store says.
        self.needed: Callable[[], frozenset[str]] = frozenset

    def add(self, media: Media, *, client: str | None = None) -> None:
        self.insert((media,), client=client)

    def insert(self, media: Iterable[Media], *, client: str | None) -> None:
        """Insert a job's outputs, for its client."""
        with self._lock:
            for each in media:
                self._media[each.id] = each
                self._clients[each.id] = client

    def get(self, media_id: MediaId, *, client: str | None = None) -> Media | None:
        with self._lock:
            return self._media.get(media_id) if client in (None, self._clients.get(media_id)) else None

    def of_job(self, job_id: str) -> tuple[Media, ...]:
        with self._lock:
            outputs = [media for media in self._media.values() if media.job_id == job_id]
        return tuple(sorted(outputs, key=lambda media: (output_number(media), media.id)))

    def page(self, query: MediaQuery, *, limit: int, cursor: str | None = None, offset: int = 0) -> MediaPage:
        found = self._found(query)
        below = None if cursor is None else decode_cursor(cursor)
        rest = [media for media in found if below is None or _mark(media) < below][offset:]
        return MediaPage(
            media=tuple(rest[:limit]),
            total=len(found),
            next_cursor=encode_cursor(_mark(rest[limit - 1])) if len(rest) > limit else None,
        )

    def ids(self, query: MediaQuery) -> tuple[MediaId, ...]:
        return tuple(media.id for media in self._found(query))

    def _found(self, query: MediaQuery) -> list[Media]:
        """Newest first."""
        with self._lock:
            found = [media for media in self._media.values() if self._matches(media, query)]
        return sorted(found, key=_mark, reverse=True)

    def set_life(self, life: Life | None) -> None:
        self.life = life

    def file_paths(self) -> frozenset[str]:
        with self._lock:
            return frozenset(media.file_path for media in self._media.values())

    def set_favorite(self, media_id: MediaId, favorite: bool, *, client: str | None = None) -> bool:
        with self._lock:
            if self.get(media_id, client=client) is None:
                return False
            self._media[media_id] = replace(self._media[media_id], favorite=favorite)
            return True

    def set_tags(self, media_id: MediaId, tags: Sequence[Tag], *, client: str | None = None) -> bool:
        wanted = in_order(tags)
        return self._retag((media_id,), lambda _: wanted, client) == 1

    def change_tags(
        self,
        media_ids: Sequence[MediaId],
        *,
        add: Sequence[Tag] = (),
        remove: Sequence[Tag] = (),
        client: str | None = None,
    ) -> int:
        return self._retag(media_ids, lambda tags: changed(tags, add=add, remove=remove), client)

    def _retag(
        self,
        media_ids: Sequence[MediaId],
        change: Callable[[tuple[Tag, ...]], tuple[Tag, ...]],
        client: str | None,
    ) -> int:
        with self._lock:
            found = [media for each in set(media_ids) if (media := self.get(each, client=client)) is not None]
            self._media |= {media.id: replace(media, tags=change(media.tags)) for media in found}
            return len(found)

    def tags(self, *, client: str | None = None) -> tuple[TagUse, ...]:
        shown = self._found(MediaQuery(client=client))
        return most_used_first(Counter(tag for media in shown for tag in media.tags).items())

    def delete(self, media_id: MediaId, *, client: str | None = None) -> Media | None:
        with self._lock:
            if self.get(media_id, client=client) is None:
                return None
            self._clients.pop(media_id, None)
            return replace(self._media.pop(media_id), tags=())

    def delete_all(self, media_ids: Sequence[MediaId], *, client: str | None = None) -> tuple[Media, ...]:
        with self._lock:
            deleted = (self.delete(media_id, client=client) for media_id in media_ids)
            return tuple(media for media in deleted if media is not None)

    def expendable(self, *, after: Media | None, limit: int) -> tuple[Media, ...]:
        with self._lock:
            needed = self.needed()
            found = [each for each in self._media.values() if not each.favorite and each.id not in needed]
        rest = [each for each in found if after is None or _mark(each) > _mark(after)]
        return tuple(sorted(rest, key=_mark)[:limit])

    def prune(self, media_ids: Sequence[MediaId]) -> tuple[Media, ...]:
        with self._lock:
            chosen = [
                each for each in self.expendable(after=None, limit=len(self._media)) if each.id in media_ids
            ]
            return self.delete_all([media.id for media in chosen])

    def _matches(self, media: Media, query: MediaQuery) -> bool:
        return (
            not media.is_upload
            and query.model in (None, media_model(media))
            and query.media_type in (None, media.media_type)
            and query.favorite in (None, media.favorite)
            and {key_of(tag) for tag in query.tags} <= {key_of(tag) for tag in media.tags}
            and query.client in (None, self._clients[media.id])
            and (query.since is None or media.created_at >= query.since)
            and (query.until is None or media.created_at < query.until)
            and all(_holds(search_text(media), word.casefold()) for word in query.words)
        )


def _holds(text: str, word: str) -> bool:
    seed = whole_seed(word)
    return word in text if seed is None else text.endswith(seed)


def _mark(media: Media) -> Mark:
    return Mark(media.created_at, media.id)
