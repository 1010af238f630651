"""How the tenants share the workers' time.

Revision 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward: all tenants start alike."""
    op.add_column("jobs", sa.Column("claimed_at", sa.Double()))
    op.create_table(
        "tenant_turns",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("began", sa.Double(), nullable=False, server_default="0"),
        sa.Column("ready", sa.Double(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("tenant", name="pk_tenant_turns"),
    )
    op.execute("INSERT INTO tenant_turns (tenant) SELECT DISTINCT tenant FROM jobs")


def downgrade() -> None:
    """Go back."""
    op.drop_table("tenant_turns")
    op.drop_column("jobs", "claimed_at")
