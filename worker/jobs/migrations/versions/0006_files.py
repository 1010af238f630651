"""Uploaded files, and which jobs are trained on them.

Revision 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# SQLite numbers rows by itself only in a column declared INTEGER.
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go forward: there are no files yet."""
    op.create_table(
        "files",
        sa.Column("number", COUNTER, nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False, server_default="default"),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("arrays_sha256", sa.String(length=64), nullable=False),
        sa.Column("described", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("deleted_at", sa.Double()),
        sa.PrimaryKeyConstraint("number", name="pk_files"),
        sa.UniqueConstraint("id", name="uq_files_id"),
    )
    op.create_index("ix_files_tenant_number", "files", ["tenant", "number"])
    op.create_table(
        "file_uses",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("file_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_file_uses_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_file_uses_file_id"),
        sa.PrimaryKeyConstraint("job_id", "file_id", name="pk_file_uses"),
    )
    op.create_index("ix_file_uses_file_id", "file_uses", ["file_id"])


def downgrade() -> None:
    """Go back: the rows go; the contents stay where artifacts lie."""
    op.drop_table("file_uses")
    op.drop_table("files")
