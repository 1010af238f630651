"""A job's way through the whole service, and back: HTTP, database, queue, worker, engine, files, events."""

import json
from collections.abc import Iterator

import pytest
from safetensors.numpy import load_file

from tests.e2e.stack import Stack, job, running
from tests.waiting import until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture(scope="module")
def trained(stack: Stack) -> dict:
    return stack.ended(stack.client.submit(job(epochs=3))["id"])


def test_the_job_succeeds_and_skips_the_steps_that_overflow(trained: dict):
    assert trained["status"] == "succeeded"
    assert trained["progress"]["percent"] == 100.0
    assert trained["skipped_steps"] > 0
    assert trained["metrics"]["val_accuracy"] > 0.5
    assert trained["result"]["checkpoint"].startswith("ckpt-")


def test_the_model_file_is_what_the_job_says(trained: dict, stack: Stack, tmp_path):
    stated = {file["name"]: file for file in trained["result"]["artifacts"]}
    target = tmp_path / "model.safetensors"
    assert stack.client.download(trained["id"], target.name, target) == stated[target.name]["sha256"]
    shapes = {name: array.shape for name, array in load_file(target).items()}
    assert sorted(shapes.values()) == [(10,), (32,), (32, 10), (64, 32)]


def test_history_and_report_tell_of_every_epoch_and_skip(trained: dict, stack: Stack, tmp_path):
    files = {}
    for name in ("history.json", "report.json"):
        stack.client.download(trained["id"], name, tmp_path / name)
        files[name] = json.loads((tmp_path / name).read_text(encoding="utf-8"))
    assert len(files["history.json"]["history"]["val_accuracy"]) == 3
    steps = files["report.json"]["steps"]
    assert (steps["total"], steps["skipped"]) == (trained["progress"]["step"], trained["skipped_steps"])


def test_metrics_hold_every_step_and_the_scale_falls(trained: dict, stack: Stack):
    columns = stack.client.metrics(trained["id"], max_points=10_000)
    assert columns["step"] == list(range(1, trained["progress"]["step"] + 1))
    assert columns["applied"].count(False) == trained["skipped_steps"]
    assert columns["loss_scale"][0] == 2.0**24 > columns["loss_scale"][-1]


def test_the_stream_replays_the_log_from_any_event(trained: dict, stack: Stack):
    whole = list(stack.client.events(trained["id"]))
    assert [event["id"] for event in whole] == list(range(1, len(whole) + 1))
    assert [event["type"] for event in whole][:3] == ["job.created", "job.queued", "job.running"]
    assert whole[-1]["type"] == "job.succeeded"
    assert list(stack.client.events(trained["id"], after=5)) == whole[5:]


def test_the_same_job_gives_the_same_file(trained: dict, stack: Stack):
    again = stack.ended(stack.client.submit(job(epochs=3))["id"])
    other = stack.ended(stack.client.submit(job(epochs=3, seed=4))["id"])
    assert stack.model(again["id"]) == stack.model(trained["id"]) != stack.model(other["id"])


def test_a_running_job_is_cancelled_between_two_steps(stack: Stack):
    job_id = stack.client.submit(job(epochs=50_000 // 51))["id"]
    until(lambda: stack.step(job_id) > 0)
    assert stack.client.cancel(job_id)["status"] == "cancelling"
    ended = stack.ended(job_id)
    assert (ended["status"], ended["result"]) == ("cancelled", None)
    assert list(stack.client.events(job_id))[-1]["type"] == "job.cancelled"


def test_a_job_that_cannot_train_fails_with_a_code(stack: Stack):
    wild = {"class_name": "SGD", "config": {"learning_rate": 1e30}}
    compiled = {"optimizer": wild, "loss": "mse"}
    rows = {"x": [[1.0] * 64] * 8, "y": [[1.0] * 10] * 8}
    spec = job(epochs=20, policy="float32", compile=compiled, data=rows, fit={"epochs": 20})
    ended = stack.ended(stack.client.submit(spec)["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "nonfinite_loss")
    assert ended["error"]["step"] > 0
