"""Every finding: where it shows and where not; and what it claims, shown by running the engine."""

import math
from typing import Any

import numpy as np
import pytest

from engine import ops
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32, DType
from engine.model import Model
from engine.numerics.findings import Finding
from engine.numerics.linter import lint
from engine.numerics.subject import Subject
from engine.optimizers.arithmetic import number_on
from engine.run import Noise, Run
from engine.tape import Array, Tape, Tensor
from tests.engine.numerics.subjects import dense, fixed, layer, policy_v1, subject
from tests.engine.numerics.test_scaling import DYNAMIC, FACTOR, FIXED, FLOAT8, MAP, compiled
from tests.engine.test_layers import made

HEAD = dense("head", 2, dtype="float32")
CODES = {
    "activity_regularizer_low_precision",
    "class_numbers_rounded",
    "clip_norm_overflow",
    "epsilon_underflow",
    "fixed_scale_unchecked",
    "hyperparameter_rounded",
    "initializer_without_kernel",
    "loss_low_precision",
    "original_refuses",
    "loss_scale_overflows_loss_dtype",
    "nadam_product",
    "normalization_low_precision",
    "scaling_without_effect",
    "softmax_low_precision",
    "sum_overflow",
    "unscaled_float16",
    "update_nonfinite",
    "update_swallowed",
}
SOFTMAX_LOSS = "sparse_categorical_crossentropy"
FOUND: list[tuple[tuple[dict[str, Any], ...], dict[str, Any], list[tuple[str, str, str | None]]]] = [
    ((), {"policy": "float32"}, []),
    ((), {"policy": "mixed_bfloat16", "line": "keras3"}, []),
    ((dense("body"), HEAD), {"policy": "mixed_float16"}, []),
    ((dense("body"), HEAD), {"policy": policy_v1("mixed_float16", "auto")}, []),
    ((dense("head", 2),), {"policy": "mixed_float16", "line": "keras3"}, []),
    # the loss, and its scale
    (
        (dense("head", 2),),
        {"policy": "mixed_float16"},
        [("loss_low_precision", "warning", "head"), ("loss_scale_overflows_loss_dtype", "warning", "head")],
    ),
    ((dense("head", 2),), {"policy": "mixed_bfloat16"}, [("loss_low_precision", "warning", "head")]),
    (
        (dense("head", 2),),
        {"policy": policy_v1("mixed_float16", fixed(2.0**16))},
        [
            ("loss_scale_overflows_loss_dtype", "error", "head"),
            ("loss_low_precision", "warning", "head"),
            ("fixed_scale_unchecked", "warning", None),
        ],
    ),
    ((HEAD,), {"policy": "float32", "optimizer": DYNAMIC}, [("scaling_without_effect", "warning", None)]),
    ((HEAD,), {"policy": "mixed_bfloat16", "optimizer": DYNAMIC}, [("scaling_without_effect", "warning", None)]),
    (
        (dense("body"), HEAD),
        {"policy": policy_v1("mixed_float16", fixed(1.0))},
        [("unscaled_float16", "warning", None), ("scaling_without_effect", "warning", None)],
    ),
    (
        (dense("body"), HEAD),
        {"policy": "mixed_float16", "optimizer": FIXED},
        [("fixed_scale_unchecked", "warning", None)],
    ),
    (
        (dense("body"), HEAD),
        {"policy": policy_v1("mixed_float16", fixed(4.0)), "optimizer": DYNAMIC},
        [("scaling_without_effect", "warning", None)],
    ),
    (
        (dense("body"), HEAD),
        {"policy": "mixed_float16", "optimizer": FACTOR, "line": "keras3"},
        [("scaling_without_effect", "warning", None)],
    ),
    # not scaled
    ((dense("body"), HEAD), {"policy": policy_v1("mixed_float16", None)}, [("unscaled_float16", "warning", None)]),
    (
        (dense("body"), HEAD),
        {"policy": "mixed_float16", "line": "keras3", "auto_scale_loss": False},
        [("unscaled_float16", "warning", None)],
    ),
    (
        (dense("body", dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}), HEAD),
        {"policy": "float32"},
        [("unscaled_float16", "warning", "body")],
    ),
    (
        (dense("head"),),
        {"policy": "float8_from_mixed_float16", "line": "keras3"},
        [("unscaled_float16", "warning", None)],
    ),
    ((dense("head"),), {"policy": FLOAT8, "line": "keras3"}, [("unscaled_float16", "warning", None)]),
    ((dense("head"),), {"policy": MAP, "line": "keras3"}, [("unscaled_float16", "warning", None)]),
    # epsilons
    (
        (dense("head", 2),),
        {"policy": "float16", "line": "keras3"},
        [("unscaled_float16", "warning", None), ("epsilon_underflow", "warning", None)],
    ),
    (
        (dense("head", 2),),
        {"policy": "float16", "line": "keras3", "optimizer": {"class_name": "Adam", "config": {"epsilon": 1e-8}}},
        [("epsilon_underflow", "error", None), ("unscaled_float16", "warning", None)],
    ),
    (
        (dense("head", 2),),
        {"policy": "float16", "line": "keras3", "optimizer": {"class_name": "Adam", "config": {"epsilon": 1e-3}}},
        [("unscaled_float16", "warning", None)],
    ),
    ((dense("head", 2),), {"policy": "bfloat16", "line": "keras3"}, [("update_swallowed", "error", None)]),
    (
        (layer("LayerNormalization", name="norm", epsilon=1e-6), HEAD),
        {"policy": "mixed_float16"},
        [("epsilon_underflow", "info", "norm"), ("normalization_low_precision", "info", "norm")],
    ),
    (
        (layer("BatchNormalization", name="norm", epsilon=1e-12), HEAD),
        {"policy": "mixed_float16"},
        [("epsilon_underflow", "warning", "norm"), ("normalization_low_precision", "info", "norm")],
    ),
    ((layer("LayerNormalization", name="norm", epsilon=1e-12), HEAD), {"policy": "float32"}, []),
    # updates in narrow variables
    (
        (dense("head", 2),),
        {"policy": "bfloat16", "line": "keras3", "optimizer": layer("Adam", beta_1=0.999, beta_2=0.9)},
        [("update_nonfinite", "error", None)],
    ),
    (
        (dense("head", 2),),
        {"policy": "bfloat16", "line": "keras3", "optimizer": layer("RMSprop", rho=0.999, learning_rate=0.01)},
        [("hyperparameter_rounded", "warning", None)],
    ),
    (
        (dense("head", 2),),
        {"policy": "bfloat16", "line": "keras3", "optimizer": layer("SGD", momentum=0.999)},
        [("hyperparameter_rounded", "warning", None)],
    ),
    (
        (dense("head", 2),),
        {"policy": "bfloat16", "line": "keras3", "optimizer": layer("Lion")},
        [("update_swallowed", "warning", None)],
    ),
    (
        (dense("head", 2),),
        {"policy": "float16", "line": "keras3", "optimizer": layer("SGD", clipnorm=1e5)},
        [("clip_norm_overflow", "error", None), ("unscaled_float16", "warning", None)],
    ),
    (
        (dense("head", 2),),
        {"policy": "float16", "line": "keras3", "optimizer": layer("SGD", global_clipnorm=1.0)},
        [("unscaled_float16", "warning", None), ("clip_norm_overflow", "warning", None)],
    ),
    # losses
    (
        (dense("head", 784),),
        {"policy": "mixed_bfloat16"},
        [("loss_low_precision", "warning", "head")],
    ),
    (
        (dense("head", 784),),
        {"policy": "mixed_float16", "line": "tf_keras"},
        [
            ("loss_low_precision", "warning", "head"),
            ("loss_scale_overflows_loss_dtype", "warning", "head"),
            ("sum_overflow", "warning", "head"),
        ],
    ),
    ((dense("head", 784),), {"policy": "mixed_float16", "line": "keras3"}, []),
    (
        (dense("head", 300),),
        {"policy": "mixed_bfloat16", "loss": "sparse_categorical_crossentropy"},
        [
            ("class_numbers_rounded", "error", "head"),
            ("loss_low_precision", "warning", "head"),
            ("original_refuses", "warning", None),
        ],
    ),
    # layers
    (
        (layer("LayerNormalization", name="norm"), HEAD),
        {"policy": "bfloat16", "line": "keras3", "optimizer": "sgd"},
        [("normalization_low_precision", "warning", "norm")],
    ),
    (
        (dense("body"), layer("LayerNormalization", name="norm"), HEAD),
        {"policy": "mixed_bfloat16", "line": "keras3"},
        [("normalization_low_precision", "info", "norm")],
    ),
    (
        (dense("body", activation="softmax"), HEAD),
        {"policy": "mixed_float16"},
        [("softmax_low_precision", "warning", "body")],
    ),
    (
        (layer("Softmax", name="soft"), layer("Activation", name="last", activation="linear", dtype="float32")),
        {"policy": "mixed_float16"},
        [("softmax_low_precision", "warning", "soft")],
    ),
    (
        (dense("head", 2, activation="softmax"),),
        {"policy": "mixed_float16", "line": "keras3", "loss": SOFTMAX_LOSS},
        [("softmax_low_precision", "info", "head")],
    ),
    (
        (dense("body", activity_regularizer="l2"), HEAD),
        {"policy": "mixed_float16"},
        [("activity_regularizer_low_precision", "warning", "body")],
    ),
    (
        (layer("ActivityRegularization", name="penalty", l1=0.1), HEAD),
        {"policy": "mixed_float16"},
        [("activity_regularizer_low_precision", "warning", "penalty")],
    ),
    (
        (dense("body", kernel_initializer="orthogonal"), HEAD),
        {"policy": "bfloat16", "line": "keras3", "optimizer": "sgd"},
        [("initializer_without_kernel", "warning", "body")],
    ),
    ((dense("body", kernel_initializer="orthogonal"), HEAD), {"policy": "mixed_bfloat16", "line": "keras3"}, []),
    (
        (HEAD,),
        {"policy": "float32", "line": "tf_keras", "optimizer": {"class_name": "Nadam"}},
        [("nadam_product", "info", None)],
    ),
    (
        (dense("head", 2, use_bias=False),),
        {"policy": "float32", "line": "tf_keras", "optimizer": {"class_name": "Nadam"}},
        [("nadam_product", "error", None)],
    ),
    ((HEAD,), {"policy": "float32", "line": "keras3", "optimizer": {"class_name": "Nadam"}}, []),
]


@pytest.mark.parametrize(("layers", "settings", "wanted"), FOUND)
def test_what_is_found(layers: Any, settings: dict[str, Any], wanted: list[tuple[str, str, str | None]]) -> None:
    found = lint(subject(*layers, **settings))
    assert [(each.code, each.severity, each.layer) for each in found] == wanted
    for each in found:
        assert each.why.endswith(".")
        assert each.fix.endswith(".")
        assert each.source
        assert all(not isinstance(value, float) or math.isfinite(value) for value in each.evidence.values())


def test_every_code_is_covered() -> None:
    assert {code for _, _, wanted in FOUND for code, _, _ in wanted} == CODES


def test_layers_inside_others_are_looked_at_too() -> None:
    inner = dense("inner", activation="softmax")
    wrapped = layer("TimeDistributed", name="outer", layer=inner)
    found = lint(subject(wrapped, HEAD, policy="mixed_float16", shape=(3, 4)))
    assert [(each.code, each.layer) for each in found] == [("softmax_low_precision", "outer/inner")]


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adadelta", "Adafactor", "Nadam", "Adagrad"])
def test_a_lost_epsilon_is_an_error_only_where_it_is_needed(name: str) -> None:
    key = "epsilon_1" if name == "Adafactor" else "epsilon"
    optimizer = {"class_name": name, "config": {key: 1e-9}}
    model = subject(dense("head", 1), policy="float16", optimizer=optimizer, line="keras3")
    (found,) = (each for each in lint(model) if each.code == "epsilon_underflow")
    assert (found.evidence["held_as"], number_on(1e-9, FLOAT16)) == (0.0, 0.0)
    ready = compiled(model)
    x, y = np.zeros((4, 4), np.float32), np.zeros((4, 1), np.float32)  # so that every gradient is 0
    ready.train_on_batch(x, y)
    lost = any(np.isnan(array).any() for array in ready.variables.values())
    assert lost == (found.severity == "error") == (name != "Adagrad")


@pytest.mark.parametrize(("line", "policies"), [("tf2.4", {"float16", "bfloat16"}), ("keras3", {"bfloat16"})])
def test_recurrent_layers_cannot_start_in_every_dtype(line: str, policies: set[str]) -> None:
    """Recorded: golden G6 (TF 2.4.4) and G7 (Keras 3.15.1 on TF 2.21) hold these layers' errors."""
    recurrent = layer("Bidirectional", name="both", layer=layer("LSTM", name="lstm", units=3))
    for policy in ("float32", "mixed_float16", "float16", "bfloat16"):
        found = lint(subject(recurrent, HEAD, policy=policy, line=line, shape=(3, 4)))
        named = [each.layer for each in found if each.code == "initializer_without_kernel"]
        assert len(named) == (2 if policy in policies else 0)
        assert all(name is not None and name.startswith("both/") for name in named)


def only(model: Subject, code: str) -> Finding:
    return next(each for each in lint(model) if each.code == code)


def test_a_subnormal_epsilon_is_held_as_said() -> None:
    found = only(subject(dense("head"), policy="float16"), "epsilon_underflow")
    assert found.evidence["held_as"] == float(np.float16(1e-7)) != 1e-7


def normalized_gradient(epsilon: float, dtype: DType) -> Array:
    """The gradient by a row that does not vary, of a loss scaled to 2**10."""
    tape = Tape()
    x = tape.leaf(np.full((1, 4), 3, np.float32), dtype)
    one = Tensor(np.ones((1, 4), np.float32), FLOAT32)
    zero = Tensor(np.zeros((1, 4), np.float32), FLOAT32)
    y = ops.layer_normalization(x, one, zero, (1,), epsilon)
    with np.errstate(all="ignore"):
        (gradient,) = tape.gradient(y, [x], seed=np.array([[1024, 0, 0, 0]], np.float32))
    assert gradient is not None
    return gradient


def test_gradients_of_what_does_not_vary_grow_by_the_root_of_epsilon() -> None:
    model = subject(layer("LayerNormalization", name="norm", epsilon=1e-12), HEAD, policy="mixed_float16")
    factor = float(only(model, "epsilon_underflow").evidence["gradient_factor"] or 0)
    assert normalized_gradient(1e-12, FLOAT32).max() == pytest.approx(768 * factor, rel=1e-3)
    assert np.isinf(normalized_gradient(1e-12, FLOAT16)).all()
    assert np.isfinite(normalized_gradient(1e-3, FLOAT16)).all()


def test_narrow_inputs_lose_what_a_normalization_would_show() -> None:
    found = only(
        subject(layer("LayerNormalization", name="norm"), policy="mixed_float16"), "normalization_low_precision"
    )
    assert found.evidence["integers_up_to"] == 2048
    outputs = []
    for policy in ("float32", "mixed_float16"):
        norm = made("LayerNormalization", {"center": False, "scale": False}, policy)
        outputs.append(norm(Run((), {}), Tensor(np.array([[2048, 2049]], np.float32), FLOAT32)).data)
    assert np.allclose(np.abs(outputs[0]), 1, atol=0.01)
    assert outputs[1].tolist() == [[0, 0]]


def test_a_narrow_scale_swallows_updates() -> None:
    gammas = []
    slow = {"class_name": "SGD", "config": {"learning_rate": 1e-4}}
    for dtype in ("bfloat16", "float32"):
        norm = layer("LayerNormalization", name="norm", dtype=dtype)
        model = subject(norm, dense("head", 1, dtype="float32"), line="keras3", optimizer=slow)
        findings = [each for each in lint(model) if each.code == "normalization_low_precision"]
        assert [each.severity for each in findings] == (["warning"] if dtype == "bfloat16" else [])
        ready = compiled(model)
        before = {path: array.copy() for path, array in ready.variables.items()}
        ready.fit(np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32), np.full((8, 1), 1e-3), epochs=2)
        gammas.append(bool((ready.variables["norm/gamma"] != before["norm/gamma"]).any()))
    assert gammas == [False, True]
    smallest = BFLOAT16.epsilon / 4
    assert number_on(1 + smallest, BFLOAT16) == 1 == number_on(1 - smallest * 0.99, BFLOAT16)


def test_small_probabilities_vanish() -> None:
    found = only(subject(layer("Softmax", name="soft"), policy="mixed_float16"), "softmax_low_precision")
    assert found.evidence["min_subnormal"] == FLOAT16.min_subnormal
    values = {
        policy: made("Softmax", {}, policy)(Run((), {}), Tensor(np.array([[0, -18]], np.float32), FLOAT32)).data[0, 1]
        for policy in ("float32", "mixed_float16")
    }
    assert values["float32"] == pytest.approx(math.exp(-18), rel=1e-3)
    assert values["mixed_float16"] == 0


@pytest.mark.parametrize(("magnitude", "infinite"), [(0.9, False), (1.1, True)])
def test_an_activity_penalty_overflows_where_it_is_said_to(magnitude: float, infinite: bool) -> None:
    penalty = layer("ActivityRegularization", name="penalty", l2=0.01)
    model = subject(penalty, HEAD, policy="mixed_float16", batch_size=1024, shape=(64,))
    evidence = only(model, "activity_regularizer_low_precision").evidence
    assert evidence["outputs"] == 65536
    value = magnitude * math.sqrt(float(evidence["largest_mean"] or 0))
    run = Run(model.network.weight_specs, model.network.initial_arrays(0))
    with np.errstate(over="ignore"):
        model.network.forward(run, [Tensor(np.full((1024, 64), value, np.float32), FLOAT32)])
    assert bool(np.isinf(run.losses[0].data)) == infinite


def trained(model: Subject, steps: int = 3, scale: float = 1.0) -> Model:
    ready = compiled(model)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(steps, 4)).astype(np.float32), rng.normal(size=(steps, 2)).astype(np.float32)
    with np.errstate(all="ignore"):
        ready.fit(x * np.float32(scale), y, batch_size=1, seed=1)
    return ready


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_scaling_where_nothing_is_float16_changes_no_bit(policy: str) -> None:
    plain, scaled = (
        trained(subject(dense("body"), HEAD, policy=policy, optimizer=each))
        for each in ({"class_name": "SGD", "config": {}}, DYNAMIC)
    )
    assert all(np.array_equal(array, scaled.variables[path]) for path, array in plain.variables.items())


def test_a_fixed_scale_applies_what_overflows_and_a_dynamic_one_does_not() -> None:
    lost = {}
    for kind, optimizer in {"fixed": FIXED, "dynamic": DYNAMIC}.items():
        model = subject(dense("body"), HEAD, policy="mixed_float16", optimizer=optimizer)
        ready = trained(model, scale=60000.0)
        lost[kind] = any(not np.isfinite(array).all() for array in ready.variables.values())
        assert ("fixed_scale_unchecked" in {each.code for each in lint(model)}) == lost[kind]
    assert lost == {"fixed": True, "dynamic": False}


@pytest.mark.parametrize("scaled", [True, False])
def test_small_gradients_vanish_unless_the_loss_is_scaled(scaled: bool) -> None:
    policy = policy_v1("mixed_float16", "dynamic" if scaled else None)
    model = subject(dense("head", 2), policy=policy, optimizer="sgd")
    assert ("unscaled_float16" in {each.code for each in lint(model)}) == (not scaled)
    tape = Tape()
    network = model.network
    run = Run(network.weight_specs, network.initial_arrays(0), training=True, tape=tape, noise=Noise(0, 0))
    y = network.forward(run, [Tensor(np.ones((1, 4), np.float32), FLOAT32)])[0]
    loss = ops.scale(ops.cast(ops.scale(ops.reduce_sum(ops.cast(y, FLOAT32)), 1e-8), FLOAT32), 2.0**15 if scaled else 1)
    (kernel, _) = tape.gradient(loss, [run.variables[spec.path] for spec in network.trainable_specs])
    assert kernel is not None
    assert bool(kernel.any()) == scaled


def test_a_float16_loss_costs_a_step_at_every_growth() -> None:
    """The scale grows after 2 finite steps to 2**16, which is infinite in float16: step 3 is skipped, and so on."""
    dynamic = {"class_name": "DynamicLossScale", "config": {"initial_loss_scale": 2.0**15, "increment_period": 2}}
    skipped = {}
    for head in ("float16", "float32"):
        last = dense("head", 2, dtype={"class_name": "Policy", "config": {"name": f"mixed_{head}"}})
        model = subject(last if head == "float16" else HEAD, policy=policy_v1("mixed_float16", dynamic))
        codes = {each.code for each in lint(model)}
        assert ("loss_scale_overflows_loss_dtype" in codes) == (head == "float16")
        ready = compiled(model)
        ready.fit(np.full((9, 4), 1e-4, np.float32), np.full((9, 2), 1e-4, np.float32), batch_size=1)
        assert ready._state is not None
        skipped[head] = ready._state.skipped
    assert skipped == {"float16": 3, "float32": 0}
