"""Reports of losses and optimizers in low precision: each with what the library that wrote the model gives."""

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
    return json.loads((FOLDER / f"{name}.json").read_text())


class Run:
    """A case trained to its end, as Keras trains: whatever the loss is."""

    def __init__(self, name, changes=None):
        self.body = {**body(name), **(changes or {})}
        prepared = prepare(JobSpec.model_validate(self.body), Limits())
        x, y = (np.array(self.body["data"][key]) for key in ("x", "y"))
        fit = replace(prepared.trainer.fit, terminate_on_nonfinite=False)
        trainer = Trainer(prepared.model, x, y, fit, 0)
        state = trainer.initial_state()
        before = {path: array.copy() for path, array in state.variables.items()}
        self.steps = []
        while not trainer.finished(state):
            state, record = trainer.advance(state)
            if isinstance(record, StepRecord):
                self.steps.append(record)
        self.scale = state.scaler.loss_scale
        self.predictions = np.asarray(trainer.predict(state, x)).astype(np.float64)
        self.moved = sum(int((before[path] != array).sum()) for path, array in state.variables.items())
        self.weights = sum(array.size for array in before.values())

    @property
    def losses(self):
        return [step.loss for step in self.steps]

    @property
    def skipped(self):
        return sum(not step.applied for step in self.steps)


def findings(name, code):
    found = inspect_model(InspectRequest.model_validate(body(name)), Limits()).lint
    return [finding for finding in found if finding.code == code]


def test_the_mean_over_784_outputs_overflows_while_steps_are_applied():
    run = Run("mse-784-outputs")
    assert run.losses == [np.inf] * 5
    assert run.skipped == 0
    np.testing.assert_allclose(run.predictions, 0.000637, atol=5e-7)


def test_the_sum_over_784_outputs_is_foretold():
    (found,) = findings("mse-784-outputs", "sum_overflow")
    assert found.severity == "warning"
    assert (found.layer, found.pointer) == ("o", "/model/config/layers/1")
    assert "784 x 100 = 78400" in found.why
    assert (found.evidence["count"], found.evidence["mean"], found.evidence["sum"]) == (784, 100, 78400)


def test_the_sum_over_a_batch_overflows_until_it_fits():
    run = Run("loss-sum-over-batch")
    assert (len(run.steps), run.skipped, run.scale) == (120, 5, 1024)
    assert run.losses[:5] == [np.inf] * 5
    assert run.losses[-4:] == [164.125, 163.0, 161.875, 160.375]
    np.testing.assert_allclose(run.predictions[:2], 7.3867188, rtol=1e-7)


def test_the_sum_over_a_batch_is_foretold():
    (found,) = findings("loss-sum-over-batch", "sum_overflow")
    assert found.severity == "warning"
    assert found.layer == "o"
    assert "256 x 400 = 102400" in found.why


def test_tf_2_4_trains_the_class_that_float16_makes_of_a_label():
    run = Run("sparse-labels-above-2048")
    assert run.predictions.argmax(axis=-1).tolist() == [2048, 2052]
    (found,) = findings("sparse-labels-above-2048", "class_numbers_rounded")
    assert (found.severity, found.layer) == ("error", "o")
    assert "beyond 2048 do not fit" in found.why
    assert found.evidence["labels_beyond"] == 2


@pytest.mark.parametrize("version", ["2.15.0", "3.15.1"])
def test_later_lines_keep_class_numbers(version):
    model = body("sparse-labels-above-2048")["model"]
    run = Run("sparse-labels-above-2048", {"model": {**model, "keras_version": version}})
    assert run.predictions.argmax(axis=-1).tolist() == [2049, 2051]


def test_a_label_that_is_rounded_beyond_the_last_class_is_refused():
    case = body("sparse-labels-above-2048")
    case["data"]["y"] = [2049, 2099]
    with pytest.raises(Exception, match=r"label 2099 at row 1.*where it is 2100, but the output has 2100 units"):
        prepare(JobSpec.model_validate(case), Limits())


def test_adam_never_moves_in_bfloat16():
    run = Run("adam-bfloat16-never-moves")
    assert run.losses == [4.765625] * 50
    assert run.moved == 0
    assert run.weights == 25


def test_that_adam_never_moves_in_bfloat16_is_foretold():
    (found,) = findings("adam-bfloat16-never-moves", "update_swallowed")
    assert found.severity == "error"
    assert "beta_2 = 0.999 is 1 in bfloat16" in found.why
    assert "no update is ever made" in found.why
    assert "update_rounding" in found.fix
    assert "mixed_bfloat16" in found.fix
    assert found.evidence["beta_2"] == 0.999


@pytest.mark.parametrize(("rounding", "moved"), [("stochastic", 25), ("kahan", 21)])
def test_the_fix_that_is_offered_moves_weights(rounding, moved):
    job = body("adam-bfloat16-never-moves")
    optimizer = {"class_name": "Adam", "config": {"learning_rate": 0.001, "update_rounding": rounding}}
    run = Run("adam-bfloat16-never-moves", {"compile": {**job["compile"], "optimizer": optimizer}})
    assert run.moved == moved


def test_mixed_bfloat16_moves_every_weight():
    assert Run("adam-bfloat16-never-moves", {"policy": "mixed_bfloat16"}).moved == 25
