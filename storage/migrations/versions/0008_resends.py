"""Requests that come again without a key, and lists of clips alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

IS_CLIP = sa.text("type <> 'image'")
INDEXES = {
    "jobs_newest_clip": ["created_at", "id"],
    "jobs_newest_clip_of_client": ["client", "created_at", "id"],
}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("resent", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.create_index("jobs_of_request", "jobs", ["client", "request_hash", "created_at", "id"])
    for name, columns in INDEXES.items():
        op.create_index(name, "jobs", columns, sqlite_where=IS_CLIP, postgresql_where=IS_CLIP)


def downgrade() -> None:
    for name in (*INDEXES, "jobs_of_request"):
        op.drop_index(name, "jobs")
    op.drop_column("jobs", "resent")
