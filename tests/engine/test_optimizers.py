"""Optimizers: their formulas in float64, their configs, and what all of them have in common."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import optimizers
from engine.conventions import CONVENTIONS, KERAS3, TF24, TF_KERAS, Conventions
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, as_dtype
from engine.errors import InvalidType, InvalidValue, Unsupported
from engine.optimizers import OPTIMIZERS, SGD, Adam, Nadam, RMSprop
from engine.optimizers.nadam import PRODUCT
from engine.rounding import round_to
from engine.schedules import ExponentialDecay
from engine.tape import Array
from tests.engine.updates import descend, random, variables

LINES = tuple(CONVENTIONS.values())
EACH = sorted(OPTIMIZERS)
RATES = {"SGD": 0.1, "Adadelta": 30.0, "Adagrad": 0.3, "Ftrl": 0.5, "Adafactor": 0.03, "Lion": 0.02}

VARIANTS: tuple[dict[str, Any], ...] = (
    {"class_name": "SGD", "config": {"momentum": 0.9, "nesterov": True}},
    {"class_name": "RMSprop", "config": {"momentum": 0.5, "centered": True}},
    {"class_name": "Adam", "config": {"amsgrad": True, "weight_decay": 0.01, "global_clipnorm": 1.0}},
    {"class_name": "Ftrl", "config": {"l1_regularization_strength": 0.01, "beta": 0.1, "learning_rate_power": -0.4}},
)

NADAM_TF_KERAS = [0.6986120343208313, 0.7332279682159424, 0.7433300018310547]
UPKEEP: tuple[dict[str, Any], ...] = (
    {"clipnorm": 1.0},
    {"global_clipnorm": 1.0},
    {"clipvalue": 0.5},
    {"use_ema": True, "weight_decay": 0.01},
    {"gradient_accumulation_steps": 2},
)


def made(name: str, line: Conventions = KERAS3, **settings: Any) -> optimizers.Optimizer:
    return OPTIMIZERS[name].from_config(settings, conventions=line)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=lambda dtype: dtype.name)
def test_each_comes_down_a_quadratic(name, line, dtype):
    of = variables(made(name, line, learning_rate=RATES.get(name, 0.02)), dtype)
    before = sum(float(np.square(array).sum()) for array in of.arrays)
    descend(of, lambda w: 2 * w, 300)
    assert sum(float(np.square(array).sum()) for array in of.arrays) < 0.05 * before


@pytest.mark.parametrize("line", [KERAS3, TF24], ids=lambda line: line.name)
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("serialized", [*({"class_name": name} for name in EACH), *VARIANTS], ids=str)
def test_low_precision_variables_and_slots_stay_on_their_grid(serialized, dtype, line):
    built = optimizers.get(serialized, line).inner_optimizer
    of = variables(dataclasses.replace(built, use_ema=True, ema_momentum=0.7), dtype)
    descend(of, lambda w: 2 * w, 5)
    for array in (*of.arrays, *of.slots.values()):
        assert np.array_equal(array, round_to(array.copy(), dtype), equal_nan=True)
        # bfloat16 holds 0.999 as 1, so that Nadam divides 0 by 1 - 1: it does in Keras too.
        assert np.isfinite(array).all() or (built.class_name, dtype) == ("Nadam", BFLOAT16)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32, FLOAT64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("settings", UPKEEP, ids=str)
@pytest.mark.parametrize("name", EACH)
def test_a_number_without_axes_is_updated_like_one_along_an_axis(name, settings, dtype, line):
    optimizer = dataclasses.replace(made(name, line), **settings)
    of, like = (variables(optimizer, dtype, [shape, (2,)]) for shape in ((), (1,)))
    for each in (of, like):
        descend(each, lambda w: 2 * w, 3)
    assert of.arrays[0].shape == ()
    assert of.arrays[0] == like.arrays[0]
    assert all(np.array_equal(np.ravel(array), np.ravel(like.slots[key])) for key, array in of.slots.items())


def test_nadam_of_tf_keras_shrinks_its_product_with_every_variable():
    """Four updates of three variables by tf_keras 2.21 in a traced function, as ``fit`` has it: recorded."""
    of = variables(made("Nadam", TF_KERAS, learning_rate=0.1), FLOAT32, [(1,), (1,), (1,)])
    for array in of.arrays:
        array[...] = 1
    for _ in range(4):
        of.step([np.full(1, 0.5, np.float32)] * 3)
    assert np.allclose(np.ravel(of.arrays), NADAM_TF_KERAS, rtol=2e-6)


def test_nadam_of_tf_keras_divides_by_zero_where_there_is_one_variable():
    of = variables(made("Nadam", TF_KERAS), FLOAT32, [(3,)])
    descend(of, lambda w: 2 * w, 1)
    assert not np.isfinite(of.arrays[0]).any()


def sgd(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["m"] = 0.5 * s.get("m", 0) - 0.1 * g
    return w + 0.5 * s["m"] - 0.1 * g


def adam(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["m"] = 0.5 * s.get("m", 0) + 0.5 * g
    s["v"] = 0.75 * s.get("v", 0) + 0.25 * g**2
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    rate = 0.125 * np.sqrt(1 - 0.75**t) / (1 - 0.5**t)
    return w - rate * s["m"] / (np.sqrt(s["top"]) + 0.001)


def adamax(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["m"] = 0.5 * s.get("m", 0) + 0.5 * g
    s["u"] = np.maximum(0.75 * s.get("u", 0), abs(g))
    return w - 0.125 * s["m"] / ((1 - 0.5**t) * (s["u"] + 0.001))


def lamb(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["m"] = 0.5 * s.get("m", 0) + 0.5 * g
    s["v"] = 0.75 * s.get("v", 0) + 0.25 * g**2
    step = s["m"] / (1 - 0.5**t) / (np.sqrt(s["v"] / (1 - 0.75**t)) + 0.001)
    return w - 0.125 * np.linalg.norm(w) / np.linalg.norm(step) * step


def lion(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    sign = np.sign(0.5 * s.get("m", 0) + 0.5 * g)
    s["m"] = 0.75 * s.get("m", 0) + 0.25 * g
    return w - 0.125 * sign


def rmsprop(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["v"] = 0.75 * s.get("v", 0) + 0.25 * g**2
    s["mean"] = 0.75 * s.get("mean", 0) + 0.25 * g
    s["m"] = 0.5 * s.get("m", 0) + 0.125 * g / np.sqrt(s["v"] - s["mean"] ** 2 + 0.001)
    return w - s["m"]


def rmsprop_tf24(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["v"] = 0.75 * s.get("v", 0) + 0.25 * g**2
    return w - 0.125 * g / (np.sqrt(s["v"]) + 0.001)


def adagrad(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["a"] = s.get("a", 0.25) + g**2
    return w - 0.125 * g / np.sqrt(s["a"] + 0.001)


def adagrad_tf24(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["a"] = s.get("a", 0.25) + g**2
    return w - 0.125 * g / (np.sqrt(s["a"]) + 0.001)


def adadelta(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    s["a"] = 0.75 * s.get("a", 0) + 0.25 * g**2
    step = np.sqrt(s.get("u", 0) + 0.001) / np.sqrt(s["a"] + 0.001) * g
    s["u"] = 0.75 * s.get("u", 0) + 0.25 * step**2
    return w - 0.125 * step


def nadam(w: Array, g: Array, t: int, s: dict[str, Any], share: float = 1.0) -> Array:
    now, following = (0.5 * (1 - 0.5 * float(np.float32(0.96)) ** (share * step)) for step in (t, t + 1))
    own = 0.5 * (1 - 0.5 * 0.96**t) if share == 1.0 else now
    s["product"] = s.get("product", 1.0) * own
    s["m"] = 0.5 * s.get("m", 0) + 0.5 * g
    s["v"] = 0.75 * s.get("v", 0) + 0.25 * g**2
    ahead = following * s["m"] / (1 - s["product"] * following) + (1 - now) * g / (1 - s["product"])
    return w - 0.125 * ahead / (np.sqrt(s["v"] / (1 - 0.75**t)) + 0.001)


def nadam_tf24(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    return nadam(w, g, t, s, share=0.25)


def ftrl(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    before = s.get("a", 0.25)
    s["a"] = before + g**2
    s["z"] = s.get("z", 0) + g + 2 * 0.25 * w - (s["a"] ** 0.75 - before**0.75) / 0.125 * w
    l2 = 0.5 + 0.25 / (2 * 0.125)
    return (np.clip(s["z"], -0.125, 0.125) - s["z"]) / (s["a"] ** 0.75 / 0.125 + 2 * l2)


def adafactor(w: Array, g: Array, t: int, s: dict[str, Any]) -> Array:
    rate, beta = min(0.125, t**-0.5), 1 - t**-0.5
    squares = g**2 + 2.0**-30
    if w.ndim > 1:
        s["r"] = beta * s.get("r", 0) + (1 - beta) * squares.mean(-1)
        s["c"] = beta * s.get("c", 0) + (1 - beta) * squares.mean(-2)
        v = (s["r"] / s["r"].mean(-1, keepdims=True))[..., None] * s["c"][..., None, :]
    else:
        v = s["v"] = beta * s.get("v", 0) + (1 - beta) * squares
    step = g / np.sqrt(v)
    step = step / max(1, np.sqrt(np.mean(step**2)) / 0.5)
    return w - max(0.001, np.sqrt(np.mean(w**2))) * rate * step


MOMENTS = {"learning_rate": 0.125, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.001}
FTRL = {
    "learning_rate": 0.125,
    "learning_rate_power": -0.75,
    "initial_accumulator_value": 0.25,
    "l1_regularization_strength": 0.125,
    "l2_regularization_strength": 0.5,
    "l2_shrinkage_regularization_strength": 0.25,
    "beta": 0.25,
}
ROOTS = {"learning_rate": 0.125, "rho": 0.75, "epsilon": 0.001}
FACTORS = {"learning_rate": 0.125, "beta_2_decay": -0.5, "epsilon_1": 2.0**-30, "clip_threshold": 0.5}
FORMULAS: list[tuple[Callable[..., Array], str, Conventions, dict[str, Any]]] = [
    (sgd, "SGD", KERAS3, {"learning_rate": 0.1, "momentum": 0.5, "nesterov": True}),
    (adam, "Adam", KERAS3, {**MOMENTS, "amsgrad": True}),
    (adam, "Adam", TF24, {**MOMENTS, "amsgrad": True}),
    (adamax, "Adamax", KERAS3, MOMENTS),
    (adamax, "Adamax", TF24, MOMENTS),
    (lamb, "Lamb", KERAS3, MOMENTS),
    (lion, "Lion", KERAS3, {key: MOMENTS[key] for key in ("learning_rate", "beta_1", "beta_2")}),
    (rmsprop, "RMSprop", KERAS3, {**ROOTS, "momentum": 0.5, "centered": True}),
    (rmsprop, "RMSprop", TF24, {**ROOTS, "momentum": 0.5, "centered": True}),
    (rmsprop_tf24, "RMSprop", TF24, ROOTS),
    (adagrad, "Adagrad", KERAS3, {"learning_rate": 0.125, "initial_accumulator_value": 0.25, "epsilon": 0.001}),
    (adagrad_tf24, "Adagrad", TF24, {"learning_rate": 0.125, "initial_accumulator_value": 0.25, "epsilon": 0.001}),
    (adadelta, "Adadelta", KERAS3, ROOTS),
    (adadelta, "Adadelta", TF24, ROOTS),
    (nadam, "Nadam", KERAS3, MOMENTS),
    (nadam_tf24, "Nadam", TF24, {**MOMENTS, "decay": 0.25}),
    (ftrl, "Ftrl", KERAS3, FTRL),
    (ftrl, "Ftrl", TF24, FTRL),
    (adafactor, "Adafactor", KERAS3, FACTORS),
]


@pytest.mark.parametrize(("formula", "name", "line", "settings"), FORMULAS)
def test_each_follows_its_formula(formula, name, line, settings):
    of = variables(made(name, dataclasses.replace(line, floatx=FLOAT64), **settings))
    expected, states = of.copies(), [{} for _ in of.arrays]
    for t in range(1, 8):
        gradients = random(of.specs, seed=t)
        expected = [formula(w, g, t, s) for w, g, s in zip(expected, gradients, states, strict=True)]
        of.step(gradients)
    # TF 2.4 holds the rate as float32 even there; 0.1 is none.
    tolerance = 1e-6 if settings["learning_rate"] == 0.1 else 1e-12
    for got, wanted in zip(of.arrays, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=1e-13)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
@pytest.mark.parametrize("serialized", [*({"class_name": name} for name in EACH), *VARIANTS], ids=str)
def test_a_config_makes_the_same_optimizer(serialized, line):
    built = optimizers.get(serialized, line)
    written = json.loads(json.dumps(optimizers.serialize(built)))
    assert optimizers.get(written, line) == built
    assert ("module" in written) == line.keras3


def test_each_line_writes_the_keys_it_has():
    common = {"name", "learning_rate", "rho", "momentum", "epsilon", "centered"}
    shared = {"weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum"}
    shared |= {"ema_overwrite_frequency"}
    assert RMSprop().get_config().keys() == common | {"decay"}
    assert RMSprop(clipnorm=1.0).get_config().keys() == common | {"decay", "clipnorm"}
    assert RMSprop().get_config(TF_KERAS).keys() == common | shared | {"jit_compile", "is_legacy_optimizer"}
    own = {"loss_scale_factor", "gradient_accumulation_steps"}
    assert RMSprop().get_config(KERAS3).keys() == common | shared | own
    assert Nadam().get_config()["decay"] == 0.004


@pytest.mark.parametrize(
    ("config", "error", "path"),
    [
        ({"class_name": "Adan"}, Unsupported, ()),
        ({"class_name": "Adam", "config": {"beta1": 0.9}}, InvalidType, ("config", "beta1")),
        ({"class_name": "Adam", "config": {"gradient_accumulation_steps": 1}}, InvalidValue, None),
        ({"class_name": "Adam", "config": {"ema_overwrite_frequency": 0}}, InvalidValue, None),
        ({"class_name": "AdamW", "config": {"weight_decay": None}}, InvalidValue, None),
        ({"class_name": "Lion", "config": {"beta_1": 0.0}}, InvalidValue, None),
        ({"class_name": "Ftrl", "config": {"learning_rate_power": 0.5}}, InvalidValue, None),
        ({"class_name": "Nadam", "config": {"learning_rate": {"class_name": "Cosine"}}}, Unsupported, None),
        ({"class_name": "Adam", "config": {"learning_rate": {"class_name": "CosineDecay"}}}, InvalidType, None),
    ],
)
def test_bad_configs(config, error, path):
    with pytest.raises(error) as caught:
        optimizers.get(config, KERAS3)
    key = next(iter(config.get("config", {})), None)
    expected = path if path is not None else ("config", key)
    assert caught.value.path[: len(expected)] == expected


def test_tf24s_nadam_takes_no_schedule():
    rate = ExponentialDecay(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5)
    assert Nadam(learning_rate=rate, conventions=KERAS3).rate(10) == pytest.approx(0.05)
    with pytest.raises(InvalidValue, match="does not support a schedule"):
        Nadam(learning_rate=rate, conventions=TF24)


def test_nadams_decay_is_not_that_of_its_rate():
    assert Nadam(conventions=TF24).rate(1000) == Nadam(conventions=TF24).rate(0)
    of = variables(Nadam(conventions=TF24))
    assert of.slots[PRODUCT] == 1
    of.step(random(of.specs, 1))
    assert 0 < of.slots[PRODUCT] < 0.5


@given(st.floats(1e-6, 10), st.floats(0, 1), st.integers(0, 10**6))
def test_time_based_decay(rate, decay, iterations):
    found = SGD(learning_rate=rate, decay=decay).rate(iterations)
    assert found == float(np.float32(found))
    assert found == pytest.approx(rate / (1 + decay * iterations), rel=1e-6)


def test_rates_are_numbers_of_floatx_but_float32_in_tf24():
    wide = {line.name: dataclasses.replace(line, floatx=FLOAT64) for line in LINES}
    assert SGD(learning_rate=0.1, conventions=wide["keras3"]).rate(0) == 0.1
    assert SGD(learning_rate=0.1, conventions=wide["tf2.4"]).rate(0) == float(np.float32(0.1))
    assert float(SGD(learning_rate=0.1).rate_on(0, FLOAT16)) == float(np.float16(0.1))


def test_learning_rates_can_be_replaced():
    scheduled = Adam(
        learning_rate=ExponentialDecay(initial_learning_rate=0.1, decay_steps=10, decay_rate=0.5), conventions=KERAS3
    )
    assert scheduled.with_learning_rate(0.5).rate(100) == 0.5


def test_float32_betas_count_for_float64_variables():
    one, other = (
        variables(Adam(conventions=KERAS3)),
        variables(Adam(conventions=KERAS3, beta_2=float(np.float32(0.999)))),
    )
    # The bias correction sees the same float32 number; the moments see 0.999 itself.
    assert one.optimizer.numbers(_moment(), {}).alpha == other.optimizer.numbers(_moment(), {}).alpha
    assert one.optimizer.numbers(_moment(), {}).keep_2 != other.optimizer.numbers(_moment(), {}).keep_2


def _moment() -> Any:
    return optimizers.base.Moment(as_dtype("float64"), np.float64(0.1), 3)


@pytest.mark.parametrize("line", [TF24, KERAS3], ids=lambda line: line.name)
def test_variables_without_a_gradient_stay(line):
    of = variables(Adam(conventions=line, weight_decay=0.1))
    before = of.copies()
    gradients = random(of.specs, 1)
    of.step([gradients[0], None, gradients[2]])
    assert [np.array_equal(a, b) for a, b in zip(before, of.arrays, strict=True)] == [False, True, False]


def test_keras2_refuses_a_step_without_gradients():
    with pytest.raises(InvalidValue, match="No gradients"):
        variables(Adam()).step([None, None, None])


def test_a_nan_stays_out_of_the_largest_second_moment_in_tf24_only():
    for line, stays in ((TF24, True), (KERAS3, False)):
        of = variables(Adam(amsgrad=True, conventions=line), shapes=[(2,)])
        of.step([np.array([1.0, 1.0])])
        of.step([np.array([1.0, np.nan])])
        assert np.isfinite(of.slots["velocity_hat/v0"]).all() == stays
