"""What comes of a job over the whole service: predictions, the report, and jobs that begin with its checkpoint."""

from collections.abc import Iterator

import numpy as np
import pytest

from app.client import Conflict, Invalid
from engine import datasets
from tests.e2e.stack import Stack, job, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("results")) as started:
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
