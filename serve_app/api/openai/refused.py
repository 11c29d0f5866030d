"""The sendings of requests that were refused, as long as they may be sent again."""

from __future__ import annotations

import time
from pathlib import Path

from serve_app.api.shared_file import SharedFile, best_effort

#: Seconds: an SDK waits for two minutes at most before it sends again.
LIFETIME_S = 150.0

#: Sendings that are remembered; the oldest are forgotten first.
MOST = 10_000

#: Who asks what, as far as that is known before the body is read, and how often it was sent before.
Sending = tuple[bytes, int]

SCHEMA = """
CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY, kind BLOB, count INTEGER, at REAL);
CREATE INDEX IF NOT EXISTS refused_of_kind ON refused (kind, count);
"""
FORGET = "DELETE FROM refused WHERE at <= ? OR number <= (SELECT max(number) FROM refused) - ?"
TAKE = """
DELETE FROM refused WHERE number = (SELECT max(number) FROM refused WHERE kind = ? AND count = ? AND at > ?)
RETURNING number
"""


class Refused:
    """Shared by the ingress processes. Without its file nothing is remembered, and nothing fails."""

    def __init__(self, file: Path) -> None:
        self._file = SharedFile(file, SCHEMA)

    def note(self, sending: Sending) -> None:
        now = time.time()
        with best_effort("a refusal is not remembered"):
            self._file.run("INSERT INTO refused (kind, count, at) VALUES (?, ?, ?)", [*sending, now])
            self._file.run(FORGET, [now - LIFETIME_S, MOST])

    def take(self, sending: Sending) -> bool:
        """Whether such a sending was refused; each is taken once."""
        with best_effort("refusals are not known"):
            return bool(self._file.run(TAKE, [*sending, time.time() - LIFETIME_S]))
        return False
