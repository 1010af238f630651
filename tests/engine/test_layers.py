"""The contract that every layer keeps."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from engine import layers
from engine.conventions import CONVENTIONS, KERAS3, TF24
from engine.dtypes import FLOAT32, FLOAT64, INT64, as_dtype
from engine.errors import EngineError, InvalidType, InvalidValue, ShapeMismatch, Unsupported
from engine.gradients import RowGradient
from engine.layers import LAYERS, Layer
from engine.policy import Policy
from engine.rounding import round_to
from engine.run import Noise, Run
from engine.tape import Array, Tape, Tensor
from tests.engine.gradients import check_gradients

ROWS, STEPS, IMAGES = (6, 5), (3, 4, 5), (2, 6, 5, 4)
UNITS = {"units": 3}
CONFIGS: dict[str, tuple[tuple[int, ...], list[dict[str, Any]]]] = {
    "Activation": (ROWS, [{"activation": name} for name in ("softmax", "relu", "hard_sigmoid", "silu", "gelu")]),
    "ActivityRegularization": (ROWS, [{"l2": 0.1}]),
    "Add": (ROWS, [{}]),
    "AdditiveAttention": (STEPS, [{}, {"use_scale": False}]),
    "AlphaDropout": (ROWS, [{"rate": 0.3}]),
    "Attention": (STEPS, [{}, {"use_scale": True}, {"score_mode": "concat"}]),
    "Average": (ROWS, [{}]),
    "AveragePooling1D": (STEPS, [{}, {"pool_size": 3, "strides": 1, "padding": "same"}]),
    "AveragePooling2D": (IMAGES, [{}, {"pool_size": [3, 2], "strides": 2, "padding": "same"}]),
    "BatchNormalization": (
        ROWS,
        [{}, {"axis": 1, "momentum": 0.9}, {"center": False, "scale": False}, {"trainable": False}],
    ),
    "Bidirectional": (
        STEPS,
        [
            {"layer": {"class_name": "LSTM", "config": UNITS}},
            {"layer": {"class_name": "GRU", "config": {"units": 2, "return_sequences": True}}, "merge_mode": "sum"},
        ],
    ),
    "Concatenate": (ROWS, [{}]),
    "Conv1D": (STEPS, [{"filters": 2, "kernel_size": 2}, {"filters": 2, "kernel_size": 2, "padding": "causal"}]),
    "Conv1DTranspose": (STEPS, [{"filters": 2, "kernel_size": 3, "strides": 2}]),
    "Conv2D": (
        IMAGES,
        [
            {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "tanh"},
            {"filters": 4, "kernel_size": [2, 3], "groups": 2, "dilation_rate": 2, "use_bias": False},
        ],
    ),
    "Conv2DTranspose": (
        IMAGES,
        [
            {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
            {"filters": 3, "kernel_size": 3, "strides": 2, "output_padding": 1},
        ],
    ),
    "Cropping1D": (STEPS, [{}]),
    "Cropping2D": (IMAGES, [{"cropping": [[1, 0], [2, 1]]}]),
    "Dense": (
        ROWS,
        [
            {"units": 4},
            {"units": 3, "activation": "tanh", "use_bias": False},
            {"units": 2, "kernel_regularizer": "l2", "bias_regularizer": {"class_name": "L1L2", "config": {"l1": 0.5}}},
        ],
    ),
    "DepthwiseConv1D": (STEPS, [{"kernel_size": 2, "depth_multiplier": 2}]),
    "DepthwiseConv2D": (IMAGES, [{"kernel_size": 3, "strides": 2, "padding": "same"}]),
    "Dot": (ROWS, [{"axes": 1}, {"axes": 1, "normalize": True}]),
    "Dropout": (ROWS, [{"rate": 0.5}, {"rate": 0.0}, {"rate": 0.25, "seed": 3}]),
    "ELU": (ROWS, [{"alpha": 0.5}]),
    "EinsumDense": (STEPS, [{"equation": "abc,cd->abd", "output_shape": [None, 2], "bias_axes": "d"}]),
    "Embedding": (STEPS, [{"input_dim": 7, "output_dim": 3}, {"input_dim": 7, "output_dim": 3, "mask_zero": True}]),
    "Flatten": (IMAGES, [{}]),
    "GRU": (STEPS, [UNITS, {"units": 2, "reset_after": False, "return_sequences": True}]),
    "GaussianDropout": (ROWS, [{"rate": 0.3}]),
    "GaussianNoise": (ROWS, [{"stddev": 0.3}]),
    "GlobalAveragePooling1D": (STEPS, [{}, {"keepdims": True}]),
    "GlobalAveragePooling2D": (IMAGES, [{}]),
    "GlobalMaxPooling1D": (STEPS, [{}]),
    "GlobalMaxPooling2D": (IMAGES, [{"keepdims": True}]),
    "GroupNormalization": (IMAGES, [{"groups": 2}, {"groups": -1, "center": False}, {"groups": 3, "axis": 1}]),
    "GroupQueryAttention": (STEPS, [{"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2}]),
    "Identity": (ROWS, [{}]),
    "InputLayer": (ROWS, [{"batch_input_shape": [None, 5]}]),
    "LSTM": (
        STEPS,
        [
            UNITS,
            {"units": 3, "recurrent_activation": "tanh"},
            {"units": 2, "return_sequences": True, "go_backwards": True, "dropout": 0.5},
        ],
    ),
    "LayerNormalization": (STEPS, [{}, {"axis": [1, 2], "scale": False}]),
    "LeakyReLU": (ROWS, [{}]),
    "Masking": (STEPS, [{"mask_value": 9.0}]),
    "MaxPooling1D": (STEPS, [{}]),
    "MaxPooling2D": (IMAGES, [{}, {"pool_size": 3, "strides": 2, "padding": "same"}]),
    "Maximum": (ROWS, [{}]),
    "Minimum": (ROWS, [{}]),
    "MultiHeadAttention": (STEPS, [{"num_heads": 2, "key_dim": 3}, {"num_heads": 2, "key_dim": 2, "value_dim": 3}]),
    "Multiply": (ROWS, [{}]),
    "Normalization": (
        ROWS,
        [{"mean": 1.5, "variance": 4.0}, {"axis": None, "mean": 0.5, "variance": 2.0, "invert": True}],
    ),
    "PReLU": (STEPS, [{}, {"shared_axes": [1]}]),
    "Permute": (STEPS, [{"dims": [2, 1]}]),
    "RMSNormalization": (STEPS, [{}]),
    "ReLU": (ROWS, [{}, {"max_value": 4.0, "negative_slope": 0.25, "threshold": 0.5}]),
    "RepeatVector": (ROWS, [{"n": 3}]),
    "Rescaling": (ROWS, [{"scale": 0.5, "offset": 1.0}, {"scale": [0.5], "offset": 1.0}]),
    "Reshape": (STEPS, [{"target_shape": [2, -1]}]),
    "SeparableConv1D": (STEPS, [{"filters": 3, "kernel_size": 2}]),
    "SeparableConv2D": (IMAGES, [{"filters": 3, "kernel_size": 2, "depth_multiplier": 2}]),
    "SimpleRNN": (STEPS, [UNITS]),
    "Softmax": (ROWS, [{}, {"axis": 1}, {"axis": [0, 1]}]),
    "SpatialDropout1D": (STEPS, [{"rate": 0.5}]),
    "SpatialDropout2D": (IMAGES, [{"rate": 0.5}]),
    "Subtract": (ROWS, [{}]),
    "ThresholdedReLU": (ROWS, [{"theta": 0.5}]),
    "TimeDistributed": (STEPS, [{"layer": {"class_name": "Dense", "config": {"units": 2}}}]),
    "UnitNormalization": (ROWS, [{}]),
    "UpSampling1D": (STEPS, [{}]),
    "UpSampling2D": (IMAGES, [{}, {"interpolation": "bilinear", "size": [2, 3]}]),
    "ZeroPadding1D": (STEPS, [{}]),
    "ZeroPadding2D": (IMAGES, [{"padding": [[1, 0], [2, 1]]}]),
}
CASES = [(name, config) for name, (_, configs) in CONFIGS.items() for config in configs]
RANDOM = {"Dropout", "AlphaDropout", "GaussianNoise", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D"}
POLICIES = ["float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16"]
INPUT = ROWS


def made(name: str, config: dict[str, Any], policy: str = "float32", line: str = "tf2.4") -> Layer:
    return layers.from_config({"class_name": name, "config": config}, CONVENTIONS[line], Policy(policy))


def arrays_of(layer: Layer, *shapes: tuple[int, ...]) -> dict[str, Array]:
    rng = np.random.default_rng(5)
    return {
        spec.path: round_to(spec.initializer(spec.shape, rng).astype(spec.dtype.storage), spec.dtype)
        for spec in layer.weight_specs(*(shapes or (INPUT,)))
    }


def inputs_of(layer: Layer, seed: int = 1) -> list[Array]:
    """Return as many inputs as the layer needs, of the shape that its family takes."""
    rng = np.random.default_rng(seed)
    shape = CONFIGS[layer.class_name][0]
    if layer.class_name == "Embedding":
        return [rng.integers(0, 7, shape).astype(np.float32)]
    return [rng.normal(size=shape).astype(np.float32) for _ in range(max(layer.arity[0], 2 if layer.merges else 1))]


def called(layer: Layer, xs: list[Array], *, training: bool = False) -> Tensor:
    shapes = [x.shape for x in xs]
    run = Run(layer.weight_specs(*shapes), arrays_of(layer, *shapes), training=training, noise=Noise(1, 2))
    result: Tensor = layer(run, *[Tensor(x, layer.conventions.floatx) for x in xs])
    return result


@pytest.mark.parametrize(("name", "words"), [("PReLU", "'y' of 'Mul'"), ("UnitNormalization", "attr 'T' of int64")])
@pytest.mark.parametrize("line", CONVENTIONS)
def test_integers_are_refused_where_tensorflow_has_no_kernel(name: str, words: str, line: str) -> None:
    layer = made(name, {}, "mixed_float16", line)
    given = Tensor(np.ones(ROWS, np.int64), INT64)
    run = Run(layer.weight_specs(ROWS), arrays_of(layer), training=True, noise=Noise(1, 2))
    with pytest.raises(InvalidType, match=re.escape(words)):
        layer(run, given)


WHOLE = np.arange(2 * 6 * 5 * 4).reshape(IMAGES) % 9


def of_images(name: str, config: dict[str, Any], x: Tensor) -> Tensor:
    layer = made(name, config, "mixed_float16", "keras3")
    run = Run(layer.weight_specs(x.shape), arrays_of(layer, x.shape), training=False, noise=Noise(1, 2))
    result: Tensor = layer(run, x)
    return result


@pytest.mark.parametrize(
    ("name", "config", "dtype"),
    [
        ("Rescaling", {"scale": 0.125, "offset": -1.0}, "float16"),
        ("LayerNormalization", {}, "float16"),
        ("RMSNormalization", {}, "float16"),
        ("GlobalAveragePooling2D", {}, "float16"),
        ("MaxPooling2D", {}, "int64"),
        ("UpSampling2D", {"size": [2, 3], "interpolation": "bilinear"}, "int64"),
    ],
)
def test_integers_are_kept_or_converted_as_keras_3_does(name: str, config: dict[str, Any], dtype: str) -> None:
    """Compared with Keras 3.15.1; but results of normalizations are not cut to integers again, as they are there."""
    output = of_images(name, config, Tensor(WHOLE, INT64))
    assert output.dtype.name == dtype
    assert output.data.dtype == output.dtype.storage
    like = of_images(name, config, Tensor(WHOLE.astype(np.float32), FLOAT32)).data
    assert np.allclose(output.data, np.rint(like) if output.dtype is INT64 else like, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "config"),
    [("Conv2D", {"filters": 2, "kernel_size": 1}), ("AveragePooling2D", {}), ("Softmax", {}), ("ELU", {})],
)
def test_integers_are_refused_by_layers_without_a_kernel_for_them(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(InvalidType, match="takes no int64: TensorFlow has no kernel") as caught:
        of_images(name, config, Tensor(WHOLE, INT64))
    assert caught.value.code == "kernel_dtype"


@pytest.mark.parametrize("line", CONVENTIONS)
def test_rescaling_converts_integers_in_every_line_of_keras(line: str) -> None:
    layer = made("Rescaling", {"scale": 1 / 255}, "float32", line)
    output = layer(
        Run([], {}, training=False, noise=Noise(1, 2)), Tensor(np.array([[0, 51, 255]], np.uint8), as_dtype("uint8"))
    )
    assert output.dtype is FLOAT32
    assert np.allclose(output.data, [[0, 0.2, 1]])


def test_what_only_keras_2_knows_is_not_written_for_keras_3() -> None:
    """Keras 3 refuses these keys, and they say nothing that it does not know."""
    shapes = {"query_shape": [None, 4, 5], "key_shape": [None, 4, 5], "value_shape": [None, 4, 5]}
    layer = made("MultiHeadAttention", {"num_heads": 1, "key_dim": 2, **shapes}, line="tf_keras")
    assert shapes.items() <= layer.get_config(CONVENTIONS["tf_keras"]).items()
    assert not shapes.keys() & layer.get_config(KERAS3).keys()


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
    xs = inputs_of(layer)
    output = called(layer, xs, training=True)
    assert output.shape == tuple(layer.compute_output_shape(*[x.shape for x in xs]))
    assert output.dtype is layer.output_dtype(layer.policy.compute)
    assert output.data.dtype == output.dtype.storage
    assert np.array_equal(output.data, round_to(output.data.copy(), output.dtype))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("name", "config"), CASES)
def test_variables_live_in_the_variable_dtype(name: str, config: dict[str, Any], policy: str) -> None:
    layer = made(name, config, policy)
    for spec in layer.weight_specs(*[x.shape for x in inputs_of(layer)]):
        wide = name == "BatchNormalization" and layer.policy.variable.low_precision
        assert spec.dtype.name == ("float32" if wide else layer.policy.variable_dtype)


@pytest.mark.parametrize(
    ("name", "config"), [case for case in CASES if case[0] not in RANDOM | {"Embedding"} and "dropout" not in case[1]]
)
def test_gradients(name: str, config: dict[str, Any]) -> None:
    layer = made(name, config, "float64")
    xs = [x.astype(np.float64) + 0.011 for x in inputs_of(layer, seed=3)]
    shapes = [x.shape for x in xs]
    specs = layer.weight_specs(*shapes)
    trainable = [spec for spec in specs if spec.trainable]
    arrays = arrays_of(layer, *shapes)
    fixed = {spec.path: arrays[spec.path] for spec in specs if not spec.trainable}

    def output(*tensors: Tensor) -> Tensor:
        run = Run([spec for spec in specs if not spec.trainable], fixed, training=True)
        weights = tensors[len(xs) :]
        run.variables.update({spec.path: weight for spec, weight in zip(trainable, weights, strict=True)})
        result: Tensor = layer(run, *tensors[: len(xs)])
        return result

    # TensorFlow's resize runs in float32 even here, so differences are coarse.
    tolerance = 0.2 if config.get("interpolation") == "bilinear" else 2e-7
    check_gradients(output, *xs, *[arrays[spec.path] + 0.013 for spec in trainable], tolerance=tolerance)


def test_gradients_of_an_embedding_add_up_by_row() -> None:
    layer = made("Embedding", {"input_dim": 4, "output_dim": 2}, "float64")
    tape = Tape()
    spec = layer.weight_specs((3,))[0]
    run = Run([spec], {spec.path: np.ones((4, 2))}, tape=tape)
    y = layer(run, Tensor(np.array([1, 1, 3]), INT64))
    (gradient,) = tape.gradient_or_rows(y, [run.variables[spec.path]], seed=np.ones((3, 2)))
    assert isinstance(gradient, RowGradient)
    assert gradient.indices.tolist() == [1, 1, 3]
    assert gradient.merged().tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


@pytest.mark.parametrize(("name", "config"), CASES)
def test_inference_is_deterministic_and_leaves_no_updates(name: str, config: dict[str, Any]) -> None:
    layer = made(name, config)
    xs = inputs_of(layer)
    shapes = [x.shape for x in xs]
    run = Run(layer.weight_specs(*shapes), arrays_of(layer, *shapes))
    first = layer(run, *[Tensor(x, layer.conventions.floatx) for x in xs])
    assert np.array_equal(first.data, called(layer, xs).data)
    assert run.updates == {}


def test_masks_travel_and_recurrent_layers_skip_masked_steps() -> None:
    x = Tensor(np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32), TF24.floatx)
    x.data[0, 2:] = 0
    masked = made("Masking", {})(Run((), {}), x)
    assert masked.mask.tolist() == [[True, True, False, False], [True, True, True, True]]
    layer = made("LSTM", {"units": 2, "return_sequences": True})
    y = layer(Run(layer.weight_specs((2, 4, 3)), arrays_of(layer, (2, 4, 3))), masked)
    assert np.array_equal(y.data[0, 1], y.data[0, 3])
    assert not np.array_equal(y.data[1, 1], y.data[1, 3])
    assert y.mask is masked.mask


def test_causal_attention_does_not_see_what_comes() -> None:
    layer = made("MultiHeadAttention", {"num_heads": 2, "key_dim": 3})
    (x, _) = inputs_of(layer)
    changed = x.copy()
    changed[:, -1] += 1
    shapes = [x.shape, x.shape]
    outputs = []
    for given in (x, changed):
        tensor = Tensor(given, TF24.floatx)
        run = Run(layer.weight_specs(*shapes), arrays_of(layer, *shapes))
        outputs.append(layer(run, tensor, tensor, use_causal_mask=True).data)
    assert np.array_equal(outputs[0][:, :-1], outputs[1][:, :-1])
    assert not np.array_equal(outputs[0][:, -1], outputs[1][:, -1])


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


@pytest.mark.parametrize(("strides", "padding"), [(1, 1), (2, 2), (2, 3), ([3, 2], [1, 2])])
def test_output_padding_is_below_the_strides_as_keras_wants(strides: Any, padding: Any) -> None:
    config = {"filters": 2, "kernel_size": 3, "strides": strides, "output_padding": padding}
    for line in CONVENTIONS.values():
        with pytest.raises(InvalidValue, match="Accepted is at most") as caught:
            layers.from_config({"class_name": "Conv2DTranspose", "config": config}, line)
        assert caught.value.path == ("config", "output_padding")


def test_a_transposed_convolution_gives_no_length_that_tensorflow_refuses() -> None:
    """Even kernels with "same": 7 places become 4 again, 6 would become 3 (InvalidArgumentError in all three)."""
    config = {"filters": 2, "kernel_size": 4, "strides": 2, "padding": "same"}
    assert made("Conv1DTranspose", {**config, "output_padding": 1}).compute_output_shape((2, 4, 3)) == (2, 7, 2)
    with pytest.raises(ShapeMismatch, match="output_padding"):
        made("Conv1DTranspose", {**config, "output_padding": 0}).compute_output_shape((2, 4, 3))


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


@pytest.mark.parametrize("policy", ["float16", "mixed_bfloat16", "float64"])
def test_bilinear_images_of_keras2_are_float32(policy: str):
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    for line, mixed in (("tf2.4", "float32"), ("tf_keras", "float32"), ("keras3", policy.removeprefix("mixed_"))):
        for interpolation, dtype in (("bilinear", mixed), ("nearest", policy.removeprefix("mixed_"))):
            config = {"name": "up", "size": 2, "interpolation": interpolation}
            layer = made("UpSampling2D", config, policy, line)
            given = Tensor(x, layer.policy.compute)
            assert layer(Run((), {}), given).dtype.name == dtype
            assert layer.output_dtype(layer.policy.compute).name == dtype
