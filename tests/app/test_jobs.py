"""Jobs over HTTP, from creation to deletion; the tests play the worker."""

import math
import socket
import time
from pathlib import Path

import pytest

from tests.app.serving import JOBS, SPEC, Served, serving
from tests.waiting import PATIENCE, until
from worker.jobs.records import Flush, JobError
from worker.settings import Limits

FIELDS = {
    *("id", "object", "status", "status_reason", "created_at", "started_at", "finished_at", "model", "policy"),
    *("compile", "fit", "data", "seed", "suffix", "metadata", "progress", "estimated_finish", "queue_position"),
    *("attempt", "metrics", "loss_scale", "skipped_steps", "error", "transitions", "result"),
}


def row(step: int, **changes: float) -> dict[str, float]:
    values = {"loss": 1.0 / step, "loss_scale": 32768.0, "applied": True, "grads_finite": True, "epoch": 1}
    return {"step": step, **values, **changes}


def test_a_job_is_created_with_its_location(served: Served):
    response = served.http.post(JOBS, json={**SPEC, "suffix": "mine", "metadata": {"team": "vision"}})
    job = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{JOBS}/{job['id']}"
    assert set(job) >= FIELDS
    assert (job["status"], job["queue_position"], job["seed"], job["suffix"]) == ("queued", 1, 7, "mine")
    assert set(job["progress"]) == {"step", "total_steps", "epoch", "epochs", "percent"}
    assert job["progress"]["total_steps"] == 2 * math.ceil(1617 / 64)
    assert served.http.get(response.headers["location"]).json() == job


def test_a_dry_run_creates_nothing(served: Served):
    response = served.http.post(JOBS, json=SPEC, params={"dry_run": "true"})
    assert response.status_code == 200
    assert response.json()["summary"]["parameters"] == 650
    assert served.http.get(JOBS).json()["data"] == []


def test_a_dry_run_of_a_bad_job_is_refused_like_the_job(served: Served):
    wrong = {**SPEC, "seed": -1}
    dry, real = (served.http.post(JOBS, json=wrong, params={"dry_run": dry}) for dry in ("true", "false"))
    assert dry.status_code == real.status_code == 422
    assert dry.json()["errors"] == real.json()["errors"]


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Idempotency-Key"])
def test_an_idempotency_key_makes_one_job(served: Served, header):
    first, again = (served.http.post(JOBS, json=SPEC, headers={header: "k1"}) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    other = served.http.post(JOBS, json={**SPEC, "seed": 8}, headers={header: "k1"})
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_mismatch"


def test_pages_follow_each_other_and_filters_come_first(served: Served):
    ids = [served.submit(metadata={"parity": str(number % 2)}) for number in range(5)]
    pages, after = [], None
    while after != "end":
        params = {"limit": 2, "order": "asc", **({"after": after} if after else {})}
        page = served.http.get(JOBS, params=params).json()
        pages.append([job["id"] for job in page["data"]])
        assert (page["first_id"], page["last_id"]) == (pages[-1][0], pages[-1][-1])
        after = page["last_id"] if page["has_more"] else "end"
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    odd = served.http.get(JOBS, params={"metadata[parity]": "1", "limit": 1}).json()
    assert ([job["id"] for job in odd["data"]], odd["has_more"]) == ([ids[3]], True)
    assert served.http.get(JOBS, params={"status": "running"}).json()["data"] == []
    assert len(served.http.get(JOBS, params={"status": ["running", "queued"]}).json()["data"]) == 5
    assert served.http.get(JOBS, params={"created_after": time.time() + 60}).json()["data"] == []
    assert served.http.get(JOBS, params={"after": "job-0000"}).status_code == 404


def test_a_waiting_job_is_cancelled_at_once(served: Served):
    job_id = served.submit()
    response = served.http.post(f"{JOBS}/{job_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert served.http.post(f"{JOBS}/{job_id}/cancel").status_code == 200


def test_a_running_job_is_cancelled_by_its_worker(served: Served):
    job_id = served.submit()
    claim = served.claimed(job_id)
    response = served.http.post(f"{JOBS}/{job_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelling")
    served.services.store.release(claim)
    assert served.http.get(f"{JOBS}/{job_id}").json()["status"] == "cancelled"


def test_what_the_state_forbids_is_a_409_that_no_client_repeats(served: Served):
    job_id = served.submit()
    served.services.store.succeed(served.claimed(job_id), [])
    for path in ("cancel", "pause", "resume"):
        response = served.http.post(f"{JOBS}/{job_id}/{path}")
        assert (response.status_code, response.headers["x-should-retry"]) == (409, "false")


def test_pause_resume_delete(served: Served):
    job_id = served.submit()
    assert served.http.delete(f"{JOBS}/{job_id}").status_code == 409
    assert served.http.post(f"{JOBS}/{job_id}/pause").json()["status"] == "paused"
    assert served.http.post(f"{JOBS}/{job_id}/resume").json()["status"] == "queued"
    claim = served.claimed(job_id)
    assert served.http.post(f"{JOBS}/{job_id}/pause").status_code == 202
    served.services.store.release(claim)
    assert served.http.post(f"{JOBS}/{job_id}/cancel").status_code == 200
    assert served.http.delete(f"{JOBS}/{job_id}").status_code == 204
    assert served.http.get(f"{JOBS}/{job_id}").status_code == 404


def test_metrics_are_columns_and_what_is_not_finite_is_named(served: Served):
    job_id = served.submit()
    rows = (row(1), row(2, loss=math.nan, applied=False, grads_finite=False), row(3))
    served.services.store.record(served.claimed(job_id), Flush(3, 0, rows=rows, latest={"loss": 0.5}))
    columns = served.http.get(f"{JOBS}/{job_id}/metrics").json()["columns"]
    assert columns["step"] == [1, 2, 3]
    assert columns["loss"] == [1.0, None, 1 / 3]
    assert columns["applied"] == [True, False, True]
    assert columns["nonfinite"][1] == {"loss": "nan"}
    some = served.http.get(f"{JOBS}/{job_id}/metrics", params={"name": "loss_scale", "after_step": 2}).json()["columns"]
    assert some == {"step": [3], "loss_scale": [32768.0]}
    for asked in ("name=loss,loss_scale", "name=loss&name=loss_scale", "name=loss_scale,%20loss&name=loss"):
        several = served.http.get(f"{JOBS}/{job_id}/metrics?{asked}").json()["columns"]
        assert several.keys() - {"nonfinite"} == {"step", "loss", "loss_scale"}
    job = served.http.get(f"{JOBS}/{job_id}").json()
    assert (job["skipped_steps"], job["progress"]["step"], job["metrics"]) == (1, 3, {"loss": 0.5})


def test_a_range_of_steps_that_ends_before_it_begins_is_refused(served: Served):
    url = f"{JOBS}/{served.submit()}/metrics"
    assert served.http.get(url, params={"after_step": 5, "until_step": 5}).json()["columns"]["step"] == []
    answer = served.http.get(url, params={"after_step": 5, "until_step": 4})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["code"] == "empty_range"
    assert "after 5 and not after 4" in error["message"]


def test_a_metric_that_nobody_measured_is_named(served: Served):
    job_id = served.submit()
    asked = {"name": ["loss", "lossy"]}
    assert served.http.get(f"{JOBS}/{job_id}/metrics", params=asked).status_code == 200, "nobody knows yet"
    served.services.store.record(served.claimed(job_id), Flush(1, 0, rows=(row(1),), latest={"loss": 0.5}))
    answer = served.http.get(f"{JOBS}/{job_id}/metrics", params=asked)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "unknown_metric"
    assert "'lossy'" in answer.json()["detail"]
    assert "'loss'," in answer.json()["detail"]
    together = served.http.get(f"{JOBS}/{job_id}/metrics?name=loss,lossy")
    assert together.json()["detail"] == answer.json()["detail"]


def test_a_metric_whose_name_has_a_comma_is_asked_for_whole(served: Served):
    job_id = served.submit()
    rows = ({**row(1), "top,5": 0.5},)
    served.services.store.record(served.claimed(job_id), Flush(1, 0, rows=rows, latest={"loss": 0.5}))
    answer = served.http.get(f"{JOBS}/{job_id}/metrics", params={"name": ["top,5", "loss,loss_scale"]})
    assert answer.json()["columns"].keys() == {"step", "top,5", "loss", "loss_scale"}


def test_what_was_thinned_says_so(served: Served):
    job_id = served.submit()
    rows = tuple(row(step) for step in range(1, 101))
    served.services.store.record(served.claimed(job_id), Flush(100, 0, rows=rows, latest={"loss": 0.5}))
    few = served.http.get(f"{JOBS}/{job_id}/metrics", params={"max_points": 20, "until_step": 80}).json()
    assert len(few["columns"]["step"]) <= 20
    assert few["columns"]["step"][-1] == few["thinned"]["steps"] == 80
    assert served.http.get(f"{JOBS}/{job_id}/metrics").json()["thinned"] is None


def test_a_failed_job_says_why(served: Served):
    job_id = served.submit()
    error = JobError("nonfinite_loss", "The loss is nan.", step=3, layer="dense")
    served.services.store.fail(served.claimed(job_id), error)
    job = served.http.get(f"{JOBS}/{job_id}").json()
    assert job["error"] == {
        "code": "nonfinite_loss",
        "message": "The loss is nan.",
        "param": None,
        "step": 3,
        "layer": "dense",
    }
    assert [(change["before"], change["after"]) for change in job["transitions"]][-1] == ("running", "failed")


@pytest.mark.parametrize("part", ["metrics", "checkpoints", "artifacts", "events"])
def test_parts_of_an_unknown_job_are_not_found(served: Served, part):
    assert served.http.get(f"{JOBS}/job-unknown/{part}").status_code == 404


def test_checkpoints_of_a_new_job_are_none(served: Served):
    answer = served.http.get(f"{JOBS}/{served.submit()}/checkpoints").json()
    assert answer == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_broker_that_is_down_loses_no_job_and_delays_no_answer(served: Served):
    job_id = served.submit()
    assert [wakeup.job_id for wakeup in served.services.store.undelivered()] == [job_id]


def test_a_silent_broker_holds_up_nobody(tmp_path, monkeypatch):
    # An answer that waited for the broker would wait for longer than the test may take.
    monkeypatch.setattr("worker.queue.SOCKET_SECONDS", 10 * PATIENCE)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with serving(tmp_path, broker_url=url) as served:
            ids = [served.submit(seed=number) for number in range(3)]
            assert served.http.get("/healthz").status_code == 200
            silent.close()
    assert len(set(ids)) == 3


def test_a_submit_rings_the_bell(tmp_path, broker_url):
    with serving(tmp_path, broker_url=broker_url) as served:
        served.submit()
        assert until(lambda: served.services.queue.depth() == 1)
        assert until(lambda: not served.services.store.undelivered())


def test_a_job_whose_model_is_very_long_is_refused_and_one_with_much_data_is_not(tmp_path: Path):
    with serving(tmp_path, limits=Limits(spec_bytes=10_000)) as served:
        normalized = {"class_name": "Normalization", "config": {"mean": [0.5] * 4000, "variance": [0.5] * 4000}}
        layers = [{"class_name": "Dense", "config": {"units": 10, "batch_input_shape": [None, 64]}}, normalized]
        refused = served.http.post(
            JOBS, json={**SPEC, "model": {"class_name": "Sequential", "config": {"layers": layers}}}
        )
        assert [(fault["code"], fault["pointer"]) for fault in refused.json()["errors"]] == [
            ("resource_limit", "/model")
        ]
        served.submit(data={"x": [[0.5] * 64] * 100, "y": [1] * 100})
