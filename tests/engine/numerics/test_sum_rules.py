"""Findings about sums inside layers: where they show, and what they claim, shown by running the layer."""

import numpy as np
import pytest

from engine.dtypes import FLOAT32
from engine.numerics.linter import lint
from engine.numerics.magnitudes import magnitudes_of
from engine.run import Run
from engine.tape import Tensor
from tests.engine.numerics.subjects import dense, layer, subject
from tests.engine.test_layers import made

IMAGE = (40, 40, 1)
POOL = layer("AveragePooling2D", name="pool", pool_size=40)
FLAT = layer("Flatten", name="flat")


def found(*layers, code="sum_overflow", **settings):
    return [finding for finding in lint(subject(*layers, **settings)) if finding.code == code]


def called(name, config, x, policy="mixed_float16", line="keras3"):
    built = made(name, config, policy, line)
    run = Run(
        built.weight_specs(x.shape),
        {spec.path: np.ones(spec.shape, np.float32) for spec in built.weight_specs(x.shape)},
    )
    with np.errstate(all="ignore"):
        return np.asarray(built(run, Tensor(x.astype(np.float32), FLOAT32)).data)


def test_without_data_the_largest_mean_of_a_pooling_is_named():
    (finding,) = found(POOL, FLAT, dense("head", 1), policy="mixed_float16", shape=IMAGE)
    assert (finding.severity, finding.layer) == ("info", "pool")
    limit = finding.evidence["largest_mean"]
    assert limit == pytest.approx(65504 / 1600)
    pooled = {
        factor: called("AveragePooling2D", {"pool_size": 40}, np.full((1, *IMAGE), limit * factor))
        for factor in (0.5, 2)
    }
    assert np.isfinite(pooled[0.5]).all()
    assert np.isinf(pooled[2]).all()


@pytest.mark.parametrize(
    ("policy", "value", "severities"),
    [
        ("mixed_float16", 100, ["error"]),
        ("mixed_float16", 10, []),
        ("mixed_bfloat16", 100, []),
        ("float32", 100, []),
    ],
)
def test_with_data_the_figures_are_theirs(policy, value, severities):
    data = np.full((2, *IMAGE), value, np.float32)
    assert [
        each.severity for each in found(POOL, FLAT, dense("head", 1), policy=policy, shape=IMAGE, inputs=data)
    ] == severities


@pytest.mark.parametrize(
    ("policy", "side", "stalls"), [("float16", 40, False), ("float16", 60, True), ("bfloat16", 20, True)]
)
def test_a_running_sum_of_many_small_numbers_stops_to_grow(policy, side, stalls):
    shape = (side, side, 1)
    pool = layer("AveragePooling2D", name="pool", pool_size=side)
    findings = found(pool, FLAT, dense("head", 1), policy=f"mixed_{policy}", shape=shape, code="precision_loss")
    assert [each.layer for each in findings if each.severity == "warning"] == (["pool"] if stalls else [])
    x = np.zeros((1, *shape))
    x[:, : side // 2] = 1  # as many ones as a sum takes in; but the count stops growing
    pooled = called("AveragePooling2D", {"pool_size": side}, x, f"mixed_{policy}")
    assert (abs(float(pooled[0, 0, 0, 0]) - 0.5) > 0.1) == stalls


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([[300.0, 1, 1, 1]], "square of 300 = 90000 > 65504"),
        ([[200.0, 200, 1, 1]], "4 squares x 20000.5 = 80002 > 65504"),
        (None, "exceeds 255.9"),
    ],
)
@pytest.mark.parametrize("line", ["tf_keras", "keras3"])
def test_a_norm_of_large_numbers_is_named_and_is_zero(line, data, words):
    given = None if data is None else np.array(data)
    (finding,) = found(
        layer("UnitNormalization", name="unit"), dense("head", 1), policy="mixed_float16", line=line, inputs=given
    )
    assert (finding.layer, finding.severity) == ("unit", "error" if data else "info")
    assert words in finding.why
    assert data is None or not called("UnitNormalization", {}, given, line=line).any()


def test_a_variance_that_float16_cannot_hold_is_named_in_tf_keras_alone():
    given = np.array([[400.0, -400, 400, -400]])
    norm = layer("GroupNormalization", name="norm", groups=2)
    (finding,) = found(norm, dense("head", 1), policy="mixed_float16", line="tf_keras", inputs=given)
    assert (finding.severity, finding.evidence["variance"]) == ("error", 160000)
    assert not found(norm, dense("head", 1), policy="mixed_float16", line="keras3", inputs=given)
    assert called("GroupNormalization", {"groups": 2}, given, line="keras3").any()
    assert not (called("GroupNormalization", {"groups": 2}, given, line="tf_keras") - 1).any()  # the offset alone


@pytest.mark.parametrize(
    ("batch_size", "words"),
    [(256, None), (257, "as this engine does"), (1024, "as this engine does"), (1025, "in float32, as GPUs do")],
)
def test_gradients_that_tensorflow_adds_up_narrow_are_named_for_large_batches(batch_size, words):
    findings = found(
        dense("body"),
        dense("head", 1, dtype="float32"),
        policy="mixed_bfloat16",
        batch_size=batch_size,
        code="precision_loss",
    )
    assert [each.layer for each in findings] == (["body"] if words else [])
    assert all(words in each.why for each in findings)


def test_the_gradient_of_a_convolution_is_named_where_it_is_too_long_to_be_summed_as_tensorflow_does():
    for length, layers in ((1000, []), (1100, ["conv"])):
        findings = found(
            layer("Conv1D", name="conv", filters=1, kernel_size=1),
            dense("head", 1, dtype="float32"),
            policy="mixed_float16",
            batch_size=1,
            shape=(length, 1),
            code="precision_loss",
        )
        assert [each.layer for each in findings] == layers


def test_magnitudes_of_data():
    seen = magnitudes_of(np.array([[3.0, -5], [1, 1]]))
    assert (seen.largest, seen.mean, seen.mean_square, seen.variance) == (5, 1, 17, 16)
    assert magnitudes_of(np.array([[np.nan]])) is None
    assert magnitudes_of(np.empty((0, 3))) is None


def test_what_hands_numbers_on_is_looked_through_and_what_changes_them_is_not():
    data, unit = np.full((1, 4), 300.0), layer("UnitNormalization", name="unit")
    kept = layer("Reshape", name="again", target_shape=[2, 2])
    for before, severity in ((kept, "error"), (layer("Rescaling", name="again", scale=0.01), "info")):
        (finding,) = found(before, unit, FLAT, dense("head", 1), policy="mixed_float16", inputs=data)
        assert finding.severity == severity
