"""Lists of jobs in some state are read in their order, not sorted.

Revision 0008, after 0007.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_index("ix_jobs_status_number", "jobs", ["status", "number"])
    op.create_index("ix_jobs_tenant_status_number", "jobs", ["tenant", "status", "number"])


def downgrade() -> None:
    """Go back."""
    op.drop_index("ix_jobs_tenant_status_number", "jobs")
    op.drop_index("ix_jobs_status_number", "jobs")
