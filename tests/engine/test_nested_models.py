"""Models in models, held against recordings of Keras 3.15.1 and tf_keras 2.21 (`record_nested_models.py`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError, InvalidValue, ShapeMismatch, Unsupported
from engine.model import Model, model_from_config

RECORDED = json.loads((Path(__file__).parent / "data" / "nested_models.json").read_text(encoding="utf-8"))
DENSE = {"class_name": "Dense", "config": {"units": 2}}
ENTRY = {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": [None, 4]}}


def loaded(recording: dict[str, Any], policy: str | None = None) -> tuple[Model, list[np.ndarray[Any, Any]]]:
    model = model_from_config(recording["config"], policy)
    model.set_weights([np.array(value, np.float32) for value in recording["weights"]])
    return model, [np.array(value, np.float32) for value in recording["x"]]


def sequential(*layers: dict[str, Any], name: str = "s", **config: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers), **config}}


@pytest.mark.parametrize("name", RECORDED)
def test_predictions_and_training_are_those_of_keras(name: str) -> None:
    recording = RECORDED[name]
    model, x = loaded(recording)
    assert len(model.network.trainable_specs) == recording["trainable"]
    data = x if len(x) > 1 else x[0]
    np.testing.assert_allclose(model.predict(data), recording["predictions"], atol=1e-6)
    model.compile({"class_name": "SGD", "config": {"learning_rate": 0.1}}, "mse")
    history = model.fit(data, np.array(recording["y"], np.float32), batch_size=3, epochs=2, shuffle=False)
    np.testing.assert_allclose(history.history["loss"], recording["loss"], rtol=1e-5)
    for mine, theirs in zip(model.get_weights(), recording["after"], strict=True):
        # Keras runs calls of one depth last to first, so a shared BatchNormalization moves in the other order.
        np.testing.assert_allclose(mine, theirs, atol=1e-6 if not name.endswith("graph") else 2e-4)


@pytest.mark.parametrize("name", RECORDED)
def test_configs_come_back(name: str) -> None:
    model, x = loaded(RECORDED[name])
    again = model_from_config(model.get_config(), conventions=model.network.conventions)
    assert again.get_config() == model.get_config()
    assert again.weight_specs == model.weight_specs
    again.set_weights(model.get_weights())
    data = x if len(x) > 1 else x[0]
    np.testing.assert_array_equal(again.predict(data), model.predict(data))


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("tf_keras")])
def test_calls_are_written_with_the_numbers_of_keras2(name: str) -> None:
    model, _ = loaded(RECORDED[name])
    written = RECORDED[name]["config"]["config"]
    for mine, theirs in zip(model.get_config()["config"]["layers"], written["layers"], strict=True):
        assert mine.get("inbound_nodes") == theirs.get("inbound_nodes")


def test_layers_inside_are_named_after_the_models_they_stand_in() -> None:
    model, _ = loaded(RECORDED["keras3_timed"])
    assert [spec.path for spec in model.weight_specs] == [
        "td/step/d/kernel",
        "td/step/d/bias",
        "td/step/n/gamma",
        "td/step/n/beta",
        "in1/d/kernel",
        "in1/d/bias",
        "in1/in2/d/kernel",
        "in1/in2/d/bias",
    ]
    assert "in1/in2/d" in model.summary()


def test_a_shared_model_has_its_weights_once_and_trains_in_half_precision() -> None:
    model, x = loaded(RECORDED["keras3_graph"], "mixed_float16")
    policies = {layer.name: layer.policy.name for layer in model.layers}
    assert policies["enc/d"] == "mixed_float16"  # the policy replaces the one that Keras 3 writes for every layer
    config = json.loads(json.dumps(RECORDED["tf_keras_graph"]["config"]).replace('"dtype": "float32"', '"dtype": null'))
    model = model_from_config(config, "mixed_float16")
    assert {layer.policy.name for layer in model.layers if layer.name == "enc/d"} == {"mixed_float16"}
    model.compile("sgd", "mse")
    losses = model.fit(x, np.zeros((6, 2), np.float32), epochs=3).history["loss"]
    assert losses[2] < losses[0]


def test_a_frozen_model_freezes_what_stands_in_it() -> None:
    inner = sequential(DENSE, {"class_name": "BatchNormalization", "config": {}}, name="inner", trainable=False)
    model = model_from_config(sequential(ENTRY, inner, DENSE))
    assert [spec.path for spec in model.network.trainable_specs] == ["dense/kernel", "dense/bias"]
    assert model.get_config()["config"]["layers"][1]["config"]["trainable"] is False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(np.ones((4, 4)), np.ones((4, 2)))
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * 6 + [True] * 2
    frozen = model_from_config(sequential(ENTRY, DENSE, trainable=False))
    assert frozen.network.trainable_specs == ()


def nested(depth: int) -> dict[str, Any]:
    inside = DENSE
    for _ in range(depth):
        inside = sequential(inside)
    return sequential(ENTRY, inside)


def test_models_may_stand_sixteen_deep_in_each_other() -> None:
    assert model_from_config(nested(16)).count_params() == 10
    with pytest.raises(InvalidValue) as caught:
        model_from_config(nested(17))
    assert caught.value.code == "too_deep"
    assert caught.value.path == ("config", "layers", 1, *("config", "layers", 0) * 16)


UNKNOWN = {"class_name": "Attention2", "config": {}}
ADDED = {
    "module": "keras.src.ops.nn",
    "class_name": "Softmax",
    "config": {"name": "soft"},
    "registered_name": "Softmax",
}
TF_ADDED = {"class_name": "TFOpLambda", "config": {"name": "tf.math.add", "function": "math.add"}}


@pytest.mark.parametrize(
    ("item", "error", "code", "path"),
    [
        (sequential(UNKNOWN), Unsupported, "unknown_layer", (1, "config", "layers", 0, "class_name")),
        (sequential(DENSE, ENTRY), InvalidValue, "malformed_graph", (1, "config", "layers", 1, "config")),
        (sequential(name=""), EngineError, "invalid_value", (1, "config", "layers")),
        (sequential(DENSE, trainable="no"), InvalidValue, "invalid_value", (1, "config", "trainable")),
        (
            sequential({**ENTRY, "config": {"batch_input_shape": [None, 9]}}, DENSE),
            ShapeMismatch,
            "shape_mismatch",
            (1, "config", "layers", 0, "config"),
        ),
        (ADDED, Unsupported, "unsupported_operation", (1, "class_name")),
        (TF_ADDED, Unsupported, "unsupported_operation", (1, "class_name")),
    ],
)
def test_faults_inside_are_found_where_they_stand(
    item: dict[str, Any], error: type[EngineError], code: str, path: tuple[Any, ...]
) -> None:
    with pytest.raises(error) as caught:
        model_from_config(sequential(ENTRY, item, DENSE))
    assert caught.value.code == code
    assert caught.value.path == ("config", "layers", *path)
