"""The tables, and the columns' types."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
    types,
)
from sqlalchemy.dialects import postgresql

from storage.jobs import JobStatus


class UtcDateTime(types.TypeDecorator[datetime]):
    """An aware time, to the microsecond; comes back in UTC.

    PostgreSQL's own type there. Elsewhere ISO 8601 text of one width: its order is the order in time.
    """

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> types.TypeEngine[datetime] | types.TypeEngine[str]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(32))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.isoformat(timespec="microseconds")

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return None if value is None else value.astimezone(UTC)


metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("type", String, nullable=False),
    Column("model", String, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("negative_prompt", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("media_path", String),
    Column("attempts", Integer, nullable=False),
    Column("lease_owner", String),
    Column("lease_expires_at", UtcDateTime),
    Column("priority", Integer, nullable=False),
    Column("turn", Integer, nullable=False, server_default=text("0")),
    Column("position", Double, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("progress", JSON(none_as_null=True)),
    Column("cancel_requested", Boolean, nullable=False),
    # "" for nobody in particular: NULLs would never collide in the unique index below.
    Column("client", String, nullable=False),
    Column("idempotency_key", String),
    Column("request_hash", String),
    Column("resent", Integer, nullable=False, server_default=text("0")),
    Column("load_seconds", Double),
    Column("run_seconds", Double),
    Column("warmth", String),
    Column("batch_size", Integer),
    Column("webhook_url", Text),
    Index("jobs_newest", "created_at", "id"),
    Index("jobs_newest_of_status", "status", "created_at", "id"),
    Index("jobs_newest_of_model", "model", "created_at", "id"),
    Index("jobs_newest_of_client", "client", "created_at", "id"),
    Index("jobs_position", "priority", "turn", "position"),
    Index("jobs_idempotency", "client", "idempotency_key", unique=True),
    Index("jobs_of_client_in_status", "client", "status", "priority", "turn"),
    Index("jobs_of_request", "client", "request_hash", "created_at", "id"),
)
_line = (jobs.c.priority.desc(), jobs.c.turn, jobs.c.position)
Index("jobs_in_order", jobs.c.status, *_line)
Index("jobs_in_order_of_model", jobs.c.status, jobs.c.model, *_line)
has_ended = jobs.c.status.in_([status.value for status in JobStatus if status.ended])
#: Spelled out: a partial index serves no query that compares with a parameter.
is_completed = text("status = 'completed'")
Index(
    "jobs_completed_of_model",
    jobs.c.model,
    jobs.c.warmth,
    jobs.c.completed_at,
    sqlite_where=is_completed,
    postgresql_where=is_completed,
)
#: The few clips among many pictures are found without looking at those.
is_clip = text("type <> 'image'")
for _name, _columns in {
    "jobs_newest_clip": (jobs.c.created_at, jobs.c.id),
    "jobs_newest_clip_of_client": (jobs.c.client, jobs.c.created_at, jobs.c.id),
}.items():
    Index(_name, *_columns, sqlite_where=is_clip, postgresql_where=is_clip)

media = Table(
    "media",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String, ForeignKey("jobs.id")),
    Column("media_type", String, nullable=False),
    Column("file_path", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("favorite", Boolean, nullable=False),
    #: Place among the job's outputs.
    Column("number", Integer, nullable=False),
    Column("model", String, nullable=False),
    Column("client", String, nullable=False),
    #: Prompt, model and seed in one case, a line each.
    Column("search_text", Text, nullable=False),
    Index("media_newest", "created_at", "id"),
    Index("media_newest_of_model", "model", "created_at", "id"),
    Index("media_newest_of_type", "media_type", "created_at", "id"),
    Index("media_newest_favorite", "favorite", "created_at", "id"),
    Index("media_newest_of_client", "client", "created_at", "id"),
    Index("media_of_job", "job_id", "number", "id"),
)

media_tags = Table(
    "media_tags",
    metadata,
    Column("media_id", String, ForeignKey("media.id", ondelete="CASCADE"), primary_key=True),
    #: The name without capitals.
    Column("key", String, primary_key=True),
    Column("name", String, nullable=False),
    Index("media_tags_of_key", "key", "media_id"),
)

#: Outputs that a client has asked for on its latest day, where that is limited; a row a client.
usage = Table(
    "usage",
    metadata,
    Column("client", String, primary_key=True),
    #: ISO 8601, in UTC.
    Column("day", String(10), nullable=False),
    Column("outputs", Integer, nullable=False),
)

#: What becomes of telling a job's end to its `webhook_url`. Neither `next_at` nor `delivered_at`: given up.
webhooks = Table(
    "webhooks",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("problem", Text),
    Index("webhooks_next", "next_at", "job_id"),
)

#: Idempotency keys of deleted jobs: a late repeat of the submit must not make another.
spent_keys = Table(
    "spent_keys",
    metadata,
    Column("client", String, primary_key=True),
    Column("idempotency_key", String, primary_key=True),
    Column("request_hash", String),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("spent_keys_expiry", "expires_at"),
)

#: Facts about the whole: `paused`; `born`, when the database was made (ISO 8601); `life`, when a server has
#: last run on it, two such times.
state = Table(
    "state",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
)
