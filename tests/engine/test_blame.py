"""What made a step not finite: the first tensor, its shadow, and whether a scale or float32 would have helped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.failing import told
from engine.model import model_from_config
from engine.numerics.blame import Blame, FirstBad
from engine.numerics.wide_model import in_float32
from engine.training import FitOptions, StepRecord, Trainer, TrainingFailed
from tests.engine.test_training import fingerprint


def dense(name: str, units: int, **config: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": name, "units": units, "kernel_initializer": "ones", **config}}


def trainer(
    x: list[list[float]],
    *layers: dict[str, Any],
    y: list[list[float]] | None = None,
    policy: Any = "mixed_float16",
    keras: str = "2.15.0",
    optimizer: Any = "sgd",
    blamed: bool = True,
    epochs: int = 1,
) -> Trainer:
    inputs = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, len(x[0])]}}
    config = {"name": "m", "layers": [inputs, *layers]}
    model = model_from_config({"class_name": "Sequential", "config": config, "keras_version": keras}, policy)
    model.compile(optimizer, "mse")
    options = FitOptions(len(x), epochs, shuffle=False, terminate_on_nonfinite=blamed)
    return Trainer(model, np.array(x, np.float32), np.array(y or [[0.0]] * len(x), np.float32), options, 0)


def records(of: Trainer) -> list[StepRecord]:
    state, done = of.initial_state(), []
    while not of.finished(state):
        try:
            state, record = of.advance(state)
        except TrainingFailed as failed:
            return [*done, *([failed.done[1]] if failed.done else [])]
        if isinstance(record, StepRecord):
            done.append(record)
    return done


def blamed(of: Trainer) -> tuple[Blame, FirstBad]:
    blame = records(of)[-1].blame
    assert blame is not None
    assert blame.first_bad is not None
    return blame, blame.first_bad


def place(bad: FirstBad) -> tuple[str, str, str, str]:
    return bad.layer, bad.phase, bad.op, bad.tensor


def test_a_product_that_overflows_on_the_way_forward():
    blame, bad = blamed(trainer([[1.0, 1.0], [40000.0, 40000.0]], dense("d", 1)))
    assert place(bad) == ("d", "forward", "matmul", "intermediate")
    assert (bad.value, bad.shadow, bad.row, bad.sample, bad.count) == (np.inf, 80000.0, 1, 1, 1)
    assert (blame.reason, blame.float32_too, blame.any_scale_helps) == ("nonfinite_forward", False, False)
    assert "80000 becomes inf in float16" in told(blame)
    assert "cannot help" in told(blame)


def test_data_beyond_the_compute_dtype():
    blame, bad = blamed(trainer([[1.0, 70000.0]], dense("d", 1)))
    assert place(bad) == ("x", "forward", "cast", "input")
    assert (bad.shadow, bad.index, blame.reason) == (70000.0, (0, 1), "nonfinite_forward")
    assert "give the layers that take them the dtype float32" in told(blame)  # layer 'x' is float32 already


def test_a_weight_beyond_the_compute_dtype():
    large = {"class_name": "Constant", "config": {"value": 70000.0}}
    blame, bad = blamed(trainer([[1.0]], dense("d", 1, kernel_initializer=large)))
    assert place(bad) == ("d", "forward", "cast", "kernel")
    assert (blame.reason, bad.row) == ("nonfinite_forward", None)


@pytest.mark.parametrize("keras", ["2.4.0", "2.15.0", "3.15.1"])
def test_a_scale_that_is_too_large_is_the_gradients_fault(keras: str):
    blame, bad = blamed(trainer([[1.0]], dense("d", 1), dense("o", 1, dtype="float32"), y=[[-8.0]], keras=keras))
    assert place(bad) == ("d", "backward", "cast", "output_gradient")
    assert (bad.shadow, blame.reason) == (18.0 * 32768, "nonfinite_gradient")
    assert (blame.float32_too, blame.any_scale_helps) == (False, True)


def test_a_gradient_beyond_float16_at_scale_1_is_finite_lower_down_only_where_the_scale_may_go_there():
    large = {"y": [[-1e5]], "policy": "mixed_float16"}
    layers = (dense("d", 1), dense("o", 1, dtype="float32"))
    assert blamed(trainer([[1.0]], *layers, keras="2.15.0", **large))[0].any_scale_helps is False
    assert blamed(trainer([[1.0]], *layers, keras="3.15.1", **large))[0].any_scale_helps is True


def test_a_loss_value_alone():
    of = trainer([[1.0]] * 4, dense("d", 1, kernel_initializer="zeros"), y=[[400.0]] * 4, policy="float16")
    blame, bad = blamed(of)
    assert (bad.layer, bad.phase, bad.shadow) == ("", "loss", 160000.0)
    assert (blame.reason, blame.float32_too) == ("nonfinite_loss", False)
    assert records(of)[-1].applied is True


def test_nothing_over_nothing_is_not_the_precisions_fault():
    mean = {"class_name": "GlobalAveragePooling1D", "config": {"name": "gap"}}
    masking = {"class_name": "Masking", "config": {"name": "mask", "batch_input_shape": [None, 2, 1]}}
    config = {"name": "m", "layers": [masking, mean, dense("o", 1)]}
    model = model_from_config({"class_name": "Sequential", "config": config, "keras_version": "2.15.0"}, "float32")
    model.compile("sgd", "mse")
    x, y = np.array([[[1], [2]], [[0], [0]]], np.float32), np.zeros((2, 1), np.float32)
    blame, bad = blamed(Trainer(model, x, y, FitOptions(2, 1, shuffle=False, terminate_on_nonfinite=True), 0))
    assert (bad.layer, bad.row, blame.float32_too) == ("gap", 1, True)
    assert "the precision is not the cause" in told(blame)


def run(of: Trainer) -> Any:
    state = of.initial_state()
    while not of.finished(state):
        state, _ = of.advance(state)
    return fingerprint(state)


def test_weights_that_an_update_lost_from_finite_gradients():
    huge = {"class_name": "SGD", "config": {"learning_rate": 1e38}}
    of = trainer([[1.0]], dense("d", 1), y=[[9.0]], policy="float32", optimizer=huge, epochs=4)
    with pytest.raises(TrainingFailed, match="not finite any more when step 2 began") as caught:
        run(of)
    assert (caught.value.code, caught.value.step, caught.value.layer) == ("nonfinite_loss", 1, "d")
    assert caught.value.done is not None
    assert (caught.value.done[1].step, caught.value.done[1].reason) == (2, "nonfinite_weights")


def test_moving_statistics_that_are_not_finite_are_not_blamed():
    norm = {"class_name": "BatchNormalization", "config": {"name": "bn"}}
    of = trainer([[1.0], [2.0]], norm, dense("d", 1), dense("o", 1, dtype="float32"), y=[[-1e4]] * 2)
    state = of.initial_state()
    lost = {path: array * np.nan if "moving" in path else array for path, array in state.variables.items()}
    _, record = of.step(of.initial_state(lost))
    assert record.blame is not None
    assert record.blame.first_bad is not None
    assert (record.blame.reason, record.blame.first_bad.phase) == ("nonfinite_gradient", "backward")
    assert record.lost_before is None


@pytest.mark.parametrize("keras", ["2.15.0", "3.15.1"])
def test_looking_into_steps_changes_no_bit(keras: str):
    layers = (
        dense("d", 3, activation="relu"),
        {"class_name": "Dropout", "config": {"name": "drop", "rate": 0.5}},
        {"class_name": "BatchNormalization", "config": {"name": "bn"}},
        dense("o", 1, dtype="float32"),
    )
    x = [[1.0, 2.0], [3.0, 1.0], [0.5, 2.0], [1.0, 1.0]]
    y = [[-300.0], [20.0], [3.0], [1.0]]
    plain, looked = (
        trainer(x, *layers, y=y, keras=keras, blamed=blamed, epochs=20, optimizer="adam") for blamed in (False, True)
    )
    assert run(plain) == run(looked)
    assert sum(record.blame is not None for record in records(looked)) > 0


def test_only_the_first_steps_and_the_last_one_are_looked_into():
    of = trainer([[40000.0, 40000.0]], dense("d", 1), epochs=80)
    done = records(of)
    assert [record.step for record in done if record.blame] == [*range(1, 9), 50]
    assert {record.reason for record in done} == {"nonfinite_forward"}


def test_a_model_in_float32_keeps_what_is_no_float():
    config = {
        "name": "m",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 3], "dtype": "int32"}},
            {"class_name": "Embedding", "config": {"name": "e", "input_dim": 5, "output_dim": 2, "dtype": "bfloat16"}},
            {"class_name": "Bidirectional", "config": {"name": "b", "layer": {
                "class_name": "LSTM", "config": {"name": "l", "units": 2, "dtype": "mixed_float16"}}}},
            dense("o", 1),
        ],
    }  # fmt: skip
    network = model_from_config(
        {"class_name": "Sequential", "config": config, "keras_version": "2.15.0"}, "float16"
    ).network
    wide = in_float32(network)
    assert wide.inputs[0].input_dtype.name == "int32"
    assert {layer.policy.compute.name for layer in wide.layers[1:]} == {"float32"}
    assert {spec.dtype.name for spec in wide.weight_specs} == {"float32"}
    assert [spec.path for spec in wide.weight_specs] == [spec.path for spec in network.weight_specs]
