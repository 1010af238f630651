"""The pydantic specs and the engine's classes describe the same configs: the same classes, keys and defaults."""

import dataclasses
from typing import Any

import pytest

from engine import callbacks as engine_callbacks
from engine import constraints as engine_constraints
from engine import initializers as engine_initializers
from engine import layers as engine_layers
from engine import losses as engine_losses
from engine import metrics as engine_metrics
from engine import optimizers as engine_optimizers
from engine import regularizers as engine_regularizers
from engine import schedules as engine_schedules
from engine.conventions import CONVENTIONS, KERAS3, TF24, TF_KERAS
from engine.loss_scale import READERS as LOSS_SCALE_READERS
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.policy import Policy, PolicyV1
from tests.engine.test_layers import CONFIGS
from worker.specs import (
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    policy,
    regularizers,
    schedules,
)
from worker.specs.shape import fields_of

FAMILIES = {
    "layers": (layers.LAYERS, engine_layers.LAYERS),
    "losses": (losses.LOSSES, engine_losses.LOSSES),
    "metrics": (metrics.METRICS, engine_metrics.METRICS),
    "initializers": (initializers.INITIALIZERS, engine_initializers.INITIALIZERS),
    "regularizers": (regularizers.REGULARIZERS, engine_regularizers.REGULARIZERS),
    "constraints": (constraints.CONSTRAINTS, engine_constraints.CONSTRAINTS),
    "schedules": (schedules.SCHEDULES, engine_schedules.SCHEDULES),
    "optimizers": (optimizers.INNER, engine_optimizers.OPTIMIZERS),
    "callbacks": (callbacks.CALLBACKS, engine_callbacks.CALLBACKS),
}


def required_of(layer: type[engine_layers.Layer]) -> dict[str, Any]:
    """Return the settings without a default, as the table of layers gives them."""
    given = CONFIGS[layer.class_name][1][0]
    return {key: given[key] for key, item in settings_of(layer).items() if item.default is dataclasses.MISSING}


def settings_of(layer: type[engine_layers.Layer]) -> dict[str, Any]:
    return {item.name: item for item in dataclasses.fields(layer) if "read" in item.metadata}


REQUIRED: dict[str, dict[str, Any]] = {
    **{name: required_of(layer) for name, layer in engine_layers.LAYERS.items()},
    "InputLayer": {"batch_input_shape": [None, 3]},
    "ModelCheckpoint": {"filepath": "best.keras"},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [3], "values": [0.1, 0.01]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    "IoU": {"num_classes": 3, "target_class_ids": [0, 2]},
    "MeanIoU": {"num_classes": 3},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [1]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}
CLASSES = [(family, name) for family, (specs, _) in FAMILIES.items() for name in specs]
LINES_DIFFER = {"layers", "losses", "metrics", "optimizers", "schedules"}
TF24_FORM = {"inner_optimizer", "dynamic", "initial_scale", "dynamic_growth_steps"}


def spec_of(node: Any) -> Any:
    """Return the model of a node's config."""
    return node.model_fields["config"].annotation


def made(family: str, name: str, config: dict[str, Any], conventions=TF24) -> Any:
    if family == "layers":  # the only ones whose reading depends on the line of Keras, and that hold each other
        return engine_layers.from_config({"class_name": name, "config": config}, conventions)
    return FAMILIES[family][1][name].from_config(config)


def config_of(family: str, name: str, conventions=TF24) -> dict[str, Any]:
    found = made(family, name, REQUIRED.get(name, {}), conventions)
    takes_conventions = family not in {"initializers", "regularizers"}
    return found.get_config(conventions) if takes_conventions else found.get_config()


@pytest.mark.parametrize("family", FAMILIES)
def test_both_know_the_same_classes(family):
    specs, classes = FAMILIES[family]
    assert set(specs) == set(classes)


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_fields_are_the_keys_of_get_config(family, name):
    config = spec_of(FAMILIES[family][0][name])
    assert fields_of(config, "tf2.4") == set(config_of(family, name))


@pytest.mark.parametrize(("family", "name"), [pair for pair in CLASSES if pair[0] != "initializers"])
def test_fields_are_the_keys_of_get_config_in_keras3(family, name):
    config = spec_of(FAMILIES[family][0][name])
    assert fields_of(config, "keras3") == set(config_of(family, name, KERAS3))


@pytest.mark.parametrize(("family", "name"), [pair for pair in CLASSES if pair[0] in LINES_DIFFER])
def test_fields_are_the_keys_of_get_config_in_tf_keras(family, name):
    config = spec_of(FAMILIES[family][0][name])
    assert fields_of(config, "tf_keras") == set(config_of(family, name, TF_KERAS))


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_defaults_shown_in_the_schema_are_those_of_the_engine(family, name):
    config = spec_of(FAMILIES[family][0][name])
    # The engine makes up names; keys of single dialects are left out where they are null.
    given = config(**REQUIRED.get(name, {})).model_dump(mode="json", exclude={"name"}, exclude_none=True)
    assert made(family, name, given) == made(family, name, REQUIRED.get(name, {}))


@pytest.mark.parametrize(("family", "name"), CLASSES)
@pytest.mark.parametrize("line", CONVENTIONS.values(), ids=list(CONVENTIONS))
def test_what_the_engine_writes_is_what_the_spec_takes(family, name, line):
    node = {"class_name": name, "config": config_of(family, name, line)}
    assert FAMILIES[family][0][name].model_validate(node).given() == node


@pytest.mark.parametrize("name", engine_layers.LAYERS)
def test_every_setting_of_a_layer_has_a_field(name):
    fields = spec_of(layers.LAYERS[name]).model_fields
    # An input layer has nothing to train and casts nothing, and Keras takes neither setting there.
    not_there = {"trainable", "autocast"} if name == "InputLayer" else set()
    settings = set(settings_of(engine_layers.LAYERS[name])) - not_there
    assert settings == set(fields)


@pytest.mark.parametrize(("name", "config"), [(name, config) for name, (_, all_) in CONFIGS.items() for config in all_])
def test_what_the_engine_reads_passes(name, config):
    node = {"class_name": name, "config": config}
    assert layers.LAYERS[name].model_validate(node).given() == node


def test_loss_scales():
    assert set(policy.LOSS_SCALES) == set(LOSS_SCALE_READERS)
    for value in (FixedLossScale(2.0), DynamicLossScale()):
        config = spec_of(policy.LOSS_SCALES[type(value).__name__])
        assert set(config.model_fields) == set(value.get_config())
    assert policy.DynamicLossScaleConfig().model_dump() == DynamicLossScale().get_config()


def test_policies():
    assert set(policy.PolicyConfig.model_fields) == set(Policy("float32").get_config())
    assert set(policy.PolicyV1Config.model_fields) == set(PolicyV1("float32", loss_scale=None).get_config())


def test_loss_scale_optimizers():
    assert set(optimizers.OPTIMIZERS) == {*engine_optimizers.OPTIMIZERS, *engine_optimizers.LOSS_SCALE_OPTIMIZERS}
    made = engine_optimizers.LossScaleOptimizer(engine_optimizers.SGD())
    assert set(made.get_config()) == fields_of(optimizers.LossScaleOptimizerConfig, "tf2.4") == TF24_FORM
