"""Jobs of earlier releases keep the meaning that they had: a layer's own dtype overrides the policy of the job.

Revision 0009, after 0008.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JOBS = sa.table("jobs", sa.column("id", sa.String), sa.column("spec", sa.JSON))
CHUNK = 100
"""Jobs changed at once: a spec holds a model."""


def upgrade() -> None:
    """Go forward: write the scope that jobs without one had."""
    for job_id, spec in _specs():
        if "policy_scope" not in spec:
            _write(job_id, {**spec, "policy_scope": "unset"})


def downgrade() -> None:
    """Go back: earlier releases know one scope only, `unset`."""
    for job_id, spec in _specs():
        _write(job_id, {key: value for key, value in spec.items() if key != "policy_scope"})


def _specs() -> Iterator[tuple[str, dict[str, Any]]]:
    connection = op.get_bind()
    ids = connection.execute(sa.select(JOBS.c.id)).scalars().all()
    for start in range(0, len(ids), CHUNK):
        chosen = sa.select(JOBS.c.id, JOBS.c.spec).where(JOBS.c.id.in_(ids[start : start + CHUNK]))
        yield from ((row.id, row.spec) for row in connection.execute(chosen).all())


def _write(job_id: str, spec: dict[str, Any]) -> None:
    op.get_bind().execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(spec=spec))
