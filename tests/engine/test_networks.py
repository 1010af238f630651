"""Reading models: Sequential and Functional, Keras 2 and 3, and everything that can be wrong with them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.conventions import KERAS3, TF24, TF_KERAS, of
from engine.errors import EngineError, InvalidType, InvalidValue, ShapeMismatch, Unsupported
from engine.model import model_from_config
from engine.policy import Policy
from tests.engine.problems import classifier


def dense(name: str, units: int, *inbound: Any) -> dict[str, Any]:
    return {
        "class_name": "Dense",
        "config": {"name": name, "units": units},
        "name": name,
        "inbound_nodes": list(inbound),
    }


def entry(name: str) -> dict[str, Any]:
    config = {"name": name, "batch_input_shape": [None, 4]}
    return {"class_name": "InputLayer", "config": config, "name": name, "inbound_nodes": []}


def functional(*layers: dict[str, Any], outputs: Any = ("b", 0, 0)) -> dict[str, Any]:
    config = {"name": "f", "layers": list(layers), "input_layers": [["in", 0, 0]], "output_layers": [list(outputs)]}
    return {"class_name": "Functional", "config": config}


SHARED = functional(
    entry("in"),
    dense("a", 4, [["in", 0, 0, {}]], [["a", 0, 0, {}]]),
    dense("b", 2, [["a", 1, 0, {}]]),
)


def test_sequential_names_layers_as_keras_does() -> None:
    model = model_from_config(classifier())
    assert [layer.name for layer in model.layers] == [
        "input_layer",
        "dense",
        "batch_normalization",
        "dropout",
        "dense_1",
        "activation",
    ]
    assert model.count_params() == 6 * 8 + 8 + 4 * 8 + 8 * 3 + 3
    assert model.output_shapes == ((None, 3),)


def test_model_policy_fills_in_and_layer_policy_wins() -> None:
    model = model_from_config(classifier(), "mixed_float16")
    policies = {layer.name: layer.policy.name for layer in model.layers}
    assert policies["dense"] == "mixed_float16"
    assert policies["activation"] == "float32"
    assert policies["input_layer"] == "float32"


def test_a_shared_layer_has_one_set_of_weights() -> None:
    model = model_from_config(SHARED)
    assert [spec.path for spec in model.weight_specs] == ["a/kernel", "a/bias", "b/kernel", "b/bias"]
    x = np.ones((1, 4), np.float32)
    kernel, bias, last, offset = model.get_weights()
    np.testing.assert_allclose(model.predict(x), ((x @ kernel + bias) @ kernel + bias) @ last + offset, rtol=1e-5)


def test_layers_may_come_in_any_order() -> None:
    layers = SHARED["config"]["layers"]
    again = model_from_config(functional(*reversed(layers)))
    assert again.output_shapes == ((None, 2),)


@pytest.mark.parametrize("config", [classifier(), SHARED], ids=["sequential", "functional"])
@pytest.mark.parametrize("line", [TF24, KERAS3], ids=lambda line: line.name)
def test_config_round_trip(config: dict[str, Any], line: Any) -> None:
    written = json.loads(json.dumps(model_from_config(config, "mixed_float16", line).get_config()))
    again = model_from_config(written, None, line)
    assert again.get_config() == written
    assert of(written) is line


def test_the_line_of_keras_is_recognized() -> None:
    assert of({"keras_version": "2.4.0"}) is TF24
    assert of({"keras_version": "2.21.0"}) is TF_KERAS
    assert of({"keras_version": "3.15.1"}) is KERAS3
    assert of({}) is TF24


def test_a_trillion_parameters_cost_nothing_to_count() -> None:
    layers = [{"class_name": "Dense", "config": {"units": 10**6, "batch_input_shape": [None, 10**6]}}]
    model = model_from_config({"class_name": "Sequential", "config": {"layers": layers}})
    assert model.count_params() == 10**12 + 10**6


def test_input_shape_can_come_from_the_data() -> None:
    config = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"units": 2}}]}}
    assert model_from_config(config, input_shape=(None, 7)).count_params() == 16
    with pytest.raises(InvalidValue, match="no shape"):
        model_from_config(config)


def test_infer_takes_the_dtype_of_the_input() -> None:
    model = model_from_config(classifier(), Policy("_infer"))
    assert {layer.policy.compute_dtype for layer in model.layers} == {"float32"}


def changed(path: list[Any], value: Any, config: dict[str, Any] | None = None) -> dict[str, Any]:
    copy = json.loads(json.dumps(classifier() if config is None else config))
    *outer, last = path
    inner = copy
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return copy


LAYERS = ["config", "layers"]


@pytest.mark.parametrize(
    ("config", "error", "path", "words"),
    [
        ({"class_name": "Sequence", "config": {}}, Unsupported, ["class_name"], "Sequential"),
        ({"config": {}}, InvalidValue, ["class_name"], "class_name"),
        ([], InvalidType, [], "class_name"),
        ({"class_name": "Sequential", "config": {"layers": []}}, InvalidValue, LAYERS, "at least one"),
        ({"class_name": "Sequential", "config": {}}, InvalidType, LAYERS, "layers"),
        ({"class_name": "Sequential", "config": {"name": 3, "layers": []}}, InvalidType, ["config", "name"], "string"),
        (changed([*LAYERS, 1], "Dense"), InvalidType, [*LAYERS, 1], "class_name"),
        (changed([*LAYERS, 1, "class_name"], "Convo"), Unsupported, [*LAYERS, 1, "class_name"], "Unknown layer"),
        (changed([*LAYERS, 1, "config", "units"], -3), InvalidValue, [*LAYERS, 1, "config", "units"], "-3"),
        (changed([*LAYERS, 1, "config", "name"], "dense_1"), None, [], ""),
        (
            changed([*LAYERS, 2, "config", "axis"], 5),
            ShapeMismatch,
            [*LAYERS, 2, "config", "axis"],
            "axis 5",
        ),
        (changed([*LAYERS, 0, "config", "batch_input_shape"], [None, -2]), InvalidValue, None, "positive"),
        (
            functional(entry("in"), dense("a", 1, [["b", 0, 0, {}]]), dense("b", 1, [["a", 0, 0, {}]])),
            InvalidValue,
            None,
            "own output",
        ),
        (functional(entry("in"), dense("b", 1, [["zz", 0, 0, {}]])), InvalidValue, None, "does not exist"),
        (functional(entry("in"), dense("b", 1, [["in", 0, 0, {}]]), outputs=("c", 0, 0)), InvalidValue, None, "'c'"),
        (functional(entry("in"), dense("b", 1, "nonsense")), InvalidValue, None, "Malformed"),
        (functional(entry("in"), dense("b", 1, [["in", 0, 0, {"mask": 1}]])), Unsupported, None, "arguments"),
        (functional(entry("in"), entry("in")), InvalidValue, None, "unique"),
        (changed(["config", "output_layers"], 7, SHARED), InvalidValue, ["config", "output_layers"], "output_layers"),
    ],
)
def test_bad_models_say_where_and_what(config: Any, error: type[EngineError] | None, path: Any, words: str) -> None:
    if error is None:
        assert model_from_config(config).layers
        return
    with pytest.raises(error) as caught:
        model_from_config(config)
    assert words in caught.value.message
    if path is not None:
        assert list(caught.value.path) == path
