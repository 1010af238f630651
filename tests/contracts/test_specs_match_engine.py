"""The pydantic specs and the engine's classes describe the same configs: the same classes, keys and defaults."""

from typing import Any

import pytest

from engine import constraints as engine_constraints
from engine import initializers as engine_initializers
from engine import layers as engine_layers
from engine import losses as engine_losses
from engine import metrics as engine_metrics
from engine import optimizers as engine_optimizers
from engine import regularizers as engine_regularizers
from engine import schedules as engine_schedules
from engine.conventions import KERAS3, TF24, TF_KERAS
from engine.loss_scale import READERS as LOSS_SCALE_READERS
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.policy import Policy, PolicyV1
from worker.specs import (
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
}
REQUIRED: dict[str, dict[str, Any]] = {
    "Dense": {"units": 3},
    "Activation": {"activation": "relu"},
    "Dropout": {"rate": 0.5},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [3], "values": [0.1, 0.01]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    "InputLayer": {"batch_input_shape": [None, 3]},
}
CLASSES = [(family, name) for family, (specs, _) in FAMILIES.items() for name in specs]
TF24_FORM = {"inner_optimizer", "dynamic", "initial_scale", "dynamic_growth_steps"}


def spec_of(node: Any) -> Any:
    """Return the model of a node's config."""
    return node.model_fields["config"].annotation


def config_of(family: str, name: str, conventions=TF24) -> dict[str, Any]:
    made = FAMILIES[family][1][name].from_config(REQUIRED.get(name, {}))
    takes_conventions = family not in {"initializers", "regularizers"}
    return made.get_config(conventions) if takes_conventions else made.get_config()


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


@pytest.mark.parametrize(("family", "name"), [pair for pair in CLASSES if pair[0] in {"optimizers", "schedules"}])
def test_fields_are_the_keys_of_get_config_in_tf_keras(family, name):
    config = spec_of(FAMILIES[family][0][name])
    assert fields_of(config, "tf_keras") == set(config_of(family, name, TF_KERAS))


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_defaults_shown_in_the_schema_are_those_of_the_engine(family, name):
    config = spec_of(FAMILIES[family][0][name])
    # The engine makes up names; keys of single dialects are left out where they are null.
    given = config(**REQUIRED.get(name, {})).model_dump(mode="json", exclude={"name"}, exclude_none=True)
    reader = FAMILIES[family][1][name].from_config
    assert reader(given) == reader(REQUIRED.get(name, {}))


@pytest.mark.parametrize(("family", "name"), CLASSES)
def test_what_the_engine_writes_is_what_the_spec_takes(family, name):
    node = {"class_name": name, "config": config_of(family, name)}
    assert FAMILIES[family][0][name].model_validate(node).given() == node


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
