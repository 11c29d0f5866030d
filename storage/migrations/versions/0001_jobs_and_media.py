"""Jobs and media."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.schema import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    _create_jobs()
    _create_media()


def downgrade() -> None:
    op.drop_table("media")
    op.drop_table("jobs")


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("negative_prompt", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("completed_at", UtcDateTime),
        sa.Column("media_path", sa.String),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String),
        sa.Column("lease_expires_at", UtcDateTime),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("position", sa.Double, nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("progress", sa.JSON),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("client", sa.String, nullable=False),
        sa.Column("idempotency_key", sa.String),
        sa.Column("request_hash", sa.String),
        sa.Column("load_seconds", sa.Double),
        sa.Column("run_seconds", sa.Double),
    )
    op.create_index("jobs_newest", "jobs", ["created_at", "id"])
    op.create_index("jobs_newest_of_status", "jobs", ["status", "created_at", "id"])
    op.create_index("jobs_newest_of_model", "jobs", ["model", "created_at", "id"])
    op.create_index("jobs_newest_of_client", "jobs", ["client", "created_at", "id"])
    in_order = sa.text("priority DESC")
    op.create_index("jobs_in_order", "jobs", ["status", in_order, "position"])
    op.create_index("jobs_in_order_of_model", "jobs", ["status", "model", in_order, "position"])
    op.create_index("jobs_position", "jobs", ["priority", "position"])
    op.create_index("jobs_idempotency", "jobs", ["client", "idempotency_key"], unique=True)


def _create_media() -> None:
    op.create_table(
        "media",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id")),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("file_path", sa.String, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("favorite", sa.Boolean, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("client", sa.String, nullable=False),
        sa.Column("search_text", sa.Text, nullable=False),
    )
    op.create_index("media_newest", "media", ["created_at", "id"])
    op.create_index("media_newest_of_model", "media", ["model", "created_at", "id"])
    op.create_index("media_newest_of_type", "media", ["media_type", "created_at", "id"])
    op.create_index("media_newest_favorite", "media", ["favorite", "created_at", "id"])
    op.create_index("media_newest_of_client", "media", ["client", "created_at", "id"])
    op.create_index("media_of_job", "media", ["job_id", "number", "id"])
