"""The media index in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from storage.cursors import Mark, encode_cursor
from storage.database import Database
from storage.jobs import JobStatus
from storage.keyset import above, newest_first
from storage.media import Life, Media, MediaId, MediaPage, MediaQuery
from storage.rows import media_from_row, media_values, whole_seed
from storage.schema import is_clip, jobs, state
from storage.schema import media as table
from storage.sql_places import lock_queue
from storage.sql_tags import have_tags, lock_tags, spellings, tag_names, write_tags
from storage.tags import Tag, TagUse, changed, in_order, most_used_first

#: Up to so many media of some tags are sorted; of more, a walk from the newest on soon meets a page.
FEW = 1000
_UNFINISHED = (JobStatus.PENDING.value, JobStatus.PROCESSING.value)
_BORN = select(state.c.value).where(state.c.key == "born")
_IS_LIFE = state.c.key == "life"
_ALL = select(table, tag_names)
_ONE = _ALL.where(table.c.id == bindparam("media_id"))
_NAMED_BY = (
    select(jobs.c.id)
    .where(is_clip, jobs.c.settings["source_image_id"].as_string() == bindparam("source_id"))
    .limit(1)
)
_OF_JOB = _ALL.where(table.c.job_id == bindparam("job_id")).order_by(table.c.number, table.c.id)


class SqlMediaIndex:
    """Implements MediaIndex."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, media: Media, *, client: str | None = None) -> None:
        with self._database.write() as connection:
            insert_media(connection, (media,), client=client)

    def get(self, media_id: MediaId, *, client: str | None = None) -> Media | None:
        query = _ONE if client is None else _ONE.where(table.c.client == client)
        with self._database.read() as connection:
            row = connection.execute(query, {"media_id": media_id}).one_or_none()
        return None if row is None else _media(row)

    def of_job(self, job_id: str) -> tuple[Media, ...]:
        with self._database.read() as connection:
            return media_of_job(connection, job_id)

    def page(self, query: MediaQuery, *, limit: int, cursor: str | None = None, offset: int = 0) -> MediaPage:
        count = select(func.count()).select_from(table).where(*_conditions(query))
        with self._database.read() as connection:
            total = connection.execute(count).scalar_one()
            matching = _conditions(query, walking=total > FEW)
            newest = newest_first(table, *matching, cursor=cursor).add_columns(tag_names)
            rows = connection.execute(newest.limit(limit + 1).offset(offset)).all()
        found = tuple(_media(row) for row in rows[:limit])
        more = len(rows) > limit
        return MediaPage(
            media=found,
            total=total,
            next_cursor=encode_cursor(Mark(found[-1].created_at, found[-1].id)) if more else None,
        )

    def ids(self, query: MediaQuery) -> tuple[MediaId, ...]:
        matching = _conditions(query)
        newest = newest_first(table, *matching, cursor=None).with_only_columns(table.c.id)
        with self._database.read() as connection:
            return tuple(map(MediaId, connection.scalars(newest)))

    @property
    def born(self) -> datetime:
        with self._database.read() as connection:
            return datetime.fromisoformat(connection.execute(_BORN).scalar_one())

    @property
    def life(self) -> Life | None:
        with self._database.read() as connection:
            found = connection.execute(select(state.c.value).where(_IS_LIFE)).scalar_one_or_none()
        return found and Life(*map(datetime.fromisoformat, found))

    def set_life(self, life: Life | None) -> None:
        with self._database.hint() as connection:
            connection.execute(delete(state).where(_IS_LIFE))
            if life is not None:
                value = [life.begin.isoformat(), life.end.isoformat()]
                connection.execute(insert(state).values(key="life", value=value))

    def file_paths(self) -> frozenset[str]:
        with self._database.read() as connection:
            return frozenset(connection.scalars(select(table.c.file_path)))

    def set_favorite(self, media_id: MediaId, favorite: bool, *, client: str | None = None) -> bool:
        change = update(table).where(_is(media_id, client)).values(favorite=favorite)
        with self._database.write() as connection:
            return connection.execute(change).rowcount == 1

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
        with self._database.write() as connection:
            before = lock_tags(connection, media_ids, _belongs_to(client))
            after = {media_id: change(tags) for media_id, tags in before.items()}
            write_tags(connection, {each: tags for each, tags in after.items() if tags != before[each]})
        return len(before)

    def tags(self, *, client: str | None = None) -> tuple[TagUse, ...]:
        query = spellings(*_conditions(MediaQuery(client=client)))
        with self._database.read() as connection:
            return most_used_first((Tag(name), count) for name, count in connection.execute(query))

    def expendable(self, *, after: Media | None, limit: int) -> tuple[Media, ...]:
        oldest = _ALL.where(~table.c.favorite).order_by(table.c.created_at, table.c.id)
        if after is not None:
            oldest = oldest.where(above(table, Mark(after.created_at, after.id)))
        with self._database.read() as connection:
            needed = _sources_of_unfinished(connection)
            # Not in the query's condition: these may be as many as there are jobs.
            rows = connection.execute(oldest.limit(limit + len(needed))).all()
        return tuple(_media(row) for row in rows if row.id not in needed)[:limit]

    def prune(self, media_ids: Sequence[MediaId]) -> tuple[Media, ...]:
        with self._database.write() as connection:
            lock_queue(connection)
            needed = _sources_of_unfinished(connection)
            chosen = [media_id for media_id in media_ids if media_id not in needed]
            change = delete(table).where(table.c.id.in_(chosen), ~table.c.favorite).returning(table)
            return tuple(_media(row) for row in connection.execute(change))

    def delete(self, media_id: MediaId, *, client: str | None = None) -> Media | None:
        return next(iter(self.delete_all((media_id,), client=client)), None)

    def delete_all(self, media_ids: Sequence[MediaId], *, client: str | None = None) -> tuple[Media, ...]:
        change = delete(table).where(table.c.id.in_(media_ids), _belongs_to(client)).returning(table)
        with self._database.write() as connection:
            return tuple(_media(row) for row in connection.execute(change))


def insert_media(connection: Connection, media: tuple[Media, ...], *, client: str | None) -> None:
    """Insert rows as part of the caller's transaction."""
    if media:
        connection.execute(insert(table), [media_values(each, client=client) for each in media])
        write_tags(connection, {each.id: each.tags for each in media if each.tags})


def media_of_job(connection: Connection, job_id: str) -> tuple[Media, ...]:
    """A job's outputs in order."""
    return tuple(_media(row) for row in connection.execute(_OF_JOB, {"job_id": job_id}))


def delete_media_of_job(connection: Connection, job_id: str) -> tuple[Media, ...]:
    """Remove a job's rows as part of the caller's transaction, and return them."""
    outputs = media_of_job(connection, job_id)
    connection.execute(delete(table).where(table.c.job_id == job_id))
    return outputs


def delete_unused_source(connection: Connection, media_id: str) -> tuple[Media, ...]:
    """Remove a picture's row that was sent along with a job, if no job names it, and return it.

    Part of the caller's transaction, which has locked the queue.
    """
    found = (_media(row) for row in connection.execute(_ONE, {"media_id": media_id}).all())
    sources = tuple(media for media in found if media.sent_along)
    if not sources or connection.scalar(_NAMED_BY, {"source_id": media_id}):
        return ()
    connection.execute(delete(table).where(table.c.id == media_id))
    return sources


def _sources_of_unfinished(connection: Connection) -> frozenset[str]:
    """The pictures that jobs which wait or run are to animate."""
    query = select(jobs.c.settings).where(jobs.c.status.in_(_UNFINISHED), jobs.c.type == "i2v")
    return frozenset(settings.get("source_image_id") for settings in connection.scalars(query))


def _is(media_id: MediaId, client: str | None) -> ColumnElement[bool]:
    return and_(table.c.id == media_id, _belongs_to(client))


def _belongs_to(client: str | None) -> ColumnElement[bool]:
    return true() if client is None else table.c.client == client


def _conditions(query: MediaQuery, *, walking: bool = False) -> list[ColumnElement[bool]]:
    equal: dict[str, Any] = {
        "model": query.model,
        "media_type": query.media_type,
        "favorite": query.favorite,
        "client": query.client,
    }
    conditions: list[ColumnElement[bool]] = [table.c.job_id.is_not(None)]  # an upload is not shown
    conditions += [table.c[name] == value for name, value in equal.items() if value is not None]
    if query.since is not None:
        conditions.append(table.c.created_at >= query.since)
    if query.until is not None:
        conditions.append(table.c.created_at < query.until)
    conditions += have_tags(query.tags, walking=walking)
    words = dict.fromkeys(word.casefold() for word in query.words)
    return conditions + [_holds(word) for word in words]


def _holds(word: str) -> ColumnElement[bool]:
    seed = whole_seed(word)
    text = table.c.search_text
    return text.contains(word, autoescape=True) if seed is None else text.endswith(seed, autoescape=True)


def _media(row: Row[Any]) -> Media:
    return media_from_row(row._mapping)
