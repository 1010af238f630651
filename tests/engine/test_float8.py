"""Float8: what Keras 3 recorded, gradients, and that a resumed run is bit-identical."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.model import Model, model_from_config
from engine.tape import Array

RECORDED = json.loads((Path(__file__).parent / "data" / "float8_trajectories.json").read_text(encoding="utf-8"))


WIDE = [case for case in RECORDED["cases"] if "bfloat16" not in json.dumps(case["model"])]
NARROW = [case for case in RECORDED["cases"] if case not in WIDE]


def compiled(recorded: dict[str, Any]) -> Model:
    model = model_from_config(recorded["model"])
    model.compile(recorded["optimizer"], "mean_squared_error")
    set_to(model, recorded["initial"])
    return model


def set_to(model: Model, weights: dict[str, Any]) -> None:
    assert [spec.name for spec in model.weight_specs] == [path.rsplit("/", 1)[-1] for path in weights]
    model.set_weights([np.array(value, np.float32) for value in weights.values()])


def after_steps(recorded: dict[str, Any]) -> Iterator[tuple[Array, Array, dict[str, Any]]]:
    for x, y, step in zip(recorded["x"], recorded["y"], recorded["steps"], strict=True):
        yield np.array(x, np.float32), np.array(y, np.float32), step


@pytest.mark.parametrize("recorded", WIDE, ids=[case["name"] for case in WIDE])
def test_a_run_follows_the_one_that_keras_recorded(recorded: dict[str, Any]) -> None:
    model = compiled(recorded)
    close = {"rtol": 4e-6, "atol": 1e-6}
    for x, y, step in after_steps(recorded):
        logs = model.train_on_batch(x, y)
        np.testing.assert_allclose(logs["loss"], float(step["loss"]), **close)
        for value, (path, expected) in zip(model.get_weights(), step["weights"].items(), strict=True):
            np.testing.assert_allclose(value, expected, err_msg=path, **close)
    predicted = model.predict(np.array(recorded["x"][0], np.float32))
    np.testing.assert_allclose(predicted, recorded["predictions"], **close)


@pytest.mark.parametrize("recorded", NARROW, ids=[case["name"] for case in NARROW])
def test_each_step_in_bfloat16_is_near_the_recorded_one(recorded: dict[str, Any]) -> None:
    # TensorFlow's kernels round sums inside bfloat16 products elsewhere, so runs part; single steps do not.
    model = compiled(recorded)
    for x, y, step in after_steps(recorded):
        logs = model.train_on_batch(x, y)
        np.testing.assert_allclose(logs["loss"], float(step["loss"]), rtol=0.05)
        for value, (path, expected) in zip(model.get_weights(), step["weights"].items(), strict=True):
            if path.endswith(("_scale", "_amax_history")):
                np.testing.assert_allclose(value, expected, rtol=0.1, err_msg=path)
        set_to(model, step["weights"])
