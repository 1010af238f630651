"""How much of the service one tenant may hold at a time."""

from __future__ import annotations

from app.deps import Services
from app.errors import Refused
from app.problems import NO_RETRY, Problem
from app.settings import AppSettings
from worker.jobs.usage import Usage


def require_room(services: Services, jobs: int) -> None:
    """Make sure that a tenant may have so many jobs more.

    What comes in at the same moment is counted by neither, so a tenant can pass a quota by what it sends at once.

    Args:
        services: as the caller may use them.
        jobs: that shall be created.

    Raises:
        Refused: 429, with the quota and the setting that holds it.
    """
    settings = services.settings
    if not (settings.quota_jobs or settings.quota_bytes):
        return
    usage = services.store.usage()
    if settings.quota_jobs and usage.jobs + jobs > settings.quota_jobs:
        text = (
            f"Received {jobs} more jobs; accepted are {settings.quota_jobs} of one tenant that have not ended "
            "(HALFSTEP_QUOTA_JOBS). Wait until some end, or cancel some."
        )
        raise Refused(Problem(429, "quota_jobs_reached", text, headers=NO_RETRY))
    _require_bytes(settings, usage, 0)


def require_bytes(services: Services, size: int) -> None:
    """Make sure that a tenant may store so many bytes more.

    Args:
        services: as the caller may use them.
        size: bytes that shall be stored; 0 where that is not known: then the quota must not be reached yet.

    Raises:
        Refused: 429, with the quota and the setting that holds it.
    """
    if services.settings.quota_bytes:
        _require_bytes(services.settings, services.store.usage(), size)


def _require_bytes(settings: AppSettings, usage: Usage, size: int) -> None:
    if not settings.quota_bytes or usage.bytes + max(size, 1) <= settings.quota_bytes:
        return
    more = f", and {size:,} more were sent" if size else ""
    text = (
        f"The jobs and files of this tenant hold {usage.bytes:,} bytes{more}; accepted are {settings.quota_bytes:,} "
        "(HALFSTEP_QUOTA_BYTES). Delete files, or jobs that have ended."
    )
    raise Refused(Problem(429, "quota_bytes_reached", text, headers=NO_RETRY))
