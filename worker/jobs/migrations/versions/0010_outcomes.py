"""Warnings that a run found, and what made its steps not finite.

Revision 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go forward: of steps before, only the skipped ones are known not to have been finite."""
    op.add_column("jobs", sa.Column("run_warnings", sa.JSON(none_as_null=True)))
    op.add_column("metric_chunks", sa.Column("faults", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE metric_chunks SET faults = skipped")
    op.create_table(
        "step_faults",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("step", COUNTER, nullable=False, autoincrement=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_step_faults_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "step", name="pk_step_faults"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("step_faults")
    op.drop_column("metric_chunks", "faults")
    op.drop_column("jobs", "run_warnings")
