"""Tenants, API keys and the audit log.

Revision 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite numbers rows by itself only in a column declared INTEGER.
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Go forward: what is there belongs to the default tenant."""
    op.add_column("jobs", sa.Column("tenant", sa.String(length=64), nullable=False, server_default="default"))
    op.create_index("ix_jobs_tenant_number", "jobs", ["tenant", "number"])
    op.create_index("ix_jobs_tenant_status_queued_at", "jobs", ["tenant", "status", "queued_at"])
    _widen_idempotency_keys()
    _create_api_keys()
    _create_audit_log()


def downgrade() -> None:
    """Go back."""
    op.drop_table("audit_log")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_log_refuse()")
    op.drop_table("api_keys")
    op.drop_table("idempotency_keys")
    _create_idempotency_keys([], "key")
    op.drop_index("ix_jobs_tenant_status_queued_at", "jobs")
    op.drop_index("ix_jobs_tenant_number", "jobs")
    op.drop_column("jobs", "tenant")


def _widen_idempotency_keys() -> None:
    """SQLite cannot change a primary key, so the table is made anew around its rows."""
    op.execute("CREATE TABLE idempotency_keys_before AS SELECT * FROM idempotency_keys")
    op.drop_table("idempotency_keys")
    _create_idempotency_keys([sa.Column("tenant", sa.String(length=64), nullable=False)], "tenant", "key")
    op.execute(
        'INSERT INTO idempotency_keys (tenant, "key", request_hash, job_id, created_at) '
        "SELECT 'default', \"key\", request_hash, job_id, created_at FROM idempotency_keys_before"
    )
    op.drop_table("idempotency_keys_before")


def _create_idempotency_keys(more: list[sa.Column[str]], *primary: str) -> None:
    op.create_table(
        "idempotency_keys",
        *more,
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_idempotency_keys_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*primary, name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_job_id", "idempotency_keys", ["job_id"])


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("last_used_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
    )


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("number", COUNTER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=100), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_tenant_number", "audit_log", ["tenant", "number"])
    for statement in _REFUSALS[op.get_bind().dialect.name]:
        op.execute(statement)


_REFUSALS = {
    "sqlite": (
        (
            "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log "
            "BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END"
        ),
        (
            "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log "
            "BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'audit_log is append-only'; END $$"
        ),
        (
            "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()"
        ),
    ),
}
"""What makes the log append-only, also for whoever comes in through the service's own connection."""
