from typing import Any

import pytest

from engine.conventions import KERAS3, TF24, TF_KERAS
from engine.errors import EngineError
from engine.optimizers import SGD, Adam
from engine.optimizers.hyperparameters import hyperparameter, with_hyperparameter
from engine.optimizers.later_loss_scale_optimizers import Keras3LossScaleOptimizer, LossScaleOptimizerV3
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.schedules import ExponentialDecay
from engine.serialization import keras3_optimizers, tf_keras_optimizers

LINES: dict[str, Any] = {
    "tf_keras": (tf_keras_optimizers, SGD(conventions=TF_KERAS), tf_keras_optimizers.wrapped),
    "legacy": (tf_keras_optimizers, SGD(conventions=TF24), tf_keras_optimizers.wrapped),
    "keras3": (keras3_optimizers, SGD(conventions=KERAS3), Keras3LossScaleOptimizer),
}


@pytest.mark.parametrize("line", LINES)
def test_what_is_written_is_read_again(line):
    dialect, inner, wrap = LINES[line]
    wrapped = wrap(inner, initial_scale=8.0, dynamic_growth_steps=3)
    assert dialect.deserialize_optimizer(dialect.serialize_optimizer(wrapped)) == wrapped
    assert dialect.deserialize_optimizer(dialect.serialize_optimizer(inner)) == inner


def refusal(call):
    with pytest.raises(EngineError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("deserialize", [module.deserialize_optimizer for module, _, _ in LINES.values()])
@pytest.mark.parametrize(
    ("config", "original"),
    [
        (5, "TypeError"),
        ({"config": {}}, "KeyError"),
        ({"class_name": 5, "config": {}}, "AttributeError"),
        ({"class_name": "SGD", "config": 5}, "TypeError"),
        ({"class_name": "SGD", "config": {}, "module": None}, "TypeError"),
    ],
)
def test_what_is_no_optimizer_is_refused(deserialize, config, original):
    assert refusal(lambda: deserialize(config)).original == original


@pytest.mark.parametrize(("line", "original"), [("tf_keras", "ValueError"), ("keras3", "AttributeError")])
def test_an_unknown_optimizer_is_refused_as_its_package_comes_to_refuse_it(line, original):
    dialect, _, _ = LINES[line]
    unknown = {"class_name": "NoSuch", "config": {}}
    assert refusal(lambda: dialect.deserialize_optimizer(unknown)).original == original


def test_tf_keras_asks_for_a_config():
    assert refusal(lambda: tf_keras_optimizers.deserialize_optimizer({"class_name": "SGD"})).original == "KeyError"


def test_each_wrapper_of_tf_keras_takes_its_own_optimizers():
    new = {"class_name": "SGD", "config": {"is_legacy_optimizer": False}}
    read = tf_keras_optimizers.read_wrapper("LossScaleOptimizerV3", {"inner_optimizer": new})
    assert isinstance(read, LossScaleOptimizerV3)
    error = refusal(lambda: tf_keras_optimizers.read_wrapper("LossScaleOptimizer", {"inner_optimizer": new}))
    assert error.code == "new_optimizer"
    error = refusal(lambda: LossScaleOptimizerV3(SGD(conventions=TF24)))
    assert error.code == "legacy_optimizer"


@pytest.mark.parametrize("identifier", [5, ["sgd"]])
def test_tf_keras_refuses_what_names_no_optimizer(identifier):
    assert refusal(lambda: tf_keras_optimizers.get_optimizer(identifier)).code == "unknown_optimizer"


def test_tf_keras_reads_names_and_dicts():
    assert tf_keras_optimizers.get_optimizer("SGD") == SGD(conventions=TF_KERAS)
    assert tf_keras_optimizers.get_optimizer({"class_name": "sgd", "config": {}}) == SGD(conventions=TF_KERAS)


@pytest.mark.parametrize("setting", ["initial_scale", "dynamic_growth_steps"])
def test_keras_3_notices_what_is_no_number_only_when_it_counts(setting):
    optimizer = Keras3LossScaleOptimizer(SGD(conventions=KERAS3), **{setting: "3"})
    assert optimizer.get_config()[setting] == "3"
    assert refusal(lambda: optimizer.rule).path == (setting,)


def test_keras_3_switches_the_fixed_scale_of_the_inner_optimizer_off():
    inner = SGD(loss_scale_factor=4.0, conventions=KERAS3)
    assert Keras3LossScaleOptimizer(inner).inner_optimizer.loss_scale_factor is None


def test_a_wrapper_inside_a_wrapper_is_refused():
    once = keras3_optimizers.serialize_optimizer(Keras3LossScaleOptimizer(SGD(conventions=KERAS3)))
    twice = {**once, "config": {"inner_optimizer": once}}
    assert refusal(lambda: keras3_optimizers.deserialize_optimizer(twice)).path[:2] == ("config", "inner_optimizer")


def test_hyperparameters_reach_the_inner_optimizer():
    optimizer = LossScaleOptimizer(Adam(learning_rate=0.1, conventions=TF24))
    changed = with_hyperparameter(optimizer, "lr", 0.5)
    assert hyperparameter(changed, "learning_rate") == 0.5
    assert changed.inner_optimizer.learning_rate == 0.5
    assert hyperparameter(optimizer, "lr") == 0.10000000149011612
    assert hyperparameter(optimizer, "clipnorm") is None
    schedule = ExponentialDecay(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)
    assert hyperparameter(with_hyperparameter(optimizer, "learning_rate", schedule), "lr") == schedule


@pytest.mark.parametrize("name", ["epsilon", "dynamic"])
def test_other_attributes_are_not_passed_on(name):
    optimizer = LossScaleOptimizer(Adam(conventions=TF24))
    assert refusal(lambda: hyperparameter(optimizer, name)).original == "AttributeError"
    assert refusal(lambda: with_hyperparameter(optimizer, name, 1)).code == "read_only"
