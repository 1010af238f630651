"""What files and jobs take, so that a quota of bytes counts all of it.

Revision 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward: of files before, only the content as it came is known, of jobs nothing."""
    for table in ("files", "jobs"):
        op.add_column(table, sa.Column("stored", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE files SET stored = size")


def downgrade() -> None:
    """Go back."""
    for table in ("files", "jobs"):
        op.drop_column(table, "stored")
