"""Reports of layers in low precision: each with what the library that wrote the model gives, loss by loss."""

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from engine.training import StepRecord, Trainer
from worker.settings import Limits
from worker.specs.check import prepare
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest
from worker.specs.job import JobSpec

FOLDER = resources.files("tests.cases") / "bugs"


def body(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def trained(name):
    """Return the records of the steps, the state after them, and predictions of the data, whatever the loss is."""
    given = body(name)
    prepared = prepare(JobSpec.model_validate(given), Limits())
    x, y = (np.array(given["data"][key], np.float32) for key in ("x", "y"))
    trainer = Trainer(prepared.model, x, y, replace(prepared.trainer.fit, terminate_on_nonfinite=False), 0)
    state, steps = trainer.initial_state(), []
    while not trainer.finished(state):
        state, record = trainer.advance(state)
        if isinstance(record, StepRecord):
            steps.append(record)
    return steps, state, np.asarray(trainer.predict(state, x)).astype(np.float64).ravel()


def findings(name, code):
    found = inspect_model(InspectRequest.model_validate(body(name)), Limits()).lint
    return [finding for finding in found if finding.code == code]


@pytest.mark.parametrize(
    ("name", "losses", "predictions"),
    [
        ("layernorm-epsilon-1e-12", [2.500732, 2.500732, 0.0816888], [0.9518111, 1.8924987]),
        ("layernorm-float32-input-keras3", [2.499512, 2.499512, 0.0582902], [1.0798491, 1.8718226]),
    ],
)
def test_layer_normalization_trains_where_it_crashed_or_was_nan(name, losses, predictions):
    steps, state, found = trained(name)
    assert [step.loss for step in steps] == pytest.approx(losses, rel=2e-5)
    assert [step.applied for step in steps] == [False, True, True]
    assert state.scaler.loss_scale == 16384
    assert found == pytest.approx(predictions, rel=5e-4)


def test_a_unit_normalization_of_300_never_learns_and_is_named():
    steps, state, found = trained("unit-normalization-300")
    assert [step.loss for step in steps] == [1.0] * 20
    assert all(not array.any() for array in state.variables.values())
    assert found.tolist() == [0] * 4
    (finding,) = findings("unit-normalization-300", "sum_overflow")
    assert (finding.layer, finding.severity) == ("un", "error")
    assert "square of 300 = 90000 > 65504" in finding.why


def test_a_group_normalization_in_tf_keras_loses_its_variance_and_is_named():
    steps, state, found = trained("group-normalization-variance")
    assert [step.loss for step in steps] == [1.0]
    assert state.scaler.loss_scale == 16384
    assert found.tolist() == [0]
    (finding,) = findings("group-normalization-variance", "sum_overflow")
    assert (finding.layer, finding.severity) == ("gn", "error")
    assert "> 65504" in finding.why
    assert finding.evidence["variance"] > 65504


def test_an_average_pooling_of_1600_hundreds_is_infinite_and_is_named():
    steps, state, found = trained("average-pooling-40x40-keras3")
    assert [(step.loss, step.applied) for step in steps] == [(np.inf, False)]
    assert state.scaler.loss_scale == 16384
    assert found.tolist() == [np.inf]
    (finding,) = findings("average-pooling-40x40-keras3", "sum_overflow")
    assert (finding.layer, finding.severity) == ("pool", "error")
    assert "1600 x 100 = 160000 > 65504" in finding.why


def test_nothing_claims_that_keras_3_rounds_the_inputs_of_a_layer_normalization_first():
    found = findings("layernorm-float32-input-keras3", "normalization_low_precision")
    assert [finding.why for finding in found if "inputs are float16" in finding.why] == []
