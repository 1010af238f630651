"""Random models, optimizers and losses, trained by Keras 3.15.1 and tf_keras 2.21 (`record_trainings.py`)."""

from __future__ import annotations

import gzip
import json
import re
from importlib import resources

import numpy as np
import pytest

from engine import model_from_config
from engine.policy import Policy
from tests.engine.training_data import rows, weights

FOLDER = resources.files("tests.recorded")
CASES = {
    f"{line}-{case['seed']}-{case['policy']}-{case['family']}-{case['compile']['optimizer']['class_name']}": case
    for line in ("keras3", "tf_keras")
    for case in json.loads(gzip.decompress((FOLDER / f"trainings_{line}.json.gz").read_bytes()))
}
TOLERANCES = {
    "float32": (2e-4, 2e-3),
    "float64": (1e-5, 1e-4),
    "mixed_float16": (3e-2, None),
    "mixed_bfloat16": (0.15, None),
}
"""Of losses, and of the last weights by the largest of an array: in 16 bits these say nothing, for where a gradient is
noise around 0, some optimizers make steps of full length of it."""
COUNTED = 0.09
"""What one row of 24 more or less may do to a share of rows, of those that float16 or bfloat16 put on the fence."""
NOISE = "key/bias"
"""It adds the same to all scores of a query, so that its gradient is 0 but for rounding."""


def plain(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


@pytest.mark.parametrize("name", CASES)
def test_a_training_goes_as_in_keras(name: str):
    case = CASES[name]
    model = model_from_config(case["model"], Policy(case["policy"]))
    model.compile(**case["compile"])
    shapes = [spec.shape for spec in model.weight_specs]
    model.set_weights([np.reshape(array, shape) for array, shape in zip(case["before"], shapes, strict=True)])
    by_row, by_class = weights(case["seed"], case["task"])
    x, y = rows(case["seed"], case["family"], case["task"])
    fitted = model.fit(x, y, shuffle=False, sample_weight=by_row, class_weight=by_class, **case["fit"]).history
    history = {plain(key): values for key, values in fitted.items()}
    of_losses, of_weights = TOLERANCES[case["policy"]]
    assert set(map(plain, case["history"])) <= set(history)
    for key, values in case["history"].items():
        allowed = of_losses if "loss" in key or of_weights is not None else max(3 * of_losses, COUNTED)
        np.testing.assert_allclose(history[plain(key)], values, rtol=allowed, atol=0.1 * allowed, err_msg=key)
    if of_weights is not None:
        for spec, array, expected in zip(model.weight_specs, model.get_weights(), case["after"], strict=True):
            if spec.path.endswith(NOISE):
                continue
            largest = max(float(np.abs(expected).max(initial=0)), 0.1)
            np.testing.assert_allclose(np.ravel(array), expected, rtol=0, atol=of_weights * largest, err_msg=spec.path)
