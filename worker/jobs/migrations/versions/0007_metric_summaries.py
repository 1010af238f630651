"""Of each chunk of metrics, the rows that a plot of very many steps shows.

Revision 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward: chunks that are there keep none, and are read whole."""
    op.add_column("metric_chunks", sa.Column("summary", sa.LargeBinary()))


def downgrade() -> None:
    """Go back: a summary says nothing that its chunk does not."""
    op.drop_column("metric_chunks", "summary")
