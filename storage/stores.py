"""Opening the stores: durable ones at an address, or ones that last as long as the process."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from storage.database import Database, open_database
from storage.jobs import JobStore
from storage.media import MediaIndex
from storage.memory import MemoryJobStore
from storage.memory_media import MemoryMediaIndex
from storage.memory_webhooks import MemoryWebhookStore
from storage.sql_jobs import SqlJobStore
from storage.sql_media import SqlMediaIndex
from storage.sql_webhooks import SqlWebhookStore
from storage.webhooks import WebhookStore


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Jobs and media that know each other. Safe to share between threads."""

    jobs: JobStore
    media: MediaIndex
    webhooks: WebhookStore
    database: Database | None = None

    def close(self) -> None:
        if self.database is not None:
            self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_stores(database_url: str) -> Stores:
    """Stores in the database at `sqlite:///PATH` or `postgresql+psycopg://...`, its schema up to date.

    Several processes may open one database, at the same time too. Raises as `open_database` does.
    """
    database = open_database(database_url)
    return Stores(
        jobs=SqlJobStore(database),
        media=SqlMediaIndex(database),
        webhooks=SqlWebhookStore(database),
        database=database,
    )


def memory_stores() -> Stores:
    """Empty stores of this process alone."""
    media, webhooks = MemoryMediaIndex(), MemoryWebhookStore()
    return Stores(jobs=MemoryJobStore(media, webhooks), media=media, webhooks=webhooks)
