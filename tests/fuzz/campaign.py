"""A campaign: so many made-up requests against a served API, and what was wrong with the answers."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FailedHealthCheck, Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks as openapi_checks

from app.settings import AppSettings
from tests.app.serving import JOBS, serving
from tests.waiting import PATIENCE
from tests.worker.specs.jobs import changed
from tests.worker.specs.strategies import JSON, PLACES

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
ALL_PATHS = ("*",)
ABSENT_BY_DESIGN = {("/readyz", 503)}
"""Without a broker the service says so; the campaign runs without one."""


Judge = Callable[[Case, Response, Mapping[str, str]], Iterable[str]]


def nothing_else(_case: Case, _response: Response, _headers: Mapping[str, str]) -> Iterable[str]:
    """Find nothing wrong beyond what is looked for always."""
    return ()


@dataclass
class Report:
    """What a campaign found.

    Attributes:
        sent: schemathesis cases by operation.
        changed_jobs: submitted jobs that had one thing changed.
        statuses: answers by status code.
        faults: what was wrong, in words; empty is well.
    """

    sent: Counter[str] = field(default_factory=Counter)
    changed_jobs: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return the figures and the faults as JSON can carry them."""
        cases = {"cases": self.sent.total(), "operations": len(self.sent), "changed_jobs": self.changed_jobs}
        return {**cases, "statuses": dict(self.statuses), "faults": self.faults}

    def summary(self) -> str:
        """Return the figures in a line."""
        codes = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return (
            f"{self.sent.total()} schemathesis cases over {len(self.sent)} operations and {self.changed_jobs} changed "
            f"jobs; answers {codes}; {len(self.faults)} faults"
        )


@dataclass(frozen=True)
class Aim:
    """A running server, and how it is sent to.

    Attributes:
        url: of the server.
        things: values of path parameters that exist, so that more than 404 is seen.
        headers: of the callers who send in turns; whoever comes first sends the changed jobs.
        judge: what else is wrong with an answer, in words.
        modes: whether requests keep to the schema of their operation, go against it, or both.
    """

    url: str
    things: Sequence[Mapping[str, str]]
    headers: Sequence[Mapping[str, str]] = ({},)
    judge: Judge = nothing_else
    modes: Sequence[GenerationMode] = MODES


def campaign(
    folder: Path, *, cases: int, changed_jobs: int, start: int = 0, paths: Sequence[str] = ALL_PATHS
) -> Report:
    """Send made-up requests to a server of this campaign's own, with a waiting and a cancelled job in it.

    Args:
        folder: for the server's data.
        cases: of schemathesis, over all operations; no fewer are sent.
        changed_jobs: good jobs with an arbitrary value at one place.
        start: seed; the same one sends the same requests.
        paths: patterns; only operations at a path that one of them matches are sent to.
    """
    # Streams of a job that never ends must end all the same.
    with serving(folder, AppSettings(sse_poll_seconds=0.02, sse_longest_seconds=0.1)) as served:
        ids = [served.submit(), served.submit()]
        served.http.post(f"{JOBS}/{ids[1]}/cancel")
        aim = Aim(served.url, [{"job_id": job_id} for job_id in ids])
        return run(aim, cases=cases, changed_jobs=changed_jobs, start=start, paths=paths)


def run(aim: Aim, *, cases: int, changed_jobs: int, start: int = 0, paths: Sequence[str] = ALL_PATHS) -> Report:
    """Send made-up requests to a running server; see `campaign`."""
    report = Report()
    found = (result.ok() for result in schemathesis.openapi.from_url(f"{aim.url}/openapi.json").get_all_operations())
    operations = [operation for operation in found if any(fnmatchcase(operation.path, path) for path in paths)]
    # An operation without parameters has one case; those with a body have no end of them, so they go last.
    operations.sort(key=lambda operation: (len(list(operation.body)) > 0, len(list(operation.iter_parameters()))))
    for index, operation in enumerate(operations):
        left = cases - report.sent.total()
        _explore(report, operation, aim, -(-left // (len(operations) - index)), start)
    if changed_jobs:
        with httpx.Client(base_url=aim.url, headers=dict(aim.headers[0]), timeout=PATIENCE) as http:
            _change_jobs(report, http, changed_jobs, start)
    return report


def _explore(report: Report, operation: APIOperation, aim: Aim, share: int, start: int) -> None:
    """Send a share of cases to one operation, the same number in every mode."""
    for mode in aim.modes:
        made = operation.as_strategy(generation_mode=mode)
        strategy = st.tuples(made, st.sampled_from([{}, *aim.things]), st.sampled_from(aim.headers))

        def send(made: tuple[Case, Mapping[str, str], Mapping[str, str]]) -> None:
            case, things, headers = made
            case.path_parameters.update({name: things[name] for name in things.keys() & case.path_parameters.keys()})
            if things and "after" in case.query:
                case.query["after"] = things["job_id"]
            report.sent[case.operation.label] += 1
            _judge(report, case, headers, aim.judge)

        # An operation without parameters has nothing to send against its schema; one with a name in its path little.
        with suppress(Unsatisfiable, FailedHealthCheck):
            _repeat(strategy, send, -(-share // len(aim.modes)), start)


def _judge(report: Report, case: Case, headers: Mapping[str, str], judge: Judge) -> None:
    response = case.call(headers=dict(headers), timeout=PATIENCE)
    report.statuses[response.status_code] += 1
    wrong = [*judge(case, response, headers)]
    if (case.operation.path, response.status_code) not in ABSENT_BY_DESIGN:
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            wrong.extend(map(str, group.exceptions))
    report.faults.extend(f"{case.operation.label}: {fault}\n  {case.as_curl_command()}" for fault in wrong)


def _change_jobs(report: Report, http: httpx.Client, count: int, start: int) -> None:
    def send(made: tuple[str, Any]) -> None:
        place, value = made
        # Python writes NaN and Infinity bare, as careless clients do.
        response = http.post(
            JOBS, content=json.dumps(changed({place: value})), headers={"Content-Type": "application/json"}
        )
        report.changed_jobs += 1
        report.statuses[response.status_code] += 1
        report.faults.extend(f"{value!r} at {place}: {fault}" for fault in _faults_of(response))

    _repeat(st.tuples(PLACES, JSON), send, count, start)


def _faults_of(response: httpx.Response) -> Iterator[str]:
    if response.status_code == 201:
        return
    if response.status_code not in {400, 422}:
        yield f"answered {response.status_code}: {response.text[:200]}"
        return
    body = response.json()
    if response.headers["content-type"] != "application/problem+json":
        yield f"answered {response.headers['content-type']}"
    if not body["errors"] and response.status_code == 422:
        yield f"refused without saying what is wrong: {response.text[:200]}"
    for error in body["errors"]:
        if not error["message"] or "Input should" in error["message"]:
            yield f"worded {error['message']!r}"


def _repeat(strategy: st.SearchStrategy[Any], send: Callable[[Any], None], count: int, start: int) -> None:
    @seed(start)
    @settings(
        max_examples=max(count, 1),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        # Without the check on filters, hypothesis tries 1,000 times to find the few cases of such an operation.
        suppress_health_check=[check for check in HealthCheck if check is not HealthCheck.filter_too_much],
    )
    @given(strategy)
    def repeat(made: Any) -> None:
        send(made)

    repeat()
