"""What a run found and how many jobs shared it; the latest runs of a model by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("warmth", sa.String))
    op.add_column("jobs", sa.Column("batch_size", sa.Integer))
    completed = sa.text("status = 'completed'")
    op.create_index(
        "jobs_completed_of_model",
        "jobs",
        ["model", "warmth", "completed_at"],
        sqlite_where=completed,
        postgresql_where=completed,
    )


def downgrade() -> None:
    op.drop_index("jobs_completed_of_model", "jobs")
    op.drop_column("jobs", "batch_size")
    op.drop_column("jobs", "warmth")
