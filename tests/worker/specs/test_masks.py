"""Masks that a model cannot be trained with are found when the job is sent."""

from typing import Any

import pytest

from tests.worker.specs.jobs import LIMITS
from worker.specs.check import prepare
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec


def job(version: str, *layers: dict[str, Any]) -> dict[str, Any]:
    entry = {"class_name": "InputLayer", "config": {"name": "steps", "batch_input_shape": [None, 6, 4]}}
    tail = [{"class_name": "Flatten", "config": {}}, {"class_name": "Dense", "config": {"units": 1}}]
    config = {"name": "masked", "layers": [entry, *layers, *tail]}
    return {
        "model": {"class_name": "Sequential", "config": config, "keras_version": version},
        "compile": {"optimizer": "sgd", "loss": "mse"},
        "data": {"x": [[[0.5] * 4] * 6] * 8, "y": [[0.0], [1.0]] * 4},
    }


MASKING, SOFTMAX = {"class_name": "Masking", "config": {}}, {"class_name": "Softmax", "config": {}}


@pytest.mark.parametrize("version", ["2.4.0", "2.21.0", "3.15.1"])
def test_a_softmax_takes_no_mask_of_steps(version: str) -> None:
    """Observed: ValueError when the model is made, in TF 2.4.4, tf_keras 2.21 and Keras 3.15."""
    with pytest.raises(SpecError) as caught:
        prepare(JobSpec.model_validate(job(version, MASKING, SOFTMAX)), LIMITS)
    (fault,) = caught.value.errors
    assert (fault.code, fault.pointer) == ("shape_mismatch", "/model/config/layers/2")
    activation = {"class_name": "Activation", "config": {"activation": "softmax"}}
    prepare(JobSpec.model_validate(job(version, MASKING, activation)), LIMITS)
    prepare(JobSpec.model_validate(job(version, SOFTMAX, MASKING)), LIMITS)
