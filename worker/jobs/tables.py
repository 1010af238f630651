"""The tables, as SQLAlchemy Core. A change here needs a migration; a test holds the two equal."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared INTEGER.
_COUNTER = BigInteger().with_variant(Integer(), "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("number", _COUNTER, primary_key=True),  # order of creation; the cursor of lists
    Column("id", String(40), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False, server_default="default"),  # whose it is, and all that hangs on it
    Column("status", String(16), nullable=False),
    Column("status_reason", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("queued_at", Double),  # since when it waits
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("turn_at", Double),  # the order of the queue; kept while a slice runs; see moves.turn
    Column("woken_at", Double),  # when it was last announced to the workers
    Column("spec", JSON, nullable=False),  # the JobSpec, inline data abbreviated
    Column("summary", JSON, nullable=False),
    Column("start", JSON(none_as_null=True)),  # the Start, of a job that begins with another one's checkpoint
    Column("step", BigInteger, nullable=False),
    Column("total_steps", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("epochs", BigInteger, nullable=False),
    Column("active_seconds", Double, nullable=False),  # time trained, over all slices
    Column("active_steps", BigInteger, nullable=False),  # steps trained, redone ones counted again
    Column("metrics", JSON, nullable=False),  # latest values
    Column("loss_scale", Double),
    Column("skipped_steps", BigInteger, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("run_warnings", JSON(none_as_null=True)),  # found while it ran, one of a code; submit's are in summary
    Column("checkpoint_id", String(40)),  # the result's
    Column("attempt", BigInteger, nullable=False),  # slices claimed so far; the fencing token
    Column("claimed_at", Double),  # when the slice that runs was claimed
    Column("lease_owner", String(200)),
    Column("lease_until", Double),
    Column("lost_leases", Integer, nullable=False),  # in a row, without a checkpoint between
    Column("last_event_id", BigInteger, nullable=False),
    Column("told_place", BigInteger, nullable=False),  # events up to this place are in the log
    Column("stored", BigInteger, nullable=False, server_default="0"),  # bytes of the JobSpec as JSON, inline data too
    Index(None, "status", "number"),
    Index(None, "status", "queued_at"),
    Index(None, "status", "turn_at"),
    Index(None, "status", "lease_until"),
    Index(None, "created_at"),
    Index(None, "tenant", "number"),
    Index(None, "tenant", "status", "number"),
    Index(None, "tenant", "status", "turn_at"),
    Index(None, "tenant", "stored"),  # what the quota of bytes adds up at each submit, without reading the rows
)

tenant_turns = Table(  # how the tenants share the workers; see turns
    "tenant_turns",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("began", Double, nullable=False, server_default="0"),  # virtual time at which its last slice began
    Column("ready", Double, nullable=False, server_default="0"),  # and at which its next one may
)

inline_data = Table(
    "inline_data",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("body", JSON, nullable=False),  # the spec's data member as it was sent
)

labels = Table(
    "labels",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", String(512), nullable=False),
    Index(None, "key", "value"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", _COUNTER, primary_key=True, autoincrement=False),  # the last event's id at that time
    Column("at", Double, nullable=False),
    Column("before", String(16)),
    Column("after", String(16), nullable=False),
    Column("reason", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("id", _COUNTER, primary_key=True, autoincrement=False),
    Column("created_at", Double, nullable=False),
    Column("type", String(64), nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
)

metric_chunks = Table(
    "metric_chunks",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("first_step", _COUNTER, primary_key=True, autoincrement=False),
    Column("last_step", BigInteger, nullable=False),
    Column("skipped", Integer, nullable=False),  # steps of the chunk that were not applied
    Column("faults", Integer, nullable=False, server_default="0"),  # whose loss or gradients were not finite
    Column("body", LargeBinary, nullable=False),
    Column("summary", LargeBinary),  # the rows of the chunk that a plot of many chunks shows
)

step_faults = Table(  # what made a step not finite, of the steps that were looked into
    "step_faults",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", _COUNTER, primary_key=True, autoincrement=False),
    Column("body", JSON, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("score", Double),  # lower is better
    Column("created_at", Double, nullable=False),
    Index(None, "job_id", "step"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", _COUNTER, primary_key=True, autoincrement=False),
    Column("created_at", Double, nullable=False),
    Index(None, "created_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", String(64), primary_key=True),  # two tenants may choose the same key
    Column("key", String(255), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Double, nullable=False),
    Index(None, "job_id"),
)

files = Table(
    "files",
    metadata,
    Column("number", _COUNTER, primary_key=True),  # order of creation; the cursor of lists
    Column("id", String(40), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False, server_default="default"),
    Column("filename", String(255), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),  # of the content as it was uploaded
    Column("arrays_sha256", String(64), nullable=False),  # of what jobs read of it
    Column("stored", BigInteger, nullable=False, server_default="0"),  # bytes of both
    Column("described", JSON, nullable=False),  # format, rows, columns, dtypes, shapes
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),  # the row stays, so that a second delete is told from a wrong id
    Index(None, "tenant", "number"),
)

file_uses = Table(  # which job is trained on which file: while it may run, the file stays
    "file_uses",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("file_id", ForeignKey("files.id"), primary_key=True),
    Index(None, "file_id"),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("number", _COUNTER, primary_key=True),  # order of creation; the cursor of lists
    Column("id", String(40), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("grid", JSON, nullable=False),  # values by JSON pointer into the job
    Column("suffix", String(64)),
    Column("metadata", JSON, nullable=False),
    Column("idempotency_key", String(255)),
    Column("request_hash", String(64), nullable=False),
    UniqueConstraint("tenant", "idempotency_key"),
    Index(None, "tenant", "number"),
)

sweep_jobs = Table(
    "sweep_jobs",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("sweep_id", ForeignKey("sweeps.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),  # in the order of the grid, from 0
    Column("point", JSON, nullable=False),  # this job's values by JSON pointer
    Index(None, "sweep_id", "place"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),  # may be told; the token may not
    Column("tenant", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),  # of the token, which is kept nowhere
    Column("scopes", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

audit_log = Table(  # rows are only ever added: triggers refuse to change or delete one
    "audit_log",
    metadata,
    Column("number", _COUNTER, primary_key=True),
    Column("at", Double, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("key_id", String(40), nullable=False),
    Column("address", String(100), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("action", String(100), nullable=False),
    Column("object", String(200), nullable=False),
    Column("outcome", Integer, nullable=False),  # HTTP status code
    Index(None, "tenant", "number"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("number", _COUNTER, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE")),  # null: of all the tenant's jobs
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),  # to sign with; read by the sender alone
    Column("events", JSON, nullable=False),
    Column("condition", JSON(none_as_null=True)),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),  # its receiver said 410
    Index(None, "tenant", "job_id"),
    Index(None, "job_id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(40), primary_key=True),  # the webhook-id header, the same at every try
    Column("webhook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("tenant", String(64), nullable=False, server_default="default"),
    Column("receiver", String(300), nullable=False, server_default="unknown"),  # scheme, host and port of the URL
    Column("job_id", String(40), nullable=False),  # may be gone before it is told
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double),  # null: no more tries
    UniqueConstraint("webhook_id", "job_id", "type"),
    Index(None, "tenant", "next_at"),
    Index(None, "job_id"),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("status_code", Integer),
    Column("error", Text),
    Column("seconds", Double, nullable=False),
)
