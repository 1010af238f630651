"""What comes of a job over the whole service: predictions, the report, and jobs that begin with its checkpoint."""

from collections.abc import Iterator

import numpy as np
import pytest
from standardwebhooks import Webhook

from app.client import Conflict, Invalid
from engine import datasets
from tests.e2e.stack import Stack, job, running
from tests.receiver import receiving
from tests.waiting import until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    allowed = {"HALFSTEP_WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.0/8"]'}
    with running(tmp_path_factory.mktemp("results"), **allowed) as started:
        yield started


@pytest.fixture(scope="module")
def trained(stack: Stack) -> dict:
    return stack.ended(stack.client.submit(job(epochs=4))["id"])


def test_a_finished_model_predicts(trained: dict, stack: Stack):
    digits = datasets.load("digits")
    said = np.array(stack.client.predict(trained["id"], digits.x[:200].tolist()))
    assert said.shape == (200, 10)
    assert np.allclose(said.sum(axis=1), 1.0, atol=1e-5)
    assert (said.argmax(axis=1) == digits.y[:200].ravel()).mean() > 0.5


def test_inputs_that_do_not_fit_are_named(trained: dict, stack: Stack):
    with pytest.raises(Invalid) as refused:
        stack.client.predict(trained["id"], [[0.0] * 64, [0.0] * 63])
    assert [fault["pointer"] for fault in refused.value.errors] == ["/x/1"]
    with pytest.raises(Invalid) as refused:
        stack.client.predict(trained["id"], [[0.0] * 63])
    assert [fault["pointer"] for fault in refused.value.errors] == ["/x"]


def test_the_report_says_what_is_not_recorded(trained: dict, stack: Stack):
    report = stack.client.report(trained["id"])
    assert report["schema"] == "halfstep.report/1"
    assert report["steps"]["skipped"] == len(report["ledger"]) == trained["skipped_steps"] > 0
    assert (report["census"], report["verdict"]) == (None, None)
    assert report["not_recorded"] == ["census", "advice", "verdict", "ledger.first_bad"]


def test_a_job_goes_on_from_another_ones_checkpoint_which_may_then_be_deleted(trained: dict, stack: Stack):
    source = stack.ended(stack.client.submit(job(epochs=2, suffix="source"))["id"])
    same, warm = (
        stack.client.submit(job(epochs=1, from_checkpoint=source["id"], **changes))["id"]
        for changes in ({}, {"policy": "float32", "seed": 9})
    )
    stack.client.delete(source["id"])
    first = stack.ended(same)
    assert first["status"] == "succeeded", first["error"]
    assert first["from_checkpoint"]["checkpoint"] == source["result"]["checkpoint"]
    assert first["from_checkpoint"]["optimizer"] is True
    # The loss scale went on from where it was, so nothing overflows again.
    assert stack.client.metrics(same)["loss_scale"][0] == source["loss_scale"]
    second = stack.ended(warm)
    assert (second["status"], second["from_checkpoint"]["optimizer"]) == ("succeeded", False)
    assert stack.client.metrics(warm)["loss"][0] < 0.8 * stack.client.metrics(trained["id"])["loss"][0]


def test_a_checkpoint_of_another_model_is_refused_by_layer(trained: dict, stack: Stack):
    other = job(epochs=1, from_checkpoint=trained["id"])
    other["model"]["config"]["layers"][0]["config"]["units"] = 16
    with pytest.raises(Invalid) as refused:
        stack.client.submit(other)
    assert {fault["pointer"] for fault in refused.value.errors} == {"/model/config/layers/0", "/model/config/layers/2"}
    assert "kernel is of shape [64, 16] here and of shape [64, 32] there" in refused.value.errors[0]["message"]
    with pytest.raises(Invalid) as refused:
        stack.client.submit(job(epochs=1, from_checkpoint="ckpt-none"))
    assert refused.value.errors[0]["pointer"] == "/from_checkpoint"


def test_only_a_finished_model_predicts(stack: Stack):
    waiting = stack.client.submit(job(epochs=900))["id"]
    with pytest.raises(Conflict):
        stack.client.predict(waiting, [[0.0] * 64])
    stack.client.cancel(waiting)
    assert stack.ended(waiting)["status"] == "cancelled"


def test_a_job_of_higher_priority_goes_first(stack: Stack):
    blocker = stack.client.submit(job(epochs=900))["id"]
    low, high = (stack.client.submit(job(epochs=1, priority=level))["id"] for level in (0, 5))
    assert [stack.client.get(waiting)["queue_position"] for waiting in (high, low)] == [1, 2]
    stack.client.cancel(blocker)
    ended = [stack.ended(waiting) for waiting in (high, low)]
    assert ended[0]["started_at"] < ended[1]["started_at"]


def test_the_reaper_tells_webhooks_of_a_condition_and_the_end(stack: Stack):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    with receiving(500) as receiver:
        when = {"metric": "skipped_steps", "above": 0}
        hook = {"url": receiver.url, "secret": secret, "when": when, "events": ["job.succeeded"]}
        job_id = stack.client.submit(job(epochs=2, webhooks=[hook]))["id"]
        until(lambda: len(receiver.got) >= 2)
    said = [Webhook(secret).verify(body, headers) for headers, body in receiver.got]
    assert {message["type"] for message in said} >= {"job.condition"}
    assert {message["data"]["id"] for message in said} == {job_id}


def test_a_sweep_is_trained_and_compared(stack: Stack):
    grid = {"/policy": ["float32", "mixed_bfloat16"]}
    sweep_id = stack.client.sweep(job(epochs=1), grid)["id"]
    until(lambda: stack.client.get_sweep(sweep_id)["status"] == "succeeded")
    compared = stack.client.get_sweep(sweep_id)
    assert [row["values"]["/policy"] for row in compared["jobs"]] == ["float32", "mixed_bfloat16"]
    losses = {row["job_id"]: row["best"]["val_loss"] for row in compared["jobs"]}
    assert compared["best_job"] == min(losses, key=lambda job_id: losses[job_id])
