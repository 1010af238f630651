"""Every op: its gradient against finite differences, and its results on the grid of the dtype."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine import ops
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from engine.ops.normalization import Features
from engine.rounding import round_to
from engine.tape import Array, Tape, Tensor, constant
from tests.engine.gradients import check_gradients

RNG = np.random.default_rng(20240)


def away_from_corners(*shape: int) -> Array:
    """Return numbers none of which lies where an activation bends (0, the thresholds, +-2.5, +-3, 6)."""
    values = RNG.uniform(-4, 4, size=shape)
    corners = np.array([-3, -2.5, -1, 0, 0.5, 1, 2, 2.5, 3])
    for corner in corners:
        close = np.abs(values - corner) < 1e-3
        values[close] += 0.01
    return values


LABELS = np.array([0, 2, 1, 2])
ONE_HOT = np.eye(3)[LABELS]

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": ops.negative,
    "scale": lambda x: ops.scale(x, 1.7),
    "square": ops.square,
    "absolute": ops.absolute,
    "clip": lambda x: ops.clip(x, -1.0, 2.0),
    "maximum_scalar": lambda x: ops.maximum_scalar(x, 0.5),
    "reduce_sum": ops.reduce_sum,
    "reduce_sum_axis": lambda x: ops.reduce_sum(x, axis=0),
    "reduce_sum_keepdims": lambda x: ops.reduce_sum(x, axis=1, keepdims=True),
    "mean": ops.mean,
    "mean_axis": lambda x: ops.mean(x, axis=-1),
    "reshape": lambda x: ops.reshape(x, (-1,)),
    "relu": ops.relu,
    "relu6": ops.relu6,
    "general_relu": lambda x: ops.general_relu(x, 2.0, 0.25, 0.5),
    "general_relu_leaky": lambda x: ops.general_relu(x, None, 0.25, 0.0),
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "exponential": ops.exponential,
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "silu": ops.silu,
    "mish": ops.mish,
    "erf": ops.erf,
    "gelu": ops.gelu,
    "gelu_approximate": lambda x: ops.gelu(x, approximate=True),
    "elu": lambda x: ops.elu(x, 0.7),
    "selu": ops.selu,
    "celu": lambda x: ops.celu(x, 0.7),
    "hard_sigmoid": lambda x: ops.hard_sigmoid(x, 0.2),
    "hard_tanh": ops.hard_tanh,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.3),
    "softmax": ops.softmax,
    "softmax_axis": lambda x: ops.softmax(x, axis=0),
    "log_softmax": ops.log_softmax,
    "sparse_softmax_crossentropy": lambda x: ops.sparse_softmax_crossentropy(x, LABELS),
    "softmax_crossentropy": lambda x: ops.softmax_crossentropy(x, ONE_HOT),
    "sigmoid_crossentropy": lambda x: ops.sigmoid_crossentropy(x, ONE_HOT),
}

BINARY: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "add": (ops.add, (4, 3), (4, 3)),
    "add_broadcast": (ops.add, (4, 3), (1, 3)),
    "subtract": (ops.subtract, (4, 3), (4, 3)),
    "subtract_broadcast": (ops.subtract, (3,), (4, 3)),
    "multiply": (ops.multiply, (4, 3), (4, 3)),
    "multiply_broadcast": (ops.multiply, (4, 1), (4, 3)),
    "divide": (ops.divide, (4, 3), (4, 3)),
    "divide_broadcast": (ops.divide, (4, 3), (3,)),
    "matmul": (ops.matmul, (4, 3), (3, 5)),
    "matmul_3d": (ops.matmul, (2, 4, 3), (3, 5)),
    "bias_add": (lambda x, b: ops.bias_add(ops.scale(x, 1.0), b), (4, 3), (3,)),
}


@pytest.mark.parametrize("name", UNARY)
def test_gradients_of_unary_ops(name: str) -> None:
    check_gradients(UNARY[name], away_from_corners(4, 3))


@pytest.mark.parametrize("name", BINARY)
def test_gradients_of_binary_ops(name: str) -> None:
    function, left, right = BINARY[name]
    check_gradients(function, away_from_corners(*left), np.abs(away_from_corners(*right)) + 0.5)


def test_gradient_of_log() -> None:
    check_gradients(ops.log, RNG.uniform(0.5, 3, size=(4, 3)))


def test_gradients_of_batch_normalization() -> None:
    def normalized(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return ops.batch_normalization(x, gamma, beta, Features(axis=1, lanes=4), epsilon=1e-3)[0]

    check_gradients(normalized, away_from_corners(5, 3), RNG.uniform(0.5, 2, 3), RNG.normal(size=3))


def test_gradients_of_normalization_with_given_statistics() -> None:
    mean, variance = constant(RNG.normal(size=3), FLOAT64), constant(RNG.uniform(0.5, 2, 3), FLOAT64)

    def normalized(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return ops.normalize_with(x, gamma, beta, mean, variance, Features(axis=1, lanes=4), epsilon=1e-3)

    check_gradients(normalized, away_from_corners(5, 3), RNG.uniform(0.5, 2, 3), RNG.normal(size=3))


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("name", UNARY)
def test_results_and_gradients_lie_on_the_grid(name: str, dtype: DType) -> None:
    tape = Tape()
    data = round_to(away_from_corners(4, 3).astype(np.float32), dtype)
    leaf = tape.leaf(data.copy(), dtype)
    result = UNARY[name](leaf)
    (gradient,) = tape.gradient(result, [leaf], seed=np.ones_like(result.data))
    assert np.array_equal(result.data, round_to(result.data.copy(), dtype))
    assert gradient is not None
    assert np.array_equal(gradient, round_to(gradient.copy(), dtype))
    assert np.array_equal(leaf.data, data), "an op wrote into its input"


def test_gradients_of_a_tensor_used_twice_add_up() -> None:
    tape = Tape()
    x = tape.leaf(np.array([3.0]), FLOAT64)
    (gradient,) = tape.gradient(ops.add(ops.square(x), ops.scale(x, 5.0)), [x])
    assert gradient is not None
    assert gradient[0] == 11.0


def test_a_shared_gradient_is_not_written_by_its_receivers() -> None:
    tape = Tape()
    x = tape.leaf(np.array([2.0], np.float32), FLOAT32)
    y = tape.leaf(np.array([3.0], np.float32), FLOAT32)
    total = ops.add(x, y)
    left, right = tape.gradient(ops.add(total, ops.scale(x, 4.0)), [x, y])
    assert (left, right) == (np.float32([5.0]), np.float32([1.0]))


def test_a_tape_frees_what_it_held() -> None:
    tape = Tape()
    x = tape.leaf(np.ones(3), FLOAT64)
    target = ops.reduce_sum(ops.square(x))
    tape.gradient(target, [x])
    assert tape.nodes == []
    assert target.node is not None
    assert target.node.saved is None


def test_cast_from_float64_rounds_once() -> None:
    # Just above a midpoint of float16, but rounded to the midpoint on the way through float32.
    value = 1.0 + 2.0**-11 + 2.0**-40
    assert ops.cast(Tensor(np.array([value]), FLOAT64), FLOAT16).data[0] == np.float16(value) == 1.0 + 2.0**-10


def test_ops_without_a_tape_record_nothing() -> None:
    assert ops.relu(constant([1.0, -1.0])).node is None
