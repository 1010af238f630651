"""Training that begins with the weights of another training."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.conventions import CONVENTIONS
from engine.errors import InvalidValue, ShapeMismatch
from engine.model import Model, model_from_config
from engine.starting import begun_with, misfits
from engine.state import TrainState
from engine.tape import Array
from engine.training import FitOptions, Trainer


def model(policy: str = "float32", units: int = 2, optimizer: Any = "adam", line: str = "tf2.4") -> Model:
    dense = {"name": "d", "units": units, "batch_input_shape": [None, 3]}
    config = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": dense}]}}
    made = model_from_config(config, policy, CONVENTIONS[line])
    made.compile(optimizer, "mse")
    return made


def begin(of: Model) -> Callable[[Mapping[str, Array]], TrainState]:
    row = np.zeros((1, 3), np.float32), np.zeros((1, of.output_shapes[0][-1] or 1), np.float32)
    return Trainer(of, *row, FitOptions(1, 1), 0).initial_state


def test_weights_are_rounded_to_the_new_models_grid():
    saved, narrow = model().state, model("float16")
    begun = begun_with(begin(narrow), saved, narrow.weight_specs, optimizer=False)
    expected = saved.variables["d/kernel"].astype(np.float16).astype(np.float32)
    assert np.array_equal(begun.variables["d/kernel"], expected)
    assert not np.array_equal(expected, saved.variables["d/kernel"])
    assert (begun.step, begun.iterations) == (0, 0)


def test_the_optimizer_goes_along_when_it_is_asked_to():
    made = model()
    saved = replace(made.state, iterations=7, step=9, slots={k: v + 1 for k, v in made.state.slots.items()})
    begun = begun_with(begin(made), saved, made.weight_specs, optimizer=True)
    assert (begun.iterations, begun.step) == (7, 0)
    assert all(np.array_equal(begun.slots[name], saved.slots[name]) for name in saved.slots)


def test_another_optimizers_state_is_refused():
    made = model()
    with pytest.raises(InvalidValue, match="optimizer state does not fit"):
        begun_with(begin(made), model(optimizer="sgd").state, made.weight_specs, optimizer=True)


def test_what_does_not_fit_is_told_by_layer():
    made = model(units=4)
    told = misfits(made.weight_specs, {"d/kernel": (3, 2), "d/bias": (4,), "e/kernel": (1,)})
    assert told == {
        "d": "kernel is of shape [3, 4] here and of shape [3, 2] there",
        "e": "kernel is not here and of shape [1] there",
    }
    with pytest.raises(ShapeMismatch, match="Layer 'd': kernel is of shape"):
        begun_with(begin(made), model().state, made.weight_specs, optimizer=False)


@pytest.mark.parametrize("line", ["tf_keras", "keras3"])
def test_averages_begin_with_the_weights_that_the_training_begins_with(line: str):
    """Keras 2's averages do; those of Keras 3 take the whole of the first update."""
    made = model(line=line, optimizer={"class_name": "SGD", "config": {"use_ema": True}})
    other = replace(made.state, variables={path: array + 1 for path, array in made.state.variables.items()})
    begun = begun_with(begin(made), other, made.weight_specs, optimizer=False)
    averages = {path: begun.slots[f"average/{path}"] for path in begun.variables}
    assert all(np.array_equal(averages[path], begun.variables[path]) == (line == "tf_keras") for path in averages)
    made.set_weights([array + 1 for array in made.get_weights()])
    made.fit(np.zeros((1, 3), np.float32), np.zeros((1, 2), np.float32))
    assert np.allclose(made.get_weights()[0], other.variables["d/kernel"])
