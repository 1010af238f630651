"""Jobs of several inputs and outputs, and with callbacks: each fault is pointed at where it stands."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.engine.test_callbacks import TWO_ENDS
from worker.settings import Limits
from worker.specs.check import Prepared, prepare
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec

LOSSES = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
DATA: dict[str, Any] = {
    "x": {"a": [[0.0, 1.0, 2.0], [1.0, 0.0, 0.5]] * 3, "b": [[0.5, 0.25], [0.0, 1.0]] * 3},
    "y": {"kind": [0, 1, 2, 0, 1, 2], "size": [[1.0], [0.5]] * 3},
}
JOB: dict[str, Any] = {
    "model": TWO_ENDS,
    "compile": {"optimizer": "sgd", "loss": LOSSES},
    "fit": {"epochs": 3},
    "data": DATA,
}
SAVING = {"class_name": "ModelCheckpoint", "config": {"filepath": "best.keras"}}


def checked(changes: dict[str, Any], limits: Limits | None = None) -> Prepared:
    job = copy.deepcopy(JOB)
    for pointer, value in changes.items():
        *holders, last = pointer.split("/")[1:]
        here = job
        for part in holders:
            here = here[part]
        here[last] = value
    return prepare(JobSpec.model_validate(job), limits or Limits())


def saving(**config: Any) -> dict[str, Any]:
    return {"/fit/callbacks": [{"class_name": "ModelCheckpoint", "config": config}]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"/data/x": {"a": DATA["x"]["a"]}}, ("invalid_value", "/data/x")),
        ({"/data/x": DATA["x"]["a"]}, ("invalid_value", "/data/x")),
        ({"/data/x": {}}, ("empty_data", "/data/x")),
        ({"/data/x/b": [[1.0, 2.0]] * 5}, ("length_mismatch", "/data/x/b")),
        ({"/data/x/b": [[1.0, "2"]] * 6}, ("data_invalid", "/data/x/b/0/1")),
        ({"/data/x/b": [[1.0, 2.0, 3.0]] * 6}, ("shape_mismatch", "/data/x/b")),
        ({"/data/y/kind": [0, 1, 2, 3, 1, 2]}, ("label_out_of_range", "/data/y/kind/3")),
        ({"/data/y": {"kind": [0] * 6}}, ("invalid_value", "/data/y")),
        ({"/data/y/size": [[1.0]] * 5}, ("length_mismatch", "/data/y/size")),
        ({"/data/sample_weight": {"kind": [1.0] * 5}}, ("length_mismatch", "/data/sample_weight/kind")),
        ({"/data/sample_weight": {"sort": [1.0] * 6}}, ("invalid_value", "/data/sample_weight")),
        ({"/compile/loss": {"sort": "mse"}}, ("invalid_value", "/compile/loss")),
        ({"/compile/loss": {"kind": "mze", "size": "mse"}}, ("unknown_loss", "/compile/loss/kind")),
        ({"/compile/loss": [None, None]}, ("invalid_type", "/compile/loss")),
        ({"/compile/loss_weights": [1.0]}, ("invalid_value", "/compile/loss_weights")),
        ({"/compile/loss_weights": {"kind": "1"}}, ("invalid_value", "/compile/loss_weights/kind")),
        ({"/compile/metrics": {"kind": ["accuracy", "acuracy"]}}, ("unknown_metric", "/compile/metrics/kind/1")),
        ({"/compile/metrics": [["mse"], None]}, ("metric_mismatch", "/compile/metrics/0/0")),
        ({"/compile/weighted_metrics": {"sort": ["mse"]}}, ("invalid_value", "/compile/weighted_metrics")),
        ({"/fit/class_weight": {"0": 2.0}}, ("invalid_value", "/fit/class_weight")),
        ({"/fit/callbacks": [SAVING, {"class_name": "EarlyStopping", "config": {"monitor": "val_size_loss"}}]},
         ("invalid_value", "/fit/callbacks/1/config/monitor")),
        (saving(filepath="out/best.keras"), ("invalid_value", "/fit/callbacks/0/config/filepath")),
        (saving(filepath="model.keras"), ("invalid_value", "/fit/callbacks/0/config/filepath")),
        (saving(filepath="{val_auc}.keras"), ("invalid_value", "/fit/callbacks/0/config/filepath")),
        (saving(filepath="best.h5"), ("invalid_value", "/fit/callbacks/0/config/filepath")),
    ],
)  # fmt: skip
def test_a_fault_is_pointed_at(changes: dict[str, Any], expected: tuple[str, str]):
    with pytest.raises(SpecError) as refused:
        checked(changes)
    assert expected in [(error.code, error.pointer) for error in refused.value.errors]


def test_no_more_files_are_saved_than_may_be():
    limits = Limits(saved_models=2)
    assert checked(saving(filepath="best.keras"), limits).summary.epochs == 3
    with pytest.raises(SpecError, match="up to 3 files"):
        checked(saving(filepath="{epoch}.keras"), limits)


def test_a_callback_that_will_not_act_is_doubted():
    waiting = {"class_name": "EarlyStopping", "config": {"monitor": "val_loss"}}
    (notice,) = checked({"/fit/callbacks": [waiting]}).warnings
    assert (notice.code, notice.pointer) == ("monitor_not_measured", "/fit/callbacks/0/config/monitor")
    assert checked({"/fit/callbacks": [waiting], "/fit/validation_split": 0.5}).warnings == ()


def test_an_output_without_a_loss_needs_no_labels():
    prepared = checked(
        {"/compile/loss": ["sparse_categorical_crossentropy", None], "/data/y": {"kind": DATA["y"]["kind"]}}
    )
    assert prepared.trainer.names == ("loss",)
