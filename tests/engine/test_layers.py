"""The contract that every layer keeps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine import layers
from engine.conventions import CONVENTIONS, KERAS3, TF24
from engine.dtypes import FLOAT64, INT64
from engine.errors import EngineError, InvalidType, InvalidValue, ShapeMismatch, Unsupported
from engine.layers import LAYERS, Layer
from engine.policy import Policy
from engine.rounding import round_to
from engine.run import Noise, Run
from engine.tape import Array, Tape, Tensor
from tests.engine.gradients import check_gradients

CONFIGS: dict[str, list[dict[str, Any]]] = {
    "Activation": [{"activation": name} for name in ("softmax", "relu", "hard_sigmoid", "silu")],
    "BatchNormalization": [{}, {"axis": 1, "momentum": 0.9}, {"center": False, "scale": False}, {"trainable": False}],
    "Dense": [
        {"units": 4},
        {"units": 3, "activation": "tanh", "use_bias": False},
        {"units": 2, "kernel_regularizer": "l2", "bias_regularizer": {"class_name": "L1L2", "config": {"l1": 0.5}}},
    ],
    "Dropout": [{"rate": 0.5}, {"rate": 0.0}, {"rate": 0.25, "seed": 3}],
    "Flatten": [{}],
    "InputLayer": [{"batch_input_shape": [None, 5]}],
    "ReLU": [{}, {"max_value": 4.0, "negative_slope": 0.25, "threshold": 0.5}],
    "Softmax": [{}, {"axis": 1}],
}
CASES = [(name, config) for name, configs in CONFIGS.items() for config in configs]
POLICIES = ["float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16"]
INPUT = (6, 5)


def made(name: str, config: dict[str, Any], policy: str = "float32", line: str = "tf2.4") -> Layer:
    return layers.from_config({"class_name": name, "config": config}, CONVENTIONS[line], Policy(policy))


def arrays_of(layer: Layer, shape: tuple[int, ...] = INPUT) -> dict[str, Array]:
    rng = np.random.default_rng(5)
    return {
        spec.path: round_to(spec.initializer(spec.shape, rng).astype(spec.dtype.storage), spec.dtype)
        for spec in layer.weight_specs(shape)
    }


def called(layer: Layer, x: Array, *, training: bool = False) -> Tensor:
    run = Run(layer.weight_specs(x.shape), arrays_of(layer, x.shape), training=training, noise=Noise(1, 2))
    return layer(run, Tensor(x, layer.conventions.floatx))


def test_every_layer_is_covered() -> None:
    assert set(CONFIGS) == set(LAYERS)


@pytest.mark.parametrize("line", CONVENTIONS)
@pytest.mark.parametrize(("name", "config"), CASES)
def test_config_round_trip(name: str, config: dict[str, Any], line: str) -> None:
    layer = made(name, config, "mixed_float16", line)
    serialized = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.from_config(serialized, CONVENTIONS[line])
    assert layers.serialize(again) == serialized
    assert again.policy.compute_dtype == layer.policy.compute_dtype


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "config"), CASES)
def test_output_shape_dtype_and_grid(name: str, config: dict[str, Any], policy: str) -> None:
    layer = made(name, config, policy)
    x = np.random.default_rng(1).normal(size=INPUT).astype(np.float32)
    output = called(layer, x, training=True)
    assert output.shape == tuple(layer.compute_output_shape(INPUT))
    assert output.dtype.name == layer.policy.compute_dtype
    assert output.data.dtype == output.dtype.storage
    assert np.array_equal(output.data, round_to(output.data.copy(), output.dtype))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "config"), CASES)
def test_variables_live_in_the_variable_dtype(name: str, config: dict[str, Any], policy: str) -> None:
    layer = made(name, config, policy)
    for spec in layer.weight_specs(INPUT):
        wide = name == "BatchNormalization" and layer.policy.variable.low_precision
        assert spec.dtype.name == ("float32" if wide else layer.policy.variable_dtype)


@pytest.mark.parametrize(("name", "config"), [case for case in CASES if case[0] != "Dropout"])
def test_gradients(name: str, config: dict[str, Any]) -> None:
    layer = made(name, config, "float64")
    specs = layer.weight_specs(INPUT)
    trainable = [spec for spec in specs if spec.trainable]
    fixed = {path: array for path, array in arrays_of(layer).items() if path not in {spec.path for spec in trainable}}

    def output(x: Tensor, *weights: Tensor) -> Tensor:
        run = Run([spec for spec in specs if not spec.trainable], fixed, training=True)
        run.variables.update({spec.path: weight for spec, weight in zip(trainable, weights, strict=True)})
        return layer(run, x)

    x = np.random.default_rng(3).normal(size=INPUT) + 0.011
    check_gradients(output, x, *[arrays_of(layer)[spec.path] for spec in trainable])


@pytest.mark.parametrize(("name", "config"), CASES)
def test_inference_is_deterministic_and_leaves_no_updates(name: str, config: dict[str, Any]) -> None:
    layer = made(name, config)
    x = np.random.default_rng(1).normal(size=INPUT).astype(np.float32)
    run = Run(layer.weight_specs(INPUT), arrays_of(layer))
    first = layer(run, Tensor(x, layer.conventions.floatx))
    assert np.array_equal(first.data, called(layer, x).data)
    assert run.updates == {}


def test_integers_are_not_cast() -> None:
    layer = made("Flatten", {}, "mixed_float16")
    whole = Tensor(np.arange(6).reshape(2, 3), INT64)
    assert layer(Run((), {}), whole).dtype.name == "int64"


def test_dropout_follows_seed_and_step() -> None:
    layer = made("Dropout", {"rate": 0.5})
    x = Tensor(np.ones((50, 40), np.float32), TF24.floatx)
    draws = [layer(Run((), {}, training=True, noise=Noise(1, step)), x).data for step in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert set(np.unique(draws[0])) == {0.0, 2.0}
    assert abs(draws[0].mean() - 1) < 0.1


def test_dropout_of_everything_is_zero() -> None:
    layer = made("Dropout", {"rate": 1.0})
    x = Tensor(np.ones((3, 4), np.float32), TF24.floatx)
    assert not layer(Run((), {}, training=True), x).data.any()


def test_batch_normalization_moves_its_averages_only_in_training() -> None:
    layer = made("BatchNormalization", {"momentum": 0.5})
    x = np.random.default_rng(2).normal(3, 2, size=(64, 5)).astype(np.float32)
    run = Run(layer.weight_specs(x.shape), arrays_of(layer, x.shape), training=True)
    layer(run, Tensor(x, TF24.floatx))
    np.testing.assert_allclose(run.updates["batchnormalization/moving_mean"], x.mean(0) * 0.5, rtol=1e-5)
    np.testing.assert_allclose(run.updates["batchnormalization/moving_variance"], 0.5 + x.var(0) * 0.5, rtol=1e-5)


def test_activity_penalty_is_in_the_output_dtype_and_weight_penalty_in_the_variable_dtype() -> None:
    config = {"units": 3, "kernel_regularizer": "l2", "activity_regularizer": "l2"}
    layer = made("Dense", config, "mixed_float16")
    run = Run(layer.weight_specs(INPUT), arrays_of(layer))
    layer(run, Tensor(np.ones(INPUT, np.float32), TF24.floatx))
    (penalty,) = run.losses
    assert penalty.dtype.name == "float16"
    spec = layer.weight_specs(INPUT)[0]
    assert spec.regularizer is not None
    assert spec.regularizer(run.variables[spec.path]).dtype.name == "float32"


@pytest.mark.parametrize(
    ("item", "error", "path", "words"),
    [
        ({"class_name": "Denes", "config": {}}, Unsupported, ("class_name",), "Did you mean 'Dense'"),
        ({"class_name": "Dense", "config": {"units": -1}}, InvalidValue, ("config", "units"), "positive integer"),
        ({"class_name": "Dense", "config": {"units": True}}, InvalidValue, ("config", "units"), "positive integer"),
        ({"class_name": "Dense", "config": {}}, InvalidType, ("config", "units"), "needs `units`"),
        ({"class_name": "Dense", "config": {"unitz": 3}}, InvalidType, ("config", "unitz"), "Did you mean 'units'"),
        ({"class_name": "Dropout", "config": {"rate": 1.5}}, InvalidValue, ("config", "rate"), "[0, 1]"),
        (
            {"class_name": "Activation", "config": {"activation": "relux"}},
            Unsupported,
            ("config", "activation"),
            "relu",
        ),
        ({"class_name": "Flatten", "config": {"data_format": "channels_first"}}, Unsupported, None, "channels_last"),
        ({"config": {}}, InvalidValue, ("class_name",), "class_name"),
        ({"class_name": "Dense", "config": []}, InvalidType, ("config",), "object"),
    ],
)
def test_bad_configs_say_where_and_what(item: Any, error: type[EngineError], path: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        layers.from_config(item)
    assert words in caught.value.message
    if path is not None:
        assert caught.value.path[: len(path)] == path


def test_dense_needs_a_known_last_axis() -> None:
    with pytest.raises(ShapeMismatch, match="last"):
        made("Dense", {"units": 2}).weight_specs((None, None))


def test_keras3_casts_all_arguments_and_tf24_only_the_first() -> None:
    seen: list[str] = []

    class Spy(layers.Layer):
        """Records the dtypes of its inputs."""

        def call(self, run: Run, *inputs: Tensor) -> Tensor:
            seen.extend(x.dtype.name for x in inputs)
            return inputs[0]

    x = Tensor(np.ones((2, 2)), FLOAT64)
    for line in (TF24, KERAS3):
        Spy(name="spy", dtype=Policy("mixed_float16"), conventions=line)(Run((), {}), x, x)
    assert seen == ["float16", "float64", "float16", "float16"]


def test_tape_knows_which_layer_recorded_an_op() -> None:
    layer = made("Dense", {"units": 2, "name": "head"})
    tape = Tape()
    run = Run(layer.weight_specs(INPUT), arrays_of(layer), training=True, tape=tape)
    layer(run, Tensor(np.ones(INPUT, np.float32), TF24.floatx))
    assert {node.layer for node in tape.nodes if node.op is not None} == {"head"}
