"""Telling a job's end to an address that came with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.schema import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("webhook_url", sa.Text))
    op.create_table(
        "webhooks",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", UtcDateTime),
        sa.Column("delivered_at", UtcDateTime),
        sa.Column("problem", sa.Text),
    )
    op.create_index("webhooks_next", "webhooks", ["next_at", "job_id"])


def downgrade() -> None:
    op.drop_table("webhooks")
    op.drop_column("jobs", "webhook_url")
