"""What clients have asked for today, and how many of their jobs wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("client", sa.String, primary_key=True),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("outputs", sa.Integer, nullable=False),
    )
    op.create_index("jobs_of_client_in_status", "jobs", ["client", "status"])


def downgrade() -> None:
    op.drop_index("jobs_of_client_in_status", "jobs")
    op.drop_table("usage")
