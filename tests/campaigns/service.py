"""What the service answers over HTTP for a recorded model, held against what the library did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from httpx import Client

from tests.campaigns.comparing import Case, Difference, job_of

JOBS = "/v1/training/jobs"
OK, CREATED, UNPROCESSABLE = 200, 201, 422


@dataclass(frozen=True)
class Answers:
    """The answers of inspect, dry run and submit."""

    inspected: Any
    checked: Any
    submitted: Any

    @property
    def codes(self) -> set[str]:
        """Codes of all that is named: findings, warnings, errors."""
        found: set[str] = set()
        for answer in (self.inspected, self.checked, self.submitted):
            for key in ("lint", "warnings", "errors"):
                found |= {one["code"] for one in answer.get(key) or ()}
        return found


def asked(http: Client, case: Case) -> Answers:
    """Inspect the model, check the job, submit it, and cancel it."""
    job = job_of(case)
    inspected = http.post("/v1/models/inspect", json={key: job[key] for key in ("model", "policy", "compile")})
    checked = http.post(JOBS, params={"dry_run": "true"}, json=job)
    submitted = http.post(JOBS, json=job)
    assert {inspected.status_code, checked.status_code} <= {OK, UNPROCESSABLE}, (inspected.text, checked.text)
    assert submitted.status_code in {CREATED, UNPROCESSABLE}, submitted.text
    if submitted.status_code == CREATED:
        assert http.post(f"{JOBS}/{submitted.json()['id']}/cancel").is_success
    return Answers(inspected.json(), checked.json(), submitted.json())


def own_policies(plan: Any) -> dict[str, str]:
    """Return the layers that were given a policy other than that of the export, by name."""
    found = {}
    for name, spec in plan["layers"].items():
        if "plan" in spec:
            found.update(own_policies(spec["plan"]))
        elif "dtype" in spec:
            found[name] = spec["dtype"]
    return found


def of_answers(case: Case, answers: Answers) -> Iterator[Difference]:
    """Compare the dtypes of inspect with the library's, and the reach of the policy with the plan."""
    if "layers" not in answers.inspected:
        return
    real, plan = case["real"].get("layers", {}), case["plan"]
    for layer in answers.inspected["layers"]:
        name = layer["name"].rpartition("/")[2]
        if name in real and layer["class_name"] != "InputLayer" and layer["compute_dtype"] != real[name]["compute"]:
            text = f"{name}: {layer['compute_dtype']}, real {real[name]['compute']}"
            yield Difference("inspect", text)
    wanted = {name for name, policy in own_policies(plan).items() if policy != plan["asked"]}
    for what in ("inspected", "checked", "submitted"):
        reach = getattr(answers, what).get("policy_reach")
        if reach is None:
            yield Difference("reach", f"{what}: there is no policy_reach")
            continue
        kept = {one["layer"].rpartition("/")[2] for one in reach["kept"]}
        if (
            reach["policy"] != plan["asked"]
            or kept != wanted
            or reach["followed"] + len(reach["kept"]) != reach["layers"]
        ):
            yield Difference("reach", f"{what}: {reach}, wanted kept {sorted(wanted)}")
