"""Tags of pictures and clips."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    media_id = sa.ForeignKey("media.id", ondelete="CASCADE")
    op.create_table(
        "media_tags",
        sa.Column("media_id", sa.String, media_id, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
    )
    op.create_index("media_tags_of_key", "media_tags", ["key", "media_id"])


def downgrade() -> None:
    op.drop_table("media_tags")
