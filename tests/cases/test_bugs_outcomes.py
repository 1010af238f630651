"""Reports of what became of a job: over HTTP, through slices, with what the library that wrote the model gives."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.serving import JOBS, Served, serving
from tests.cases.workers import body, report, run_codes, train, trained


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("outcomes")) as served:
        yield served


@pytest.fixture(params=[20.0, 0.0], ids=["one slice", "a step a slice"])
def seconds(request: pytest.FixtureRequest) -> float:
    return float(request.param)


def warning(job: dict[str, Any], code: str) -> str:
    found = [notice["message"] for notice in job["warnings"] if notice["code"] == code]
    assert len(found) == 1, job["warnings"]
    return str(found[0])


def first_bad(entry: dict[str, Any]) -> tuple[Any, ...]:
    bad = entry["first_bad"]
    return bad["layer"], bad["phase"], bad["op"], bad["value"], bad["shadow"]


def test_a_loss_value_that_overflows_does_not_end_a_healthy_training(served: Served, seconds: float):
    job = trained(served, body("bugs", "loss-sum-over-batch"), seconds)
    assert (job["status"], job["progress"]["step"], job["skipped_steps"]) == ("succeeded", 120, 5)
    told = report(served, job)
    assert told["steps"] == {"total": 120, "applied": 115, "skipped": 5}
    assert [(entry["step"], entry["reason"]) for entry in told["ledger"]] == [
        (step, "nonfinite_gradient") for step in range(1, 6)
    ]
    assert told["nonfinite_loss"]["first_step"] == 6
    layer, phase, op, value, shadow = first_bad(told["nonfinite_loss"])
    assert (layer, phase, op, value) == ("", "loss", "sum", "inf")
    assert 65504 < shadow <= 102400
    columns = served.http.get(f"{JOBS}/{job['id']}/metrics").json()["columns"]
    assert (columns["nonfinite"][0], columns["loss"][-1]) == ({"loss": "inf", "grad_norm": "inf"}, 160.375)
    assert "every gradient and every weight is finite" in warning(job, "nonfinite_loss")
    assert run_codes(served, job) == ["nonfinite_loss"]
    predicted = served.http.post(f"{JOBS}/{job['id']}/predict", json={"x": [[1.0]]}).json()["predictions"]
    assert predicted[0][0] == pytest.approx(7.387, abs=4e-3)


def test_an_overflow_on_the_way_forward_is_named_and_never_a_success(served: Served, seconds: float):
    job = trained(served, body("bugs", "forward-overflow-keras3"), seconds)
    assert (job["status"], job["error"]["code"], job["error"]["layer"]) == ("failed", "never_stepped", "wo")
    assert job["error"]["message"].startswith("All 60 steps were skipped")
    assert "Raising or lowering the loss scale cannot help" in job["error"]["message"]
    told = report(served, job)
    entry = told["ledger"][0]
    assert first_bad(entry) == ("wo", "forward", "matmul", "inf", 131072.0)
    assert (entry["first_bad"]["row"], entry["reason"]) == (0, "nonfinite_forward")
    assert (entry["float32_too"], entry["any_scale_helps"]) == (False, False)
    assert told["steps"] == {"total": 60, "applied": 0, "skipped": 60}
    assert {entry["reason"] for entry in told["ledger"]} == {"nonfinite_forward"}


def test_a_sample_that_is_all_padding_is_not_the_precisions_fault(served: Served, seconds: float):
    job = trained(served, body("bugs", "one-sample-all-padding"), seconds)
    assert (job["status"], job["error"]["code"], job["error"]["layer"]) == ("failed", "never_stepped", "gap")
    entry = report(served, job)["ledger"][0]
    assert first_bad(entry) == ("gap", "forward", "divide", "nan", "nan")
    assert (entry["step"], entry["first_bad"]["row"], entry["float32_too"]) == (1, 1, True)


def test_a_fixed_scale_that_applies_infinities_is_blamed_where_it_did(served: Served, seconds: float):
    job = trained(served, body("bugs", "fixed-scale-applies-inf"), seconds)
    assert (job["status"], job["error"]["code"]) == ("failed", "nonfinite_loss")
    assert (job["error"]["step"], job["error"]["layer"]) == (1, "o")
    (entry,) = report(served, job)["ledger"]
    assert (entry["step"], entry["applied"], entry["any_scale_helps"]) == (1, True, True)
    assert first_bad(entry) == ("o", "backward", "cast", "inf", 2e6)
    assert entry["first_bad"]["largest_shadow"] == 3e6
    assert run_codes(served, job) == []  # none that says the weights are finite


def test_the_step_that_failed_is_counted(served: Served, seconds: float):
    job = trained(served, body("bugs", "step-that-failed-is-counted"), seconds)
    assert (job["error"]["code"], job["error"]["step"]) == ("loss_scale_underflow", 50)
    assert (job["progress"]["step"], job["skipped_steps"]) == (50, 50)
    told = report(served, job)
    assert told["steps"] == {"total": 50, "applied": 0, "skipped": 50}
    assert served.http.get(f"{JOBS}/{job['id']}/metrics").json()["columns"]["step"] == list(range(1, 51))
    assert told["ledger"][-1]["first_bad"]["tensor"] == "output_gradient"
    assert first_bad(told["ledger"][-1]) == ("h", "backward", "cast", "-inf", -98390.0)


def test_weights_that_never_move_are_told(served: Served, seconds: float):
    job = trained(served, body("bugs", "adam-bfloat16-never-moves"), seconds)
    assert (job["status"], job["skipped_steps"]) == ("succeeded", 0)
    foretold, measured = [each["message"] for each in job["warnings"] if each["code"] == "update_swallowed"]
    assert "beta_2 = 0.999 is 1 in bfloat16" in foretold
    assert "0 of 25 weights changed" in measured
    assert run_codes(served, job) == ["update_swallowed"]


def test_a_model_with_nothing_to_train_is_refused(served: Served):
    job = body("bugs", "adam-bfloat16-never-moves")
    for layer in job["model"]["config"]["layers"][1:]:
        layer["config"]["trainable"] = False
    refused = served.http.post(JOBS, json=job)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "nothing_to_train")


BUGS = ("forward-overflow-keras3", "one-sample-all-padding", "loss-sum-over-batch", "adam-bfloat16-never-moves")
PLANTED = ("activity_regularizer", "exploding_logits", "residual_growth", "loss_head_overflow", "adam_epsilon_float16")
CASES = [*(("bugs", name) for name in BUGS), *(("planted", name) for name in PLANTED)]
CALLBACKS = {
    "none": [],
    "early stopping": [
        {"class_name": "EarlyStopping", "config": {"monitor": "loss", "restore_best_weights": True, "patience": 1}}
    ],
    "terminate on nan": [{"class_name": "TerminateOnNaN", "config": {}}],
}


def check(job: dict[str, Any]) -> None:
    """No job may end as a success in which no step was applied; and none that saved nan does so without a word."""
    assert job["status"] in {"succeeded", "failed"}
    if job["status"] == "succeeded":
        assert job["progress"]["step"] > job["skipped_steps"]
    else:
        assert job["error"]["message"]
    codes = [notice["code"] for notice in job["warnings"]]
    assert len(codes) == len({(notice["code"], notice["message"]) for notice in job["warnings"]})


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize(("folder", "name"), CASES)
def test_nothing_succeeds_that_was_never_stepped(served: Served, folder: str, name: str, callbacks: str):
    job = body(folder, name)
    check(trained(served, {**job, "fit": {**job["fit"], "callbacks": CALLBACKS[callbacks]}}, 0.05))


def test_nor_from_a_checkpoint_a_sweep_a_pause_or_another_api(served: Served):
    hopeless = body("bugs", "one-sample-all-padding")
    data = {**hopeless["data"], "x": [hopeless["data"]["x"][0]] * 2}
    healthy = trained(served, {**hopeless, "data": data})
    assert healthy["status"] == "succeeded"
    going_on = trained(served, {**hopeless, "from_checkpoint": healthy["id"]}, 0.0)
    assert (going_on["status"], going_on["error"]["code"]) == ("failed", "never_stepped")
    sweep = served.http.post(
        "/v1/sweeps", json={"job": hopeless, "grid": {"/policy": ["mixed_float16"], "/seed": [1, 2]}}
    ).json()
    ended = [train(served, row["job_id"]) for row in sweep["jobs"]]
    assert {job["error"]["code"] for job in ended} == {"never_stepped"}
    request = {"model": "mine", "training_file": "mine", "halfstep": hopeless}
    tuned = served.http.post("/v1/fine_tuning/jobs", json=request).json()
    train(served, tuned["id"])
    answer = served.http.get(f"/v1/fine_tuning/jobs/{tuned['id']}").json()
    assert (answer["status"], answer["error"]["code"]) == ("failed", "never_stepped")
    paused = served.http.post(JOBS, json=hopeless).json()["id"]
    served.http.post(f"{JOBS}/{paused}/pause")
    served.http.post(f"{JOBS}/{paused}/resume")
    assert train(served, paused, 0.0)["error"]["code"] == "never_stepped"


@pytest.mark.parametrize("name", ["healthy_cnn", "healthy_mlp_dropout", "healthy_scale_search"])
def test_healthy_jobs_get_no_warning_from_their_run(served: Served, name: str):
    job = trained(served, body("planted", name))
    assert (job["status"], run_codes(served, job)) == ("succeeded", [])
