"""Clients take turns: the line is ordered by priority, turn and position."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_HIGHEST_FIRST = sa.text("priority DESC")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("turn", sa.Integer, nullable=False, server_default=sa.text("0")))
    _drop_indexes()
    op.create_index("jobs_in_order", "jobs", ["status", _HIGHEST_FIRST, "turn", "position"])
    op.create_index("jobs_in_order_of_model", "jobs", ["status", "model", _HIGHEST_FIRST, "turn", "position"])
    op.create_index("jobs_position", "jobs", ["priority", "turn", "position"])
    op.create_index("jobs_of_client_in_status", "jobs", ["client", "status", "priority", "turn"])


def downgrade() -> None:
    _drop_indexes()
    op.create_index("jobs_in_order", "jobs", ["status", _HIGHEST_FIRST, "position"])
    op.create_index("jobs_in_order_of_model", "jobs", ["status", "model", _HIGHEST_FIRST, "position"])
    op.create_index("jobs_position", "jobs", ["priority", "position"])
    op.create_index("jobs_of_client_in_status", "jobs", ["client", "status"])
    op.drop_column("jobs", "turn")


def _drop_indexes() -> None:
    for name in ("jobs_in_order", "jobs_in_order_of_model", "jobs_position", "jobs_of_client_in_status"):
        op.drop_index(name, "jobs")
