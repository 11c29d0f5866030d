"""Keys of deleted jobs, and when the database was made: files from before are not its leftovers."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from storage.schema import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "spent_keys",
        sa.Column("client", sa.String, primary_key=True),
        sa.Column("idempotency_key", sa.String, primary_key=True),
        sa.Column("request_hash", sa.String),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )
    op.create_index("spent_keys_expiry", "spent_keys", ["expires_at"])
    state = sa.table("state", sa.column("key", sa.String), sa.column("value", sa.JSON))
    op.bulk_insert(state, [{"key": "born", "value": _birth().isoformat()}])


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM state WHERE key = 'born'"))
    op.drop_table("spent_keys")


def _birth() -> datetime:
    """Of a database with jobs or uploads already, when the first was made."""
    times = [
        op.get_bind().scalar(sa.select(sa.func.min(sa.column("created_at", UtcDateTime))).select_from(table))
        for table in (sa.table("jobs"), sa.table("media"))
    ]
    return min((moment for moment in times if moment is not None), default=datetime.now(UTC))
