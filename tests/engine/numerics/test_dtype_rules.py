"""What the original refuses for its dtypes and is done here is named; `tests/campaigns` saw the originals refuse it."""

from typing import Any

import pytest

from engine import conventions
from engine.numerics.linter import lint
from engine.numerics.model_policy import read_model_policy
from engine.numerics.subject import Subject
from tests.engine.numerics.subjects import dense, layer, subject

L2 = {"class_name": "L2", "config": {"l2": 0.01}}
HEAD = dense("head", 2, dtype="float32")
CLIPPED = {"class_name": "SGD", "config": {"global_clipnorm": 1.0}}
SMOOTHED = [
    {"class_name": name, "config": {"label_smoothing": 0.1}}
    for name in ("CategoricalCrossentropy", "BinaryCrossentropy")
]


def refused(*layers: dict[str, Any], **settings: Any) -> list[str | None]:
    found = lint(subject(*layers, **settings))
    return [each.layer or each.about for each in found if each.code == "original_refuses"]


@pytest.mark.parametrize(
    ("settings", "policy", "named"),
    [
        ({"kernel_regularizer": L2}, "bfloat16", ["body"]),
        ({"kernel_regularizer": L2}, "float64", ["body"]),
        ({"kernel_regularizer": L2}, "mixed_bfloat16", []),
        ({"activity_regularizer": L2}, "mixed_float16", ["body"]),
        ({"activity_regularizer": L2}, "float32", []),
    ],
)
def test_keras3_adds_no_penalty_that_is_not_float32(settings: dict[str, Any], policy: str, named: list[str]):
    layers = (dense("body", **settings), HEAD)
    assert refused(*layers, policy=policy, line="keras3") == named
    assert refused(*layers, policy=policy, line="tf_keras") == []


def test_keras_has_no_norm_of_gradients_of_several_dtypes():
    layers = (dense("body"), HEAD)
    assert refused(*layers, policy="float64", line="tf_keras", optimizer=CLIPPED) == ["optimizer"]
    assert refused(*layers, policy="float64", line="tf2.4", optimizer=CLIPPED) == ["optimizer"]
    assert refused(*layers, policy="mixed_float16", line="tf_keras", optimizer=CLIPPED) == []
    assert refused(*layers, policy="float64", line="keras3", optimizer=CLIPPED) == ["optimizer"]


def test_nadam_of_tf_keras_has_one_product_for_variables_of_one_dtype():
    layers = (dense("body"), HEAD)
    assert refused(*layers, policy="float16", line="tf_keras", optimizer="nadam") == ["optimizer"]
    assert refused(*layers, policy="float16", line="tf2.4", optimizer="nadam") == []
    assert refused(dense("body"), policy="float16", line="tf_keras", optimizer="nadam") == []


def test_keras2_constrains_no_variable_to_be_positive_that_is_not_float32():
    layers = (dense("body", kernel_constraint={"class_name": "NonNeg", "config": {}}), HEAD)
    for line, policy, named in (
        ("tf_keras", "float64", ["body"]),
        ("tf2.4", "float64", ["body"]),
        ("tf_keras", "mixed_float16", []),
        ("keras3", "float64", []),
    ):
        assert refused(*layers, policy=policy, line=line) == named


@pytest.mark.parametrize("loss", SMOOTHED, ids=lambda loss: str(loss["class_name"]))
def test_tf24_smooths_no_labels_of_another_dtype(loss: dict[str, Any]):
    layers = (dense("body"), dense("head", 2, activation="softmax"))
    assert refused(*layers, policy="float16", line="tf2.4", loss=loss) == ["head"]
    assert refused(*layers, policy="float32", line="tf2.4", loss=loss) == []
    assert refused(*layers, policy="float16", line="tf_keras", loss=loss) == []


@pytest.mark.parametrize("inner", ["GroupNormalization", "Softmax"])
def test_tf_keras_hands_no_mask_of_steps_to_a_layer_inside_time_distributed(inner: str):
    """Seeds 652 and 735 of `tests/campaigns`: Incompatible shapes: [42] vs. [42,3]."""
    config = {"groups": 1} if inner == "GroupNormalization" else {}
    each = layer("TimeDistributed", name="each", layer=layer(inner, name="inner", **config))
    masking = layer("Masking", name="masking")
    for line, masked, named in (("tf_keras", True, ["each"]), ("tf_keras", False, []), ("keras3", True, [])):
        layers = (*([masking] if masked else []), each, HEAD)
        assert refused(*layers, line=line, shape=(3, 4)) == named, line


def test_a_penalty_inside_time_distributed_is_idle_in_keras3():
    inner = dense("inner", activity_regularizer=L2)
    each = layer("TimeDistributed", name="each", layer=inner)
    for line, named in (("keras3", ["each"]), ("tf_keras", []), ("tf2.4", [])):
        found = lint(subject(each, HEAD, line=line, shape=(3, 4)))
        assert [one.layer for one in found if one.code == "penalty_without_effect"] == named


def test_keras3_counts_no_penalty_of_a_frozen_layer():
    layers = (dense("body", kernel_regularizer=L2, trainable=False), HEAD)
    assert refused(*layers, policy="float64", line="keras3") == []
    for line, count in (("keras3", 0), ("tf_keras", 1), ("tf2.4", 1)):
        assert len(subject(*layers, line=line).network.penalized_specs) == count


def test_masks_that_are_joined_along_the_steps_are_followed():
    entry = layer("InputLayer", batch_input_shape=[None, 3], name="entry")
    words = {**layer("Embedding", input_dim=9, output_dim=4, mask_zero=True, name="words"), "inbound": ["entry"]}
    once = {**layer("Concatenate", axis=1, name="once"), "inbound": ["words", "words"]}
    twice = {**layer("Concatenate", axis=1, name="twice"), "inbound": ["once", "once"]}
    layers = [
        {**each, "name": each["config"]["name"], "inbound_nodes": [[[of, 0, 0, {}] for of in each.pop("inbound", [])]]}
        for each in (entry, words, once, twice)
    ]
    layers[0]["inbound_nodes"] = []
    config = {"name": "m", "layers": layers, "input_layers": [["entry", 0, 0]], "output_layers": [["twice", 0, 0]]}
    model = {"class_name": "Functional", "config": config, "keras_version": "2.4.0"}
    policy = read_model_policy("bfloat16")
    assert lint(Subject(config=model, policy=policy, conventions=conventions.of(model)))
