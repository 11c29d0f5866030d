"""Paging by key: rows newest first, and the rows below a mark."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Tuple, literal, select, tuple_

from storage.cursors import Mark, decode_cursor


def oldest_first(table: Table, *conditions: ColumnElement[bool], cursor: str | None) -> Select[Any]:
    """Whole rows by (created_at, id) up, from above the cursor. Raises InvalidCursor."""
    query = select(table).where(*conditions).order_by(table.c.created_at, table.c.id)
    return query if cursor is None else query.where(above(table, decode_cursor(cursor)))


def newest_first(table: Table, *conditions: ColumnElement[bool], cursor: str | None) -> Select[Any]:
    """Whole rows by (created_at, id) down, from below the cursor. Raises InvalidCursor."""
    query = select(table).where(*conditions).order_by(table.c.created_at.desc(), table.c.id.desc())
    return query if cursor is None else query.where(_below(table, decode_cursor(cursor)))


def above(table: Table, mark: Mark) -> ColumnElement[bool]:
    """Rows that are newer than the mark, by (created_at, id)."""
    return _key(table) > _values(table, mark)


def _below(table: Table, mark: Mark) -> ColumnElement[bool]:
    # A comparison of row values, unlike one with OR, is a single range of the index.
    return _key(table) < _values(table, mark)


def _key(table: Table) -> Tuple:
    return tuple_(table.c.created_at, table.c.id)


def _values(table: Table, mark: Mark) -> Tuple:
    created_at = literal(mark.created_at, table.c.created_at.type)
    return tuple_(created_at, literal(mark.id))
