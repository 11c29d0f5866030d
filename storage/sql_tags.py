"""Tags in SQL; each function is part of the caller's transaction. Deleted media lose theirs by cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select

from storage.media import MediaId
from storage.schema import media, media_tags
from storage.tags import Tag, in_order, key_of

#: Stands in no tag.
SEPARATOR = "\n"
_OF_MEDIA = media_tags.c.media_id == media.c.id
_NAMES = select(func.aggregate_strings(media_tags.c.name, SEPARATOR)).where(_OF_MEDIA)
#: A column for rows of media: the names of their tags, in any order; NULL for none.
tag_names = _NAMES.correlate(media).scalar_subquery().label("tags")


def have_tags(tags: Sequence[Tag], *, walking: bool) -> list[ColumnElement[bool]]:
    """Conditions for rows of media that have all of these, however they are spelt there.

    `walking`: asked of one row after the other. Otherwise SQLite begins with those that have the tags.
    """
    keys = sorted({key_of(tag) for tag in tags})
    if walking:
        return [select(media_tags.c.key).where(_OF_MEDIA, media_tags.c.key == key).exists() for key in keys]
    having = select(media_tags.c.media_id).where(media_tags.c.key.in_(keys)).group_by(media_tags.c.media_id)
    return [media.c.id.in_(having.having(func.count() == len(keys)))] if keys else []


def spellings(*conditions: ColumnElement[bool]) -> Select[str, int]:
    """The names of the tags of such media, and how many have each."""
    count: ColumnElement[int] = func.count()
    names = select(media_tags.c.name, count).join(media, _OF_MEDIA).where(*conditions)
    return names.group_by(media_tags.c.name)


def lock_tags(
    connection: Connection, media_ids: Sequence[MediaId], condition: ColumnElement[bool]
) -> dict[MediaId, tuple[Tag, ...]]:
    """The tags of those of the media that there are. Nobody else changes them until the transaction ends."""
    there = select(media.c.id).where(media.c.id.in_(media_ids), condition).order_by(media.c.id)
    found: dict[str, list[Tag]] = {each: [] for each in connection.scalars(there.with_for_update())}
    # A statement of its own: the one that waits for the lock sees the tags as they were before.
    names = select(media_tags.c.media_id, media_tags.c.name).where(media_tags.c.media_id.in_(found))
    for row in connection.execute(names):
        found[row.media_id].append(Tag(row.name))
    return {MediaId(each): in_order(tags) for each, tags in found.items()}


def write_tags(connection: Connection, tags: Mapping[MediaId, Sequence[Tag]]) -> None:
    """Give media these tags in place of any that they have."""
    if not tags:
        return
    rows = [
        {"media_id": media_id, "key": key_of(tag), "name": tag}
        for media_id, given in tags.items()
        for tag in given
    ]
    connection.execute(delete(media_tags).where(media_tags.c.media_id.in_(tags)))
    if rows:
        connection.execute(insert(media_tags), rows)
