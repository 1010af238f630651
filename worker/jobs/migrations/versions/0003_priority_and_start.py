"""Priorities, and jobs that start from another job's checkpoint.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward: every job there is has priority 0, and waits since it was queued."""
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("turn_at", sa.Double()))
    op.add_column("jobs", sa.Column("start", sa.JSON()))
    op.execute("UPDATE jobs SET turn_at = queued_at")
    op.create_index("ix_jobs_status_turn_at", "jobs", ["status", "turn_at"])
    op.create_index("ix_jobs_tenant_status_turn_at", "jobs", ["tenant", "status", "turn_at"])
    op.drop_index("ix_jobs_tenant_status_queued_at", "jobs")


def downgrade() -> None:
    """Go back: priorities are forgotten."""
    op.create_index("ix_jobs_tenant_status_queued_at", "jobs", ["tenant", "status", "queued_at"])
    op.drop_index("ix_jobs_tenant_status_turn_at", "jobs")
    op.drop_index("ix_jobs_status_turn_at", "jobs")
    for column in ("start", "turn_at", "priority"):
        op.drop_column("jobs", column)
