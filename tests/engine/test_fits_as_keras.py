"""Trainings of Keras 3.15 with callbacks, several outputs and weights, recorded; ours must do the same."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
import pytest

from engine import model_from_config
from engine.crew import Saving
from engine.errors import EngineError
from engine.model import Model
from engine.tape import Array

CASES = {case["name"]: case for case in json.loads((resources.files("tests.recorded") / "fits.json").read_text())}


def arrays(value: Any, several: bool) -> Any:
    return [np.array(item) for item in value] if several else np.array(value)


def model_of(case: dict[str, Any]) -> Model:
    model = model_from_config(case["model"])
    model.compile(**case["compile"])
    shapes = [spec.shape for spec in model.weight_specs]
    values = zip(case["initial"], shapes, strict=True)
    model.set_weights([np.array(value, np.float32).reshape(shape) for value, shape in values])
    return model


Saved = list[tuple[str, list[Array]]]


def fit(case: dict[str, Any], model: Model, saved: Saved) -> dict[str, list[float]]:
    options = dict(case["fit"])
    if "class_weight" in options:
        options["class_weight"] = {int(label): weight for label, weight in options["class_weight"].items()}
    several = len(model.input_shapes) > 1
    given = case["sample_weight"]

    def save(saving: Saving) -> None:
        saved.append((saving.path, [array.ravel().copy() for array in saving.state.variables.values()]))

    history = model.fit(
        arrays(case["x"], several),
        arrays(case["y"], several),
        shuffle=False,
        callbacks=case["callbacks"],
        sample_weight=None if given is None else arrays(given, isinstance(given[0], list)),
        save=save,
        **options,
    )
    return history.history


def numbers(values: Any) -> np.ndarray:
    return np.array([float(value) for value in values])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "error" not in case["expected"]])
def test_a_training_does_what_it_did_in_keras(name):
    case = CASES[name]
    expected, saved = case["expected"], Saved()
    model = model_of(case)
    history = fit(case, model, saved)
    assert sorted(history) == sorted(expected["history"])
    for key, values in expected["history"].items():
        np.testing.assert_allclose(numbers(history[key]), numbers(values), rtol=2e-4, atol=1e-6, err_msg=key)
    assert [path for path, _ in saved] == [path for path, _ in expected["saved"]]
    for (path, variables), (_, values) in zip(saved, expected["saved"], strict=True):
        for array, wanted in zip(variables, values, strict=True):
            np.testing.assert_allclose(array, np.ravel(wanted), rtol=1e-3, atol=1e-4, err_msg=path)
    for got, values in zip(model.get_weights(), expected["weights"], strict=True):
        np.testing.assert_allclose(got.ravel(), numbers(values), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "error" in case["expected"]])
def test_what_keras_refuses_is_refused(name):
    case = CASES[name]
    with pytest.raises((EngineError, ValueError)):
        fit(case, model_of(case), [])
