"""What TF 2.4, tf_keras and Keras 3 really printed is accepted, and comes out as it went in."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from worker.specs.layers import LayerValue
from worker.specs.model import ModelValue
from worker.specs.optimizers import OptimizerValue
from worker.specs.policy import PolicyValue
from worker.specs.shape import Spec

CASES = Path(__file__).parents[2] / "golden" / "cases"
TRAININGS = {file.stem: json.loads(file.read_text()) for file in sorted((CASES / "train").glob("D_*.json"))}
RECORDED = {file.stem: json.loads(file.read_text()) for file in sorted((CASES / "train").glob("A_*.json"))}
LAYERS_OF_KERAS = {name: case["layer"] for name, case in RECORDED.items() if "layer" in case}
LAYER: TypeAdapter[Any] = TypeAdapter(LayerValue)
MODEL: TypeAdapter[Any] = TypeAdapter(ModelValue)
OPTIMIZER: TypeAdapter[Any] = TypeAdapter(OptimizerValue)
POLICY: TypeAdapter[Any] = TypeAdapter(PolicyValue)


OPTIMIZED = [(name, key) for name in TRAININGS for key in ("optimizer", "optimizer_effective")]


@pytest.mark.parametrize("name", TRAININGS)
def test_a_model_of_keras_passes(name):
    model = TRAININGS[name]["model"]
    assert MODEL.validate_python(model).given() == model


@pytest.mark.parametrize("name", LAYERS_OF_KERAS)
def test_a_layer_of_keras_passes(name):
    layer = LAYERS_OF_KERAS[name]
    assert LAYER.validate_python(layer).given() == layer


@pytest.mark.parametrize(("name", "key"), OPTIMIZED)
def test_an_optimizer_of_keras_passes(name, key):
    optimizer = TRAININGS[name][key]
    assert OPTIMIZER.validate_python(optimizer).given() == optimizer


def test_there_are_models_and_layers_of_every_line():
    for line in ("k3", "tf244", "tfk221"):
        assert any(name.startswith(f"D_{line}_") for name in TRAININGS)
    assert len({layer["class_name"] for layer in LAYERS_OF_KERAS.values()}) > 40


def test_every_policy_that_tf_serialized_passes():
    cases = json.loads((CASES / "g2_policy_roundtrip.json").read_text())
    found = [case["expected"]["serialized"] for case in cases if case["op"] == "policy_serialize"]
    for serialized in found:
        value = POLICY.validate_python(serialized)
        assert (value.given() if isinstance(value, Spec) else value) == serialized
    assert found
