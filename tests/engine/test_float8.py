"""Float8: what Keras 3 recorded, gradients, and that a resumed run is bit-identical."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine import ops
from engine.conventions import KERAS3
from engine.dtypes import FLOAT8_E4M3FN, FLOAT32
from engine.errors import InvalidValue, Unsupported
from engine.model import Model, model_from_config
from engine.observation import Recorder
from engine.ops.float8 import next_scale, quantized_and_back
from engine.optimizers import LossScaleOptimizer
from engine.tape import Array, Tape
from engine.training import FitOptions, Trainer
from tests.engine.problems import data, run
from tests.engine.test_training import fingerprint, saved_and_read

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
    for x, y, step in after_steps(recorded):
        logs = model.train_on_batch(x, y)
        np.testing.assert_allclose(logs["loss"], float(step["loss"]), rtol=4e-6, atol=1e-6)
        for value, (path, expected) in zip(model.get_weights(), step["weights"].items(), strict=True):
            np.testing.assert_allclose(value, expected, err_msg=path, rtol=4e-6, atol=1e-6)
    predicted = model.predict(np.array(recorded["x"][0], np.float32))
    np.testing.assert_allclose(predicted, recorded["predictions"], rtol=4e-6, atol=1e-6)


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


def classifier(dtype: Any = None) -> dict[str, Any]:
    """Return a model of layers that take float8 and layers that do not."""
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 6]}},
        {"class_name": "Dense", "config": {"units": 8, "name": "one", "dtype": dtype}},
        {"class_name": "LayerNormalization", "config": {"name": "norm"}},
        {"class_name": "Activation", "config": {"activation": "relu", "name": "act"}},
        {"class_name": "Dense", "config": {"units": 3, "activation": "softmax", "name": "two", "dtype": "float32"}},
    ]
    return {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}


FLOAT8: list[Any] = [
    "float8_from_float32",
    "float8_from_mixed_bfloat16",
    "float8_from_mixed_float16",
    {
        "class_name": "QuantizedFloat8DTypePolicy",
        "config": {"mode": "float8", "source_name": "float16", "amax_history_length": 3},
    },
]


@pytest.mark.parametrize("policy", FLOAT8, ids=str)
@pytest.mark.parametrize("steps", [None, 2])
def test_a_run_resumed_at_every_step_is_bit_identical(policy: Any, steps: int | None) -> None:
    def trainer() -> Trainer:
        model = model_from_config(classifier(), policy, KERAS3)
        optimizer = {"class_name": "Adam", "config": {"gradient_accumulation_steps": steps, "use_ema": True}}
        model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
        return Trainer(model, *data(), FitOptions(8, 2), 1)

    whole, _, _ = run(trainer(), trainer().initial_state())
    state = trainer().initial_state()
    while not trainer().finished(state):
        state, _ = trainer().advance(saved_and_read(state))
    assert fingerprint(state) == fingerprint(whole)
    assert whole.variables["one/inputs_amax_history"].max() > 0
    assert not [name for name in whole.slots if "amax" in name and not name.startswith("gradient_accumulator")]


def test_layers_that_do_not_multiply_follow_the_policy_beneath() -> None:
    model = model_from_config(classifier(), "float8_from_mixed_bfloat16", KERAS3)
    assert [layer.policy.name for layer in model.layers[1:]] == [
        "float8_from_mixed_bfloat16",
        "mixed_bfloat16",
        "mixed_bfloat16",
        "float32",
    ]
    assert model.weight_specs[1].shape == (1024,)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.optimizer.rule.initial_scale == 1.0


def test_keras_wraps_no_optimizer_for_float8_from_mixed_float16() -> None:
    model = model_from_config(classifier(), "float8_from_mixed_float16", KERAS3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert not isinstance(model.optimizer, LossScaleOptimizer)


def test_a_layer_that_keras_cannot_run_in_float8_is_refused() -> None:
    config = classifier()
    config["config"]["layers"][3]["config"]["dtype"] = "float8_from_mixed_bfloat16"
    with pytest.raises(Unsupported, match="Activation does not compute in float8") as caught:
        model_from_config(config)
    assert caught.value.path == ("config", "layers", 3, "config", "dtype")


@pytest.mark.parametrize(
    ("policy", "error", "text"),
    [
        ("int8_from_float32", Unsupported, "weights are integers and cannot be trained"),
        ("float8_from_int8", InvalidValue, "floats of at least 16 bits"),
        ("float8_from_nothing", InvalidValue, "Cannot convert 'nothing'"),
        ({**FLOAT8[3], "config": {"mode": "float8", "amax_history_length": 0}}, InvalidValue, "at least 1, got 0"),
        ({**FLOAT8[3], "config": {"mode": "int4"}}, Unsupported, "cannot be trained"),
    ],
)
def test_policies_that_nothing_trains_in_are_refused(policy: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        model_from_config(classifier(), policy)
    with pytest.raises(error, match=text):
        model_from_config(classifier(policy))


@pytest.mark.parametrize("policy", FLOAT8, ids=str)
def test_a_layer_writes_its_float8_policy_as_keras_does(policy: Any) -> None:
    model = model_from_config(classifier(policy), "float32", KERAS3)
    written = model.get_config()["config"]["layers"][1]["config"]["dtype"]
    assert written["class_name"] == "QuantizedFloat8DTypePolicy"
    again = model_from_config(classifier(written), "float32", KERAS3)
    assert again.layers[1].policy == model.layers[1].policy


MAP: dict[str, Any] = {
    "class_name": "DTypePolicyMap",
    "config": {
        "default_policy": "mixed_bfloat16",
        "policy_map": {
            "m/one": {"class_name": "QuantizedFloat8DTypePolicy", "config": {"mode": "float8"}},
            "m/n.*": {"class_name": "DTypePolicy", "config": {"name": "float32"}},
        },
    },
}


def test_a_map_gives_each_layer_the_policy_of_its_path() -> None:
    model = model_from_config(classifier(), MAP, KERAS3)
    names = [layer.policy.name for layer in model.layers[1:]]
    assert names == ["float8_from_float32", "float32", "mixed_bfloat16", "float32"]
    assert model.policy.name == "map_mixed_bfloat16"
    by_layer = model_from_config(classifier(MAP), "float16", KERAS3)
    assert by_layer.layers[1].policy.name == "float8_from_float32"
    model.compile("adam", "sparse_categorical_crossentropy")
    first, last = (model.fit(*data(), epochs=1).history["loss"][0] for _ in range(2))
    assert last < first


def test_a_map_of_float16_scales_no_loss() -> None:
    model = model_from_config(classifier(), {**MAP, "config": {**MAP["config"], "default_policy": "mixed_float16"}})
    model.compile("adam", "sparse_categorical_crossentropy")
    assert not isinstance(model.optimizer, LossScaleOptimizer)


def test_the_gradient_goes_straight_through_and_is_quantized_on_its_way_back() -> None:
    tape = Tape()
    x, scale, history = (
        tape.leaf(np.array(values, np.float32), FLOAT32) for values in ([500.0, 1.03, -3e-3], 1.0, [8.0, 2.0])
    )
    y = ops.float8_input(x, scale, history, training=True)
    assert y.data.tolist() == [448.0, 1.0, -0.00390625]
    z = ops.float8_output(y, scale, history)
    cotangent = np.array([1e6, 1.1, 1e-9], np.float32)
    by_y, by_x = tape.gradient(z, [y, x], seed=cotangent)
    assert by_y is not None
    assert by_x is not None
    assert by_y.tolist() == by_x.tolist() == [57344.0, 1.0, 0.0]


def test_scale_and_history_travel_as_gradients() -> None:
    tape = Tape()
    x, scale, history = (
        tape.leaf(np.array(values, np.float32), FLOAT32) for values in ([[5.0, -7.0]], 2.0, [4.0, 1.0, 3.0])
    )
    y = ops.float8_input(x, scale, history, training=True)
    new_scale, new_history = tape.gradient(y, [scale, history], seed=np.ones_like(y.data))
    assert new_scale is not None
    assert new_history is not None
    np.testing.assert_allclose(new_scale, 4 / 448, rtol=1e-6)
    assert new_history.tolist() == [7.0, 3.0, 4.0]


@pytest.mark.parametrize("largest", [0.0, np.inf, np.nan])
def test_a_scale_without_a_size_stays(largest: float) -> None:
    found = next_scale(np.array([largest, 0], np.float32), np.float32(0.25), FLOAT8_E4M3FN)
    assert found == np.float32(0.25)


@given(arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e4, 1e4, width=32)), st.floats(2.0**-8, 2.0**8))
def test_quantizing_twice_changes_nothing_more(x: Array, scale: float) -> None:
    by = np.float32(2.0 ** np.round(np.log2(scale)))
    once = quantized_and_back(x, by, FLOAT8_E4M3FN, FLOAT32)
    assert np.array_equal(quantized_and_back(once, by, FLOAT8_E4M3FN, FLOAT32), once)
    assert np.abs(once).max() <= 448 * by


def test_evaluation_moves_no_scale() -> None:
    model = model_from_config(classifier(), "float8_from_mixed_bfloat16", KERAS3)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = data()
    model.fit(x, y)
    before = [weight.copy() for weight in model.get_weights()]
    model.evaluate(x, y)
    model.predict(x)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_a_frozen_layer_keeps_its_scales() -> None:
    config = classifier()
    config["config"]["layers"][1]["config"]["trainable"] = False
    model = model_from_config(config, "float8_from_mixed_bfloat16", KERAS3)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data())
    assert model.variables["one/inputs_scale"] == 1
    assert not model.variables["one/inputs_amax_history"].any()


def test_observers_see_float8() -> None:
    recorder = Recorder(last=2)
    model = model_from_config(classifier(), "float8_from_mixed_bfloat16", KERAS3)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data(), observer=recorder)
    assert [s.step for s in recorder.seen if s.op == "float8_input" and s.phase == "forward"] == [1, 1, 2, 2]
    assert [s.values.shape for s in recorder.of("one", "inputs_amax_history_gradient")] == [(1024,), (1024,)]
