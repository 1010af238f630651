"""How the tenants share the workers' time, and the sender of webhooks.

Revision 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
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
    op.add_column("webhook_deliveries", sa.Column("tenant", sa.String(64), nullable=False, server_default="default"))
    op.add_column("webhook_deliveries", sa.Column("receiver", sa.String(300), nullable=False, server_default="unknown"))
    op.execute(
        "UPDATE webhook_deliveries SET tenant = "
        "(SELECT tenant FROM webhooks WHERE webhooks.id = webhook_deliveries.webhook_id)"
    )
    op.create_index("ix_jobs_tenant_stored", "jobs", ["tenant", "stored"])
    op.drop_index("ix_webhook_deliveries_next_at", "webhook_deliveries")
    op.create_index("ix_webhook_deliveries_tenant_next_at", "webhook_deliveries", ["tenant", "next_at"])


def downgrade() -> None:
    """Go back."""
    op.drop_index("ix_jobs_tenant_stored", "jobs")
    op.drop_index("ix_webhook_deliveries_tenant_next_at", "webhook_deliveries")
    op.create_index("ix_webhook_deliveries_next_at", "webhook_deliveries", ["next_at"])
    op.drop_column("webhook_deliveries", "receiver")
    op.drop_column("webhook_deliveries", "tenant")
    op.drop_table("tenant_turns")
    op.drop_column("jobs", "claimed_at")
