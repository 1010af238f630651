"""Whose turn it is: tenants share the workers' time equally, and priorities order the jobs of one tenant.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with tenants as flows: each tenant has a virtual time that
grows by the seconds of its slices, and the tenant that is furthest behind goes next. One that was idle begins at the
virtual time of the others, so that it neither has to wait for them nor may catch up on what it never asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from worker.jobs.states import LEASED, JobStatus
from worker.jobs.tables import jobs, tenant_turns

LEAST_SECONDS = 0.1
"""What a slice counts at least: to begin one takes a worker's time too."""
_ENTER: Mapping[str, sa.Insert] = MappingProxyType(
    {
        "sqlite": sqlite.insert(tenant_turns).on_conflict_do_nothing(),
        "postgresql": postgresql.insert(tenant_turns).on_conflict_do_nothing(),
    }
)


@dataclass(frozen=True)
class Turn:
    """Where a tenant with queued jobs stands.

    Attributes:
        tenant: whose jobs.
        at: its virtual time in seconds; the lowest goes next.
        running: slices of the tenant that run just now.
    """

    tenant: str
    at: float
    running: int

    @property
    def order(self) -> tuple[float, int, str]:
        """What tenants are sorted by."""
        return self.at, self.running, self.tenant


def _waiting(tenant: Any) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return jobs.c.status == JobStatus.QUEUED, jobs.c.tenant == tenant


# Made once, as they are sent at nearly every request: to make one takes longer than to carry it out.
_TENANT, _FIRST = sa.bindparam("tenant", type_=sa.String), sa.bindparam("first", type_=sa.Double)
_NUMBER, _LAST = sa.bindparam("number", type_=sa.BigInteger), sa.bindparam("last", type_=sa.Double)
_EVERYBODY = sa.select(tenant_turns, sa.exists().where(*_waiting(tenant_turns.c.tenant)).label("waits"))
_LEASED = sa.select(jobs.c.tenant, jobs.c.claimed_at).where(jobs.c.status.in_(LEASED))
_NEXT = sa.select(jobs.c.id).where(*_waiting(_TENANT)).order_by(jobs.c.turn_at, jobs.c.number).limit(1)
_BEFORE = sa.or_(jobs.c.turn_at < _FIRST, sa.and_(jobs.c.turn_at == _FIRST, jobs.c.number < _NUMBER))
_AHEAD = sa.select(sa.func.count()).select_from(jobs).where(*_waiting(_TENANT), jobs.c.turn_at <= _FIRST, _BEFORE)
_STRETCH = (
    sa.select(jobs.c.id)
    .where(*_waiting(_TENANT), jobs.c.turn_at.between(_FIRST, _LAST), sa.not_(_BEFORE))
    .order_by(jobs.c.turn_at, jobs.c.number)
)


def enter(connection: sa.Connection, tenant: str) -> None:
    """Make sure that the tenant takes turns."""
    connection.execute(_ENTER[connection.dialect.name], {"tenant": tenant})


def begin(connection: sa.Connection, tenant: str) -> None:
    """Begin a slice of the tenant: whoever was idle starts where the others are."""
    here = sa.func.coalesce(sa.select(sa.func.max(tenant_turns.c.began)).scalar_subquery(), 0.0)
    at = sa.case((tenant_turns.c.ready > here, tenant_turns.c.ready), else_=here)
    connection.execute(sa.update(tenant_turns).where(tenant_turns.c.tenant == tenant).values(began=at, ready=at))


def charge(connection: sa.Connection, tenant: str, seconds: float) -> None:
    """Count the seconds of a slice that has ended."""
    ready = tenant_turns.c.ready + _counted(seconds)
    connection.execute(sa.update(tenant_turns).where(tenant_turns.c.tenant == tenant).values(ready=ready))


def _counted(seconds: float) -> float:
    return max(seconds, LEAST_SECONDS)


def turns(connection: sa.Connection, now: float) -> tuple[Turn, ...]:
    """The tenants that have queued jobs, the next one first."""
    everybody = connection.execute(_EVERYBODY).all()
    here = max((row.began for row in everybody), default=0.0)
    running = _running(connection, now)
    found = []
    for row in everybody:
        seconds = running.get(row.tenant, ())
        if row.waits:
            found.append(Turn(row.tenant, max(row.ready + sum(seconds), here), len(seconds)))
    return tuple(sorted(found, key=lambda turn: turn.order))


def _running(connection: sa.Connection, now: float) -> Mapping[str, Sequence[float]]:
    """How long the slices that run have done so, by tenant."""
    seconds: dict[str, list[float]] = {}
    for row in connection.execute(_LEASED):
        seconds.setdefault(row.tenant, []).append(_counted(now - (row.claimed_at or now)))
    return seconds


def next_job(connection: sa.Connection, now: float) -> str | None:
    """The queued job whose turn is next; None if none waits."""
    for turn in turns(connection, now):
        found = connection.execute(_NEXT, {"tenant": turn.tenant}).scalar_one_or_none()
        if found is not None:
            return str(found)
    return None


def places(connection: sa.Connection, rows: Sequence[sa.Row[Any]], now: float) -> Mapping[str, int]:
    """Places in the queue by job id, from 1, of these queued rows of table `jobs`.

    It is the place in which the job's next slice begins among those of all queued jobs, if no job comes and all slices
    are alike: tenants take turns, each with the jobs that its own order brings.
    """
    if not rows:
        return {}
    by_tenant: dict[str, list[sa.Row[Any]]] = {}
    for row in rows:
        by_tenant.setdefault(row.tenant, []).append(row)
    own = {tenant: _own_places(connection, tenant, mine) for tenant, mine in by_tenant.items()}
    order = [turn.tenant for turn in turns(connection, now)]
    furthest = max(max(mine.values()) for mine in own.values())
    waits = jobs.c.status == JobStatus.QUEUED
    queued = {
        tenant: _count(connection, sa.and_(jobs.c.tenant == tenant, waits), most=furthest)
        for tenant in order
        if len(order) > 1
    }
    return {
        job_id: place + _ahead(order, queued, tenant, place)
        for tenant, mine in own.items()
        for job_id, place in mine.items()
    }


def _ahead(order: Sequence[str], queued: Mapping[str, int], tenant: str, place: int) -> int:
    """How many jobs of other tenants come before the one that is in this place among the tenant's own."""
    at = order.index(tenant)
    before = sum(min(queued[other], place) for other in order[:at])
    return before + sum(min(queued[other], place - 1) for other in order[at + 1 :])


def _own_places(connection: sa.Connection, tenant: str, rows: Sequence[sa.Row[Any]]) -> dict[str, int]:
    """Places among the tenant's own jobs. Reads the stretch of the queue between the rows, not the whole."""
    ends = sorted((row.turn_at, row.number) for row in rows)
    (first, number), (last, _) = ends[0], ends[-1]
    values = {"tenant": tenant, "first": first, "number": number, "last": last}
    ahead = connection.execute(_AHEAD, values).scalar_one()
    ids = connection.execute(_STRETCH, values).scalars()
    wanted = {row.id for row in rows}
    return {job_id: place for place, job_id in enumerate(ids, ahead + 1) if job_id in wanted}


def rates(connection: sa.Connection, tenants: Sequence[str]) -> Mapping[str, float]:
    """The share of one worker's time that each job of these tenants gets, 1 at most, as things stand.

    The workers that run just now (one at least) are shared equally by the tenants that have jobs to run; what a tenant
    with few jobs leaves is shared by the others. A tenant's jobs take turns.
    """
    if not tenants:
        return {}
    slots = max(1, _count(connection, jobs.c.status.in_(LEASED), most=10_000))
    open_states = jobs.c.status.in_((JobStatus.QUEUED, *LEASED))
    everybody = connection.execute(sa.select(tenant_turns.c.tenant)).scalars().all()
    wanted = {
        name: count
        for name in everybody
        if (count := _count(connection, sa.and_(jobs.c.tenant == name, open_states), most=slots))
    }
    shares = _shared(float(slots), wanted)
    sizes = {name: _count(connection, sa.and_(jobs.c.tenant == name, open_states), most=100_000) for name in tenants}
    return {name: min(1.0, shares.get(name, 1.0) / max(1, sizes[name])) for name in tenants}


def _count(connection: sa.Connection, condition: sa.ColumnElement[bool], most: int) -> int:
    some = sa.select(jobs.c.number).where(condition).limit(most)
    return int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one())


def _shared(slots: float, wanted: Mapping[str, int]) -> Mapping[str, float]:
    """Share slots equally among those that want some; nobody gets more than it wants (max-min fairness)."""
    shares: dict[str, float] = {}
    left = sorted(wanted.items(), key=lambda item: item[1])
    for number, (name, most) in enumerate(left):
        shares[name] = min(float(most), slots / (len(left) - number))
        slots -= shares[name]
    return shares
