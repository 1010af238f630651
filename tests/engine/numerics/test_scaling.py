"""What is said of the loss scale is what a compiled model does."""

import math
from typing import Any

import numpy as np
import pytest

from engine import losses
from engine.model import Model
from engine.numerics.model_policy import read_model_policy
from engine.numerics.scaling import LossScaling, cast_scale, loss_dtype, loss_scaling
from engine.numerics.subject import Subject
from engine.optimizers import OPTIMIZERS
from engine.optimizers.joined import Settled
from engine.rows import Rows
from engine.run import Noise
from engine.step import backward
from tests.engine.numerics.subjects import dense, fixed, layer, policy_v1, subject

DYNAMIC = {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": {"class_name": "SGD", "config": {}}}}
FIXED = {
    "class_name": "LossScaleOptimizer",
    "config": {**DYNAMIC["config"], "dynamic": False, "initial_scale": 8.0},  # type: ignore[dict-item]
}
FACTOR = {"class_name": "SGD", "config": {"loss_scale_factor": 4.0}}
FLOAT8 = {
    "module": "keras.dtype_policies",
    "class_name": "QuantizedFloat8DTypePolicy",
    "config": {"mode": "float8", "source_name": "mixed_float16"},
}
MAP = {
    "module": "keras.dtype_policies",
    "class_name": "DTypePolicyMap",
    "config": {"default_policy": "mixed_float16", "policy_map": {}},
}
SAID: list[tuple[dict[str, Any], str, str, float]] = [
    ({"policy": "mixed_float16"}, "dynamic", "policy_name", 2.0**15),
    ({"policy": "mixed_float16", "line": "tf_keras"}, "dynamic", "policy_name", 2.0**15),
    ({"policy": "mixed_float16", "line": "keras3"}, "dynamic", "policy_name", 2.0**15),
    ({"policy": "mixed_float16", "optimizer": None}, "dynamic", "policy_name", 2.0**15),
    ({"policy": "mixed_bfloat16"}, "none", "policy_not_scaled", 1.0),
    ({"policy": "float16"}, "none", "policy_not_scaled", 1.0),
    ({"policy": policy_v1("mixed_float16", "auto")}, "dynamic", "policy_loss_scale", 2.0**15),
    ({"policy": policy_v1("mixed_float16", None)}, "none", "policy_without_loss_scale", 1.0),
    ({"policy": policy_v1("float32", fixed(8.0))}, "fixed", "policy_loss_scale", 8.0),
    ({"policy": policy_v1("float16", "auto")}, "none", "policy_without_loss_scale", 1.0),
    ({"policy": "float32", "optimizer": DYNAMIC}, "dynamic", "optimizer_given", 2.0**15),
    ({"policy": "mixed_float16", "optimizer": FIXED}, "fixed", "optimizer_given", 8.0),
    ({"policy": policy_v1("mixed_float16", fixed(2.0)), "optimizer": FIXED}, "fixed", "optimizer_given", 8.0),
    ({"policy": "float32", "optimizer": FACTOR, "line": "keras3"}, "fixed", "loss_scale_factor", 4.0),
    ({"policy": "mixed_float16", "optimizer": FACTOR, "line": "keras3"}, "dynamic", "policy_name", 2.0**15),
    (
        {"policy": "mixed_float16", "optimizer": FACTOR, "line": "keras3", "auto_scale_loss": False},
        "fixed",
        "loss_scale_factor",
        4.0,
    ),
    (
        {"policy": "mixed_float16", "line": "keras3", "auto_scale_loss": False},
        "none",
        "auto_scale_loss_off",
        1.0,
    ),
    ({"policy": "mixed_float16", "auto_scale_loss": False}, "dynamic", "policy_name", 2.0**15),
    ({"policy": "float8_from_mixed_float16", "line": "keras3"}, "none", "name_not_recognised", 1.0),
    ({"policy": FLOAT8, "line": "keras3"}, "none", "name_not_recognised", 1.0),
    ({"policy": MAP, "line": "keras3"}, "none", "name_not_recognised", 1.0),
    ({"policy": MAP, "line": "keras3", "optimizer": FACTOR}, "fixed", "loss_scale_factor", 4.0),
    ({"policy": "int8_from_mixed_bfloat16", "line": "keras3"}, "none", "policy_not_scaled", 1.0),
]


@pytest.mark.parametrize(("settings", "kind", "decided_by", "scale"), SAID)
def test_who_decides_and_how(settings: dict[str, Any], kind: str, decided_by: str, scale: float) -> None:
    found = loss_scaling(subject(**settings))
    assert (found.kind, found.decided_by, found.loss_scale) == (kind, decided_by, scale)
    assert "{" not in found.why


@pytest.mark.parametrize(
    "settings",
    [settings for settings, *_ in SAID if not subject(**settings).policy.never_scaled and "optimizer" not in settings],
)
def test_a_compiled_model_has_that_rule(settings: dict[str, Any]) -> None:
    model = subject(**settings)
    assert compiled(model).optimizer.rule == loss_scaling(model).rule


def test_keras3_resets_the_factor_that_it_wraps() -> None:
    reset = loss_scaling(subject(policy="mixed_float16", optimizer=FACTOR, line="keras3"))
    kept = loss_scaling(subject(policy="float32", optimizer=FACTOR, line="keras3"))
    assert (reset.factor_reset, kept.factor_reset) == (True, False)


def compiled(model: Subject) -> Model:
    found = Model(model.network)
    optimizer = "sgd" if model.optimizer is None else model.optimizer
    found.compile(optimizer, model.loss, auto_scale_loss=model.auto_scale_loss)
    return found


@pytest.mark.parametrize("line", ["tf2.4", "tf_keras", "keras3"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "bfloat16", "float64"])
@pytest.mark.parametrize("head", [{}, {"dtype": "float32"}])
@pytest.mark.parametrize(
    "body", [{}, {"kernel_regularizer": "l2"}, {"activity_regularizer": "l2"}, {"kernel_regularizer": "l1"}]
)
def test_the_loss_has_that_dtype_when_it_is_run(
    line: str, policy: str, head: dict[str, Any], body: dict[str, Any]
) -> None:
    model = subject(dense("body", **body), dense("head", 2, **head), policy=policy, line=line)
    ready = compiled(model)
    rows = Rows((np.ones((2, 4), np.float32),), (np.zeros((2, 2), np.float32),), (None,))
    settled = Settled(model.network.initial_arrays(0), {}, ready.compilation.optimizer.inner_optimizer)
    assert backward(model.network, ready.compilation, settled, rows, 1.0, Noise(0, 0)).loss.dtype is loss_dtype(model)


def test_penalties_inside_a_wrapper_count() -> None:
    inner = dense("inner", 2, activity_regularizer="l2", dtype="float32")
    wrapped = layer("TimeDistributed", name="outer", layer=inner)
    last = dense("head", 2, dtype="float16")
    assert loss_dtype(subject(wrapped, last, policy="float16", shape=(3, 4))).name == "float32"


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_every_loss_can_be_asked_for_its_dtype(name: str) -> None:
    assert loss_dtype(subject(policy="float16", loss={"class_name": name, "config": {}})).name in {"float16", "float32"}


@pytest.mark.parametrize(("scale", "as_cast"), [(2.0**15, 2.0**15), (2.0**16, math.inf), (65519.0, 65504.0)])
def test_the_scale_as_cast_is_what_multiplies_the_loss(scale: float, as_cast: float) -> None:
    model = subject(dense("head", 2), policy=policy_v1("mixed_float16", fixed(scale)))
    found = loss_scaling(model)
    assert (found.loss_dtype.name, found.as_cast) == ("float16", as_cast)
    assert np.isfinite(gradients(model, scale)) != math.isinf(as_cast)


def gradients(model: Subject, scale: float) -> float:
    rows = Rows((np.full((2, 4), 1e-3, np.float32),), (np.zeros((2, 2), np.float32),), (None,))
    compilation = compiled(model).compilation
    settled = Settled(model.network.initial_arrays(0), {}, compilation.optimizer.inner_optimizer)
    with np.errstate(all="ignore"):
        done = backward(model.network, compilation, settled, rows, scale, Noise(0, 0))
        return float(sum(np.abs(found).sum() for found in done.gradients if found is not None))


@pytest.mark.parametrize(("scale", "lost"), [(2.0**15, 0), (2.0**16, 1), (2.0**24, 9)])
def test_the_first_steps_lost_are_those_that_a_training_skips(scale: float, lost: int) -> None:
    dynamic = {"class_name": "DynamicLossScale", "config": {"initial_loss_scale": scale}}
    model = subject(dense("head", 1), policy=policy_v1("mixed_float16", dynamic), optimizer="sgd")
    found: LossScaling = loss_scaling(model)
    assert found.lost_steps == lost
    ready = compiled(model)
    # So small a loss that its gradients overflow at no scale that fits into float16 itself. Of single rows, twice the
    # gradient of the loss would not fit at 2 ** 15: TF 2.4.4 skips one step more.
    ready.fit(np.full((24, 4), 1e-3, np.float32), np.zeros((24, 1), np.float32), batch_size=2, shuffle=False)
    state = ready._state
    assert state is not None
    assert state.skipped == lost


def test_a_scale_beyond_float16_fits_into_a_float32_loss() -> None:
    assert cast_scale(2.0**24, loss_dtype(subject(dense("head", dtype="float32")))) == 2.0**24


def test_every_optimizer_is_asked_alike() -> None:
    for name in OPTIMIZERS:
        assert loss_scaling(subject(policy="mixed_float16", optimizer=name)).optimizer == "LossScaleOptimizer"


def test_a_map_gives_layers_their_policies_by_path() -> None:
    policies = {
        **MAP,
        "config": {
            "default_policy": "mixed_float16",
            "policy_map": {
                "small/head": {"class_name": "DTypePolicy", "config": {"name": "float32"}},
                "small/b.*": {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}},
            },
        },
    }
    model = subject(dense("first"), dense("body"), dense("own", dtype="float64"), dense("head"), policy=policies)
    found = {each.name: each.policy.compute_dtype for each in model.network.layers}
    assert found == {
        "entry": "float32",
        "first": "float16",
        "body": "bfloat16",
        "own": "float64",
        "head": "float32",
    }
    assert read_model_policy(policies).name == "map_mixed_float16"
