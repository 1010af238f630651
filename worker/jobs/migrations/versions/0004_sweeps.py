"""Sweeps: jobs made together from one grid.

Revision 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# SQLite numbers rows by itself only in a column declared INTEGER.
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "sweeps",
        sa.Column("number", COUNTER, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("grid", sa.JSON(), nullable=False),
        sa.Column("suffix", sa.String(length=64)),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255)),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_sweeps"),
        sa.UniqueConstraint("id", name="uq_sweeps_id"),
        sa.UniqueConstraint("tenant", "idempotency_key", name="uq_sweeps_tenant_idempotency_key"),
    )
    op.create_index("ix_sweeps_tenant_number", "sweeps", ["tenant", "number"])
    op.create_table(
        "sweep_jobs",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("sweep_id", sa.String(length=40), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("point", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_sweep_jobs_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name="fk_sweep_jobs_sweep_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_sweep_jobs"),
    )
    op.create_index("ix_sweep_jobs_sweep_id_place", "sweep_jobs", ["sweep_id", "place"])


def downgrade() -> None:
    """Go back: the jobs stay, what held them together goes."""
    op.drop_table("sweep_jobs")
    op.drop_table("sweeps")
