"""Opaque cursors: where a page of (created_at, id) pairs, newest first, ended."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import NamedTuple

from storage.errors import InvalidCursor


class Mark(NamedTuple):
    """The last row of a page; the next page holds the rows that compare lower."""

    created_at: datetime
    id: str


def encode_cursor(mark: Mark) -> str:
    """URL-safe text that `decode_cursor` turns back."""
    text = f"{mark.created_at.astimezone(UTC).isoformat(timespec='microseconds')} {mark.id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> Mark:
    """Raises InvalidCursor for anything that `encode_cursor` did not make."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        moment, _, row_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(" ")
        mark = Mark(datetime.fromisoformat(moment).astimezone(UTC), row_id)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidCursor from error
    if encode_cursor(mark) != cursor:
        raise InvalidCursor
    return mark
