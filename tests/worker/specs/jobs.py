"""Jobs for tests: one that passes, and copies of it with something changed."""

import copy
from typing import Any

from worker.settings import Limits
from worker.specs.check import Prepared, prepare
from worker.specs.job import JobSpec

LIMITS = Limits()
DYNAMIC = {
    "class_name": "DynamicLossScale",
    "config": {"initial_loss_scale": 16777216.0, "increment_period": 50, "multiplier": 2.0},
}
JOB: dict[str, Any] = {
    "model": {
        "class_name": "Sequential",
        "config": {
            "name": "small",
            "layers": [
                {
                    "class_name": "Dense",
                    "config": {"name": "d1", "units": 32, "activation": "relu", "batch_input_shape": [None, 64]},
                },
                {
                    "class_name": "Dense",
                    "config": {"name": "d2", "units": 10, "activation": "softmax", "dtype": "float32"},
                },
            ],
        },
    },
    "policy": {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": DYNAMIC}},
    "compile": {
        "optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.01}},
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    },
    "fit": {"batch_size": 32, "epochs": 3, "validation_split": 0.1},
    "data": {"dataset": "digits"},
    "seed": 7,
}
D1, D2 = "/model/config/layers/0", "/model/config/layers/1"


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the job with values set at JSON pointers; `...` removes the key."""
    job: dict[str, Any] = copy.deepcopy(JOB)
    for pointer, value in changes.items():
        *holders, last = [int(part) if part.isdigit() else part for part in pointer.split("/")[1:]]
        here: Any = job
        for part in holders:
            here = here[part]
        if value is ...:
            del here[last]
        else:
            here[last] = value
    return job


def prepared(changes: dict[str, Any] | None = None, limits: Limits = LIMITS) -> Prepared:
    """Check the changed job."""
    return prepare(JobSpec.model_validate(changed(changes or {})), limits)
