"""Training that begins with the weights of another training."""

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import InvalidValue, ShapeMismatch
from engine.model import Model, model_from_config
from engine.starting import begun_with, misfits


def model(policy: str = "float32", units: int = 2, optimizer: str = "adam") -> Model:
    dense = {"name": "d", "units": units, "batch_input_shape": [None, 3]}
    made = model_from_config(
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": dense}]}}, policy
    )
    made.compile(optimizer, "mse")
    return made


def test_weights_are_rounded_to_the_new_models_grid():
    saved, narrow = model().state, model("float16")
    begun = begun_with(narrow.state, saved, narrow.weight_specs, optimizer=False)
    expected = saved.variables["d/kernel"].astype(np.float16).astype(np.float32)
    assert np.array_equal(begun.variables["d/kernel"], expected)
    assert not np.array_equal(expected, saved.variables["d/kernel"])
    assert (begun.step, begun.iterations) == (0, 0)


def test_the_optimizer_goes_along_when_it_is_asked_to():
    made = model()
    saved = replace(made.state, iterations=7, step=9, slots={k: v + 1 for k, v in made.state.slots.items()})
    begun = begun_with(made.state, saved, made.weight_specs, optimizer=True)
    assert (begun.iterations, begun.step) == (7, 0)
    assert all(np.array_equal(begun.slots[name], saved.slots[name]) for name in saved.slots)


def test_another_optimizers_state_is_refused():
    made = model()
    with pytest.raises(InvalidValue, match="optimizer state does not fit"):
        begun_with(made.state, model(optimizer="sgd").state, made.weight_specs, optimizer=True)


def test_what_does_not_fit_is_told_by_layer():
    made = model(units=4)
    told = misfits(made.weight_specs, {"d/kernel": (3, 2), "d/bias": (4,), "e/kernel": (1,)})
    assert told == {
        "d": "kernel is of shape [3, 4] here and of shape [3, 2] there",
        "e": "kernel is not here and of shape [1] there",
    }
    with pytest.raises(ShapeMismatch, match="Layer 'd': kernel is of shape"):
        begun_with(made.state, model().state, made.weight_specs, optimizer=False)
