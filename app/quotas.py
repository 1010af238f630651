"""How much of the service one tenant may hold at a time."""

from __future__ import annotations

from app.deps import Services
from app.errors import Refused
from app.problems import NO_RETRY, Problem


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
    if settings.quota_jobs and services.store.in_flight() + jobs > settings.quota_jobs:
        text = (
            f"Received {jobs} more jobs; accepted are {settings.quota_jobs} of one tenant that have not ended "
            "(HALFSTEP_QUOTA_JOBS). Wait until some end, or cancel some."
        )
        raise Refused(Problem(429, "quota_jobs_reached", text, headers=NO_RETRY))
    require_bytes(services, 0)


def require_bytes(services: Services, size: int) -> None:
    """Make sure that a tenant may store so many bytes more.

    Args:
        services: as the caller may use them.
        size: bytes that shall be stored; 0 where that is not known: then the quota must not be reached yet.

    Raises:
        Refused: 429, with the quota and the setting that holds it.
    """
    quota = services.settings.quota_bytes
    if not quota:
        return
    held = services.store.stored_bytes() + services.files.stored_bytes()
    if held + max(size, 1) > quota:
        more = f", and {size:,} more were sent" if size else ""
        text = (
            f"The jobs and files of this tenant hold {held:,} bytes{more}; accepted are {quota:,} "
            "(HALFSTEP_QUOTA_BYTES). Delete files, or jobs that have ended."
        )
        raise Refused(Problem(429, "quota_bytes_reached", text, headers=NO_RETRY))
