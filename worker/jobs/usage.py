"""How much of the service one tenant holds: what the quotas are compared with at each submit."""

from dataclasses import dataclass

import sqlalchemy as sa

from worker.jobs.states import TERMINAL, JobStatus
from worker.jobs.tables import artifacts, checkpoints, files, jobs

_OPEN = tuple(status for status in JobStatus if status not in TERMINAL)
_TENANT = sa.bindparam("tenant", type_=sa.String)


def _sum(column: sa.Column[int]) -> sa.Select[tuple[int]]:
    return sa.select(sa.func.coalesce(sa.func.sum(column), 0))


def _of_jobs(table: sa.Table) -> sa.ScalarSelect[int]:
    """The bytes of what hangs on the tenant's jobs."""
    return _sum(table.c.size).join(jobs, jobs.c.id == table.c.job_id).where(jobs.c.tenant == _TENANT).scalar_subquery()


# One statement, made once: to make it anew at each submit takes longer than to carry it out.
_USAGE = sa.select(
    sa.select(sa.func.count())
    .select_from(jobs)
    .where(jobs.c.status.in_(_OPEN), jobs.c.tenant == _TENANT)
    .scalar_subquery()
    .label("jobs"),
    _sum(jobs.c.stored).where(jobs.c.tenant == _TENANT).scalar_subquery().label("sent"),
    _of_jobs(artifacts).label("artifacts"),
    _of_jobs(checkpoints).label("checkpoints"),
    _sum(files.c.stored)
    .where(files.c.tenant == _TENANT, files.c.deleted_at.is_(None))
    .scalar_subquery()
    .label("files"),
)


@dataclass(frozen=True)
class Usage:
    """What a tenant holds.

    Attributes:
        jobs: that have not ended.
        job_bytes: what was sent with all jobs, their artifacts and their checkpoints.
        file_bytes: uploaded files, as they came and as jobs read them.
    """

    jobs: int
    job_bytes: int
    file_bytes: int

    @property
    def bytes(self) -> int:
        """All that the quota of bytes counts."""
        return self.job_bytes + self.file_bytes


def read_usage(connection: sa.Connection, tenant: str) -> Usage:
    """What the tenant holds just now."""
    row = connection.execute(_USAGE, {"tenant": tenant}).one()
    return Usage(row.jobs, int(row.sent) + int(row.artifacts) + int(row.checkpoints), int(row.files))
