"""The unmodified `openai` package against a real server with a real worker."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from openai import BadRequestError, ConflictError, OpenAI

from tests.contracts.sources import ROOT
from tests.e2e.stack import Stack, job, running
from tests.waiting import PATIENCE, until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("openai")) as started:
        yield started


@pytest.fixture
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.client.url}/v1", api_key="none", max_retries=5) as client:
        yield client


def test_the_example_runs_unchanged(stack: Stack):
    command = [sys.executable, str(ROOT / "examples" / "openai_client.py")]
    environment = {**os.environ, "HALFSTEP_URL": stack.client.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "created fine_tuning.job queued",
        "ended succeeded and made a model",
        "last event: All 116 steps are done.",
        "checkpoints: True True",
        "paused: paused",
        "resumed: True",
        "cancelled: cancelled",
        "listed: ['first']",
        "NotFoundError 404 not_found",
        "ConflictError 409 transition_refused",
        "BadRequestError 400 model_not_found",
    ]


def test_a_whole_job_goes_through_extra_body(stack: Stack, client: OpenAI):
    made = client.fine_tuning.jobs.create(
        model="mine", training_file="mine", extra_body={"halfstep": job(epochs=1, suffix="whole")}
    )
    assert (made.model, made.training_file, made.hyperparameters.n_epochs) == ("mine", "mine", 1)
    ended = stack.ended(made.id)
    assert (ended["status"], ended["suffix"]) == ("succeeded", "whole")


def test_pages_and_events_follow_each_other(stack: Stack, client: OpenAI):
    made = client.fine_tuning.jobs.create(model="dense-10", training_file="digits", hyperparameters={"n_epochs": 1})
    stack.ended(made.id)
    events = list(client.fine_tuning.jobs.list_events(made.id, limit=2))
    told = stack.client.get(made.id)
    assert [event.id.rpartition("-")[2] for event in events] == [str(n) for n in range(len(events), 0, -1)]
    assert {event.type for event in events} == {"message", "metrics"}
    assert events[0].created_at >= int(told["created_at"])
    assert len({listed.id for listed in client.fine_tuning.jobs.list(limit=1)}) == len(list(stack.client.jobs()))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": -1}}, "hyperparameters.batch_size"),
        ({"training_file": "nothing"}, "training_file"),
        ({"extra_body": {"halfstep": {"policy": "float9"}}}, "halfstep.policy"),
        ({"extra_body": {"halfstep": {"colour": 1}}}, "halfstep.colour"),
        ({"validation_file": "file-1"}, "validation_file"),
        ({"method": {"type": "dpo"}}, "method.type"),
        ({"seed": -1}, "seed"),
    ],
)
def test_faults_are_bad_requests_with_their_parameter(client: OpenAI, changes: dict, param: str):
    with pytest.raises(BadRequestError) as refused:
        client.fine_tuning.jobs.create(**{"model": "dense-10", "training_file": "digits", **changes})
    assert refused.value.param == param


def test_a_conflict_is_not_retried(stack: Stack, client: OpenAI):
    made = client.fine_tuning.jobs.create(model="dense-10", training_file="digits", hyperparameters={"n_epochs": 1})
    until(lambda: client.fine_tuning.jobs.retrieve(made.id).status == "succeeded")
    with pytest.raises(ConflictError) as refused:
        client.fine_tuning.jobs.cancel(made.id)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "x-stainless-retry-count" not in refused.value.request.headers or (
        refused.value.request.headers["x-stainless-retry-count"] == "0"
    )
