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


def entries(plan: Any) -> set[str]:
    """Return the names of a plan's inputs, those of nested models too."""
    nested = [spec["plan"] for spec in plan["layers"].values() if "plan" in spec]
    return {one["name"] for one in plan["inputs"]}.union(*(entries(inner) for inner in nested))


def keepers(case: Case) -> set[str]:
    """Return the layers that do not have the policy that is asked for in the library either."""
    asked = case["plan"]["asked"]
    wanted = {"compute": asked.removeprefix("mixed_"), "variable": "float32" if asked.startswith("mixed") else asked}
    layers = case["real"]["layers"].items()
    found = {name for name, has in layers if wanted != {key: has[key] for key in wanted}}
    return found - entries(case["plan"])


def of_answers(case: Case, answers: Answers) -> Iterator[Difference]:
    """Compare the dtypes of inspect with the library's, and the reach of the policy with the plan."""
    if "layers" not in answers.inspected or "layers" not in case["real"]:
        return
    real, plan = case["real"]["layers"], case["plan"]
    for layer in answers.inspected["layers"]:
        name = layer["name"].rpartition("/")[2]
        if name in real and layer["class_name"] != "InputLayer" and layer["compute_dtype"] != real[name]["compute"]:
            text = f"{name}: {layer['compute_dtype']}, real {real[name]['compute']}"
            yield Difference("inspect", text)
    wanted = keepers(case)
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
