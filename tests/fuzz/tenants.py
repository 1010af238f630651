"""The campaign against a service that asks for keys: one tenant and strangers ask for all that another has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from schemathesis import Case, GenerationMode
from schemathesis.core.transport import Response

from app.auth import OPEN
from tests.app.keyed import SECRET, Keyed, keyed, things_of
from tests.app.serving import SPEC
from tests.fuzz.campaign import ALL_PATHS, Aim, Report, run

OWNER, OTHER = "anna-the-owner", "ben"
AT_THE_GATE = frozenset({400, 401, 403, 429, 431})
"""How somebody without a good key is answered, whatever he asks for: 400 and 403 where his Host header is strange."""
KEY = "Authorization"


@dataclass(frozen=True)
class Privacy:
    """What nobody but the owner may see.

    Attributes:
        things: what the owner has, by path parameter.
        other: the header of a good key, not the owner's.
    """

    things: Mapping[str, str]
    other: str

    def judge(self, case: Case, response: Response, headers: Mapping[str, str]) -> Iterator[str]:
        """Say what an answer gives away."""
        told = f"{response.text}{response.headers}"
        sent = f"{response.request.url}{response.request.body!r}{response.request.headers}"
        for mark in (SECRET, OWNER, *self.things.values()):
            if mark in told and mark not in sent and mark not in COMMON:
                yield f"tells {mark!r}"
        if headers.get(KEY) != self.other and case.operation.path not in OPEN and _passed(response):
            yield f"answers {response.status_code} to somebody without a good key"
        named = (self.things.get(name) == value for name, value in case.path_parameters.items())
        if any(named) and response.status_code < 400:
            yield f"answers {response.status_code} to what is another tenant's"


COMMON = frozenset({"report.json"})
"""Names that everybody's files have."""


def _passed(response: Response) -> bool:
    return response.status_code not in AT_THE_GATE


def campaign(
    folder: Path, *, cases: int, changed_jobs: int, start: int = 0, paths: Sequence[str] = ALL_PATHS
) -> Report:
    """Send made-up requests with another tenant's key, a wrong one, and none; arguments as of the other campaign."""
    with keyed(folder, OWNER, OTHER, sse_longest_seconds=0.1) as service:
        theirs, own = things_of(service, OWNER), _own(service)
        other = {KEY: f"Bearer {service.tokens[OTHER]}"}
        callers = (other, other, {KEY: "Bearer hs_wrong"}, {})
        # Good requests alone: the campaign that is open to all sends the bad ones, which are refused sooner.
        judge = Privacy(theirs, other[KEY]).judge
        aim = Aim(service.served.url, (theirs, own), callers, judge, (GenerationMode.POSITIVE,))
        with service.http(OWNER) as http:
            before = _all_of(http, theirs)
            report = run(aim, cases=cases, changed_jobs=changed_jobs, start=start, paths=paths)
            after = _all_of(http, theirs)
        report.faults += [f"{path} is not what it was" for path in before if before[path] != after[path]]
    return report


def _own(service: Keyed) -> dict[str, str]:
    """Something of the other tenant's, under names and marks that nobody minds."""
    with service.http(OTHER) as http:
        return {"job_id": http.post("/v1/training/jobs", json=SPEC).json()["id"]}


def _all_of(http: httpx.Client, things: Mapping[str, str]) -> dict[str, Any]:
    """What the owner sees of his things."""
    paths = (
        "/v1/training/jobs",
        f"/v1/training/jobs/{things['job_id']}/checkpoints",
        f"/v1/training/jobs/{things['job_id']}/events",
        f"/v1/sweeps/{things['sweep_id']}",
        f"/v1/webhooks/{things['webhook_id']}",
        f"/v1/files/{things['file_id']}",
    )
    return {path: http.get(path).raise_for_status().json() for path in paths}
