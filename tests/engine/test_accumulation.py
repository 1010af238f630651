"""Gradient accumulation step by step beside Keras 3.15.1 (`record_accumulation.py`)."""

import json
from importlib import resources

import numpy as np
import pytest

from engine import model_from_config
from engine.training import FitOptions, StepRecord, Trainer
from tests.engine.accumulation_data import CASES, WEIGHTS, X, Y

RECORDED = json.loads((resources.files("tests.recorded") / "accumulation.json").read_text())
TOLERANCES = {"float32": 3e-6, "mixed_float16": 2e-3, "float16": 4e-3, "bfloat16": 2e-2}


@pytest.fixture(scope="module", params=CASES)
def beside(request):
    """Return a case, what Keras did, the records of the steps here, the weights after each, and those at the end."""
    case, wanted = CASES[request.param], RECORDED[request.param]
    model = model_from_config(wanted["model"], case["policy"])
    model.compile(wanted["optimizer"], "mse")
    x = np.array(X, np.float32) * np.array(case["rows"], np.float32)[:, None]
    trainer = Trainer(model, x, np.array(Y, np.float32), FitOptions(batch_size=2, epochs=2, shuffle=False), 0)
    paths = [spec.path for spec in trainer.network.weight_specs]
    first = {path: np.array(value, np.float32) for path, value in zip(paths, WEIGHTS, strict=True)}
    state, steps, weights = trainer.initial_state(first), [], []
    while not trainer.finished(state):
        state, record = trainer.advance(state)
        if isinstance(record, StepRecord):
            steps.append(record)
            weights.append(np.concatenate([state.variables[path].ravel() for path in paths]))
    ended = np.concatenate([state.variables[path].ravel() for path in paths])
    return case, wanted, steps, weights, ended


def test_iterations_advance_as_the_optimizer_shows_them(beside):
    _, wanted, steps, _, _ = beside
    assert [step.iterations for step in steps] == [step["iterations"] for step in wanted["steps"]]


def test_the_loss_scale_sees_every_step(beside):
    _, wanted, steps, _, _ = beside
    for step, real in zip(steps, wanted["steps"], strict=True):
        if real["scale"] is not None:
            assert step.loss_scale_after == real["scale"]


def test_schedules_see_every_step_that_was_not_skipped(beside):
    _, wanted, steps, _, _ = beside
    for step, before in zip(steps[1:], wanted["steps"], strict=False):
        np.testing.assert_allclose(step.learning_rate, before["learning_rate"], rtol=1e-6)


def test_steps_with_infinite_gradients_are_skipped_inside_a_window(beside):
    case, _, steps, _, _ = beside
    skipped = {step.step for step in steps if not step.applied}
    assert skipped >= ({2, 6} if max(case["rows"]) > 1 else set())


def test_weights_after_every_step(beside):
    case, wanted, _, weights, ended = beside
    allowed = TOLERANCES[case["policy"]]
    for index, (found, real) in enumerate(zip(weights, wanted["steps"], strict=True)):
        np.testing.assert_allclose(found, real["weights"], rtol=allowed, atol=allowed, err_msg=f"step {index + 1}")
    np.testing.assert_allclose(ended, wanted["ended"], rtol=allowed, atol=allowed)
