"""Sweeps over HTTP; the tests play the worker."""

import io

import numpy as np
import pytest

from tests.app.serving import JOBS, SPEC, Served
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.records import Flush, NewCheckpoint
from worker.specs.grid import points_of
from worker.specs.sources import Remembered
from worker.specs.uploads import Uploads

SWEEPS = "/v1/sweeps"
GRID = {"/policy": ["float32", "mixed_float16"], "/compile/optimizer/config/learning_rate": [0.1, 0.01, 0.001]}
SGD = {"class_name": "SGD", "config": {"learning_rate": 1.0}}
JOB = {**SPEC, "compile": {"optimizer": SGD, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}}


def trained(served: Served, job_id: str, loss: float) -> None:
    """Do what a worker would: one step, one checkpoint, the end."""
    claim = served.claimed(job_id)
    store = served.services.store
    file = ArtifactStore(served.services.shared.artifacts_url).put(job_id, "checkpoints/one", b"")
    saved = NewCheckpoint(1, 1, file, {"loss": loss}, loss)
    store.record(claim, Flush(1, 1, latest={"loss": loss}, checkpoint=saved))
    store.succeed(claim, ())


def test_every_combination_is_a_job(served: Served):
    response = served.http.post(SWEEPS, json={"job": JOB, "grid": GRID, "suffix": "rates"})
    assert response.status_code == 201, response.text
    sweep = response.json()
    assert response.headers["location"] == f"{SWEEPS}/{sweep['id']}"
    assert (sweep["status"], sweep["counts"], len(sweep["jobs"])) == ("running", {"queued": 6}, 6)
    assert [list(row["values"].values()) for row in sweep["jobs"]][:4] == [
        ["float32", 0.1],
        ["float32", 0.01],
        ["float32", 0.001],
        ["mixed_float16", 0.1],
    ]
    last = served.http.get(f"{JOBS}/{sweep['jobs'][-1]['job_id']}").json()
    assert last["policy"] == "mixed_float16"
    assert last["compile"]["optimizer"]["config"]["learning_rate"] == 0.001
    assert last["queue_position"] == 6


def test_the_comparison_names_the_best(served: Served):
    grid = {"/seed": [1, 2, 3]}
    sweep = served.http.post(SWEEPS, json={"job": JOB, "grid": grid}).json()
    ids = [row["job_id"] for row in sweep["jobs"]]
    for job_id, loss in zip(ids, (0.5, 0.25, 0.75), strict=True):
        trained(served, job_id, loss)
    found = served.http.get(f"{SWEEPS}/{sweep['id']}").json()
    assert (found["status"], found["best_job"]) == ("succeeded", ids[1])
    assert [row["best"] for row in found["jobs"]] == [{"loss": 0.5}, {"loss": 0.25}, {"loss": 0.75}]
    assert served.http.delete(f"{SWEEPS}/{sweep['id']}").status_code == 204
    assert served.http.get(f"{SWEEPS}/{sweep['id']}").status_code == 404
    assert [served.http.get(f"{JOBS}/{job_id}").status_code for job_id in ids] == [404] * 3
    assert served.services.artifacts.names(ids[0], "checkpoints") == ()


def test_one_wrong_point_refuses_them_all(served: Served):
    grid = {"/policy": ["float32", "float9"], "/fit/batch_size": [32, 0]}
    refused = served.http.post(SWEEPS, json={"job": JOB, "grid": grid})
    assert refused.status_code == 422
    assert {fault["pointer"] for fault in refused.json()["errors"]} == {"/grid/~1policy/1", "/grid/~1fit~1batch_size/1"}
    assert served.http.get(JOBS).json()["data"] == []


def test_a_fault_of_the_job_itself_points_into_it(served: Served):
    refused = served.http.post(SWEEPS, json={"job": {**JOB, "suffix": 3}, "grid": {"/seed": [1]}})
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/job/suffix"]


def test_a_job_that_is_wrong_at_every_point_is_checked_at_one(served: Served):
    refused = served.http.post(SWEEPS, json={"job": {**JOB, "suffix": 3}, "grid": {"/seed": list(range(60))}})
    (fault,) = refused.json()["errors"]
    assert fault["message"].startswith("With /seed = 0: ")


def test_points_share_what_does_not_vary(served: Served):
    rows = [[0.0] * 64] * 20
    base = {**JOB, "data": {"x": rows, "y": [0] * 20}}
    grid = {"/fit/batch_size": [1, 2], "/fit/epochs": [3]}
    first, second = points_of(base, grid, served.services.shared.limits)
    assert first.job["data"] is second.job["data"] is base["data"]
    assert [point.job["fit"]["batch_size"] for point in (first, second)] == [1, 2]
    assert first.job["fit"] is not JOB["fit"]
    assert JOB["fit"] == SPEC["fit"]


def test_a_file_is_read_once_for_all_points(served: Served):
    table = io.BytesIO()
    np.savez(table, x=np.zeros((20, 64), "f4"), y=np.arange(20) % 10)
    upload = {"file": ("digits.npz", table.getvalue())}
    file_id = served.http.post("/v1/files", files=upload, data={"purpose": "fine-tune"}).json()["id"]
    sources = Remembered(Uploads(served.services.files))
    assert sources.read(file_id) is sources.read(file_id)
    assert sources.read("file-0") is None
    sweep = {"job": {**JOB, "data": {"file": file_id}}, "grid": {"/seed": [1, 2, 3]}}
    assert served.http.post(SWEEPS, json=sweep, params={"dry_run": "true"}).json()["jobs"] == 3


@pytest.mark.parametrize(
    ("grid", "pointer"),
    [
        ({"policy": ["float32"]}, "/grid/policy"),
        ({"/model/config/layers/7/config/units": [1]}, "/grid/~1model~1config~1layers~17~1config~1units"),
        ({"/policy/config/name": ["float32"]}, "/grid/~1policy~1config~1name"),
        ({"/seed": list(range(65))}, "/grid"),
        ({"/seed": []}, "/grid"),
    ],
)
def test_a_grid_that_leads_nowhere_is_refused(served: Served, grid: dict, pointer: str):
    refused = served.http.post(SWEEPS, json={"job": JOB, "grid": grid})
    assert (refused.status_code, [fault["pointer"] for fault in refused.json()["errors"]]) == (422, [pointer])


def test_rows_are_not_copied_without_end(served: Served):
    rows = {"x": [[0.0] * 64] * 2000, "y": [0] * 2000}
    refused = served.http.post(SWEEPS, json={"job": {**JOB, "data": rows}, "grid": {"/seed": list(range(60))}})
    assert refused.json()["errors"][0]["pointer"] == "/job/data/x"


def test_a_dry_run_makes_nothing(served: Served):
    said = served.http.post(SWEEPS, json={"job": JOB, "grid": GRID}, params={"dry_run": "true"})
    assert (said.status_code, said.json()["jobs"], said.json()["total_steps"]) == (200, 6, 6 * 52)
    assert served.http.get(SWEEPS).json()["data"] == []


def test_a_repeated_request_makes_one_sweep(served: Served):
    body, headers = {"job": JOB, "grid": {"/seed": [1, 2]}}, {"Idempotency-Key": "one"}
    first, again = (served.http.post(SWEEPS, json=body, headers=headers).json()["id"] for _ in range(2))
    assert first == again
    other = served.http.post(SWEEPS, json={**body, "suffix": "other"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert len(served.http.get(JOBS).json()["data"]) == 2


def test_all_jobs_are_cancelled_as_one(served: Served):
    sweep = served.http.post(SWEEPS, json={"job": JOB, "grid": {"/seed": [1, 2, 3]}}).json()
    ids = [row["job_id"] for row in sweep["jobs"]]
    trained(served, ids[0], 0.5)
    claim = served.claimed(ids[1])
    assert served.http.delete(f"{SWEEPS}/{sweep['id']}").status_code == 409
    said = served.http.post(f"{SWEEPS}/{sweep['id']}/cancel").json()
    assert [row["status"] for row in said["jobs"]] == ["succeeded", "cancelling", "cancelled"]
    served.services.store.release(claim)
    assert served.http.post(f"{SWEEPS}/{sweep['id']}/cancel").json()["status"] == "cancelled"


def test_sweeps_are_listed_newest_first(served: Served):
    ids = [served.http.post(SWEEPS, json={"job": JOB, "grid": {"/seed": [1]}}).json()["id"] for _ in range(3)]
    page = served.http.get(SWEEPS, params={"limit": 2}).json()
    assert ([sweep["id"] for sweep in page["data"]], page["has_more"]) == ([ids[2], ids[1]], True)
    rest = served.http.get(SWEEPS, params={"after": page["last_id"]}).json()
    assert ([sweep["id"] for sweep in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    assert served.http.get(SWEEPS, params={"after": "sweep-none"}).status_code == 404
