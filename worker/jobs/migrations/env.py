"""Alembic's entry: runs inside the transaction that `worker.jobs.database.migrate` holds."""

from alembic import context

from worker.jobs.tables import metadata


def _run() -> None:
    # Batch mode, because SQLite cannot alter a constraint in place.
    context.configure(
        connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
    )
    with context.begin_transaction():
        context.run_migrations()


_run()
