"""The policy that was asked for reaches an exported model, by every route, and the answers say which layers follow."""

import copy
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from app.cli import main
from tests.app.serving import JOBS, Served
from worker.settings import Limits
from worker.specs.check import prepare
from worker.specs.job import JobSpec

CASES = Path(__file__).parents[1] / "cases"
EXPORTED = json.loads((CASES / "bugs" / "policy-that-no-layer-follows.json").read_text())
INSPECT, SWEEPS, TUNING = "/v1/models/inspect", "/v1/sweeps", "/v1/fine_tuning/jobs"
ALL = {"policy": "mixed_float16", "layers": 2, "followed": 2, "kept": []}


def computes(served: Served, **changes: Any) -> list[str]:
    answer = served.http.post(INSPECT, json={**EXPORTED, **changes}).json()
    return [layer["compute_dtype"] for layer in answer["layers"] if layer["class_name"] != "InputLayer"]


def test_every_route_says_what_the_policy_reaches(served: Served):
    assert computes(served) == ["float16", "float16"]
    for path in (INSPECT, f"{JOBS}?dry_run=true", JOBS):
        assert served.http.post(path, json=EXPORTED).json()["policy_reach"] == ALL, path
    job_id = served.http.get(JOBS).json()["data"][0]["id"]
    found = served.http.get(f"{JOBS}/{job_id}").json()
    assert (found["policy_scope"], found["policy_reach"]) == ("auto", ALL)


def test_the_policy_reaches_a_functional_export(served: Served):
    body = json.loads((CASES / "models" / "policy-without-effect-keras3.json").read_text())
    answer = served.http.post(f"{JOBS}?dry_run=true", json=body).json()
    assert answer["policy_reach"] == {"policy": body["policy"], "layers": 1, "followed": 1, "kept": []}


def test_a_policy_that_no_layer_follows_is_a_finding(served: Served):
    body = {**EXPORTED, "policy_scope": "unset"}
    answer = served.http.post(INSPECT, json=body).json()
    assert [layer["compute_dtype"] for layer in answer["layers"][1:]] == ["float32", "float32"]
    reach = answer["policy_reach"]
    assert (reach["layers"], reach["followed"]) == (2, 0)
    assert {row["policy"] for row in reach["kept"]} == {"float32"}
    finding = next(found for found in answer["lint"] if found["code"] == "policy_without_effect")
    assert "'mixed_float16'" in finding["why"]
    assert "all 2 layers name 'float32'" in finding["why"]
    assert "policy_scope" in finding["fix"]
    warnings = served.http.post(JOBS, json=body).json()["warnings"]
    assert "policy_without_effect" in [notice["code"] for notice in warnings]


def test_the_dtype_that_is_replaced_is_named(served: Served):
    for path in (INSPECT, f"{JOBS}?dry_run=true", JOBS):
        warnings = served.http.post(path, json=EXPORTED).json()["warnings"]
        (notice,) = [found for found in warnings if found["code"] == "export_dtype_replaced"]
        assert "2 layers name 'float32'" in notice["message"]
        assert notice["pointer"] == "/policy_scope"


def test_a_guess_at_the_dtype_of_the_export_is_named(served: Served):
    body = copy.deepcopy(EXPORTED)
    body["model"]["config"].pop("dtype", None)
    body["model"]["config"]["layers"][-1]["config"]["dtype"] = "float64"
    for path in (INSPECT, f"{JOBS}?dry_run=true", JOBS):
        warnings = served.http.post(path, json=body).json()["warnings"]
        (notice,) = [found for found in warnings if found["code"] == "export_dtype_guessed"]
        assert "'float32'" in notice["message"]
        assert "'float64'" in notice["message"]


def test_a_sweep_over_policies_trains_in_each_of_them(served: Served):
    grid = {"/policy": ["float32", "mixed_float16", "mixed_bfloat16"]}
    body = {"job": EXPORTED, "grid": grid}
    dry = served.http.post(f"{SWEEPS}?dry_run=true", json=body).json()
    rows = served.http.post(SWEEPS, json=body).json()["jobs"]
    for answer in (dry["points"], rows):
        reaches = [(row["policy_reach"]["policy"], row["policy_reach"]["followed"]) for row in answer]
        assert reaches == [(policy, 2) for policy in grid["/policy"]]
    found = {}
    for row in rows:
        spec = JobSpec.model_validate(served.services.store.spec(row["job_id"]))
        found[row["policy_reach"]["policy"]] = prepare(spec, Limits()).model.layers[-1].policy.compute_dtype
    assert found == {"float32": "float32", "mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


def test_the_openai_routes_say_it_too(served: Served):
    job = {key: EXPORTED[key] for key in ("model", "policy", "compile", "data")}
    body = {"model": "mine", "training_file": "inline", "halfstep": job}
    made = served.http.post(TUNING, json=body).json()
    assert made["policy_reach"] == ALL
    again = {**body, "halfstep": {**job, "policy_scope": "unset"}}
    assert served.http.post(TUNING, json=again).json()["policy_reach"]["followed"] == 0


def test_the_command_line_prints_it(served: Served, tmp_path: Path):
    file = tmp_path / "job.json"
    file.write_text(json.dumps({**EXPORTED, "policy_scope": "unset"}))
    said = CliRunner().invoke(main, ["submit", str(file), "--url", served.url])
    assert "policy mixed_float16: 0 of 2 layers follow it" in said.stderr
    assert "keeps float32" in said.stderr


def test_an_unknown_scope_is_a_422_that_lists_the_scopes(served: Served):
    response = served.http.post(JOBS, json={**EXPORTED, "policy_scope": "every"})
    assert response.status_code == 422
    (fault,) = response.json()["errors"]
    assert fault["pointer"] == "/policy_scope"
    assert all(scope in fault["message"] for scope in ("auto", "all", "unset"))
