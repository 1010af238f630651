import math

import numpy as np
import pytest

from engine import ops
from engine.dtypes import FLOAT32, FLOAT64
from engine.tape import Tensor


def test_erf_of_float32_lies_within_its_error() -> None:
    x = np.linspace(-7, 7, 10_001).astype(np.float32)
    exact = np.array([math.erf(value) for value in x])
    got = ops.erf(Tensor(x, FLOAT32)).data
    assert got.dtype == np.float32
    assert np.abs(got - exact).max() < 5e-7
    assert np.abs(got).max() == 1


def test_erf_of_float64_is_exact() -> None:
    x = np.linspace(-7, 7, 101).reshape(1, 101)
    got = ops.erf(Tensor(x, FLOAT64)).data
    np.testing.assert_array_equal(got[0], [math.erf(value) for value in x[0]])


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_far_out(approximate: bool) -> None:
    x = np.array([-100.0, -20.0, 0.0, 20.0, 100.0], np.float32)
    got = ops.gelu(Tensor(x, FLOAT32), approximate).data
    np.testing.assert_array_equal(got, [0, 0, 0, 20, 100])


def test_not_a_number_stays_one() -> None:
    assert np.isnan(ops.gelu(Tensor(np.array([np.nan], np.float32), FLOAT32)).data).all()
