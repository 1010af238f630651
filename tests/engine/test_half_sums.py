"""Sums in float16 beside what TensorFlow 2.4.4 and 2.21 compute (`record_half_sums.py`)."""

import json
from importlib import resources

import numpy as np
import pytest

from engine.dtypes import FLOAT16
from engine.ops.half_rows import EIGEN_2020, EIGEN_2025
from engine.ops.half_sums import half_sum
from engine.tape import Tape, Tensor
from tests.engine.half_sum_data import CASES, numbers

RECORDED = json.loads((resources.files("tests.recorded") / "half_sums.json").read_text())
KERNELS = {"2.4.4": EIGEN_2020, "2.21.0": EIGEN_2025}


def tensor(values) -> Tensor:
    return Tensor(np.asarray(values, np.float32), FLOAT16)


@pytest.mark.parametrize("version", KERNELS)
@pytest.mark.parametrize("index", range(len(CASES)), ids=[f"{shape}-{axis}" for shape, axis in CASES])
def test_a_sum_has_the_bits_of_tensorflow(version: str, index: int):
    shape, axis = CASES[index]
    found = half_sum(tensor(numbers(shape)), KERNELS[version], axis)
    assert found.data.ravel().tolist() == RECORDED[version][index]


def test_a_sum_overflows_on_the_way_though_the_whole_would_fit():
    row = [60000.0] * 64 + [-60000.0] * 64
    for kernel in KERNELS.values():
        with np.errstate(all="ignore"):
            assert not np.isfinite(half_sum(tensor([row]), kernel, -1).data).all()


def test_a_sum_of_nothing_is_zero():
    assert half_sum(tensor(np.zeros((0, 3))), EIGEN_2025).data == 0
    assert half_sum(tensor(np.zeros((0, 3))), EIGEN_2025, -1).shape == (0,)
    np.testing.assert_array_equal(half_sum(tensor(np.zeros((0, 3))), EIGEN_2025, 0).data, [0, 0, 0])


def test_kept_axes_and_the_gradient():
    tape = Tape()
    leaf = tape.leaf(np.ones((2, 3, 4), np.float32), FLOAT16)
    total = half_sum(leaf, EIGEN_2025, (0, 2), keepdims=True)
    assert total.shape == (1, 3, 1)
    np.testing.assert_array_equal(total.data.ravel(), [8, 8, 8])
    (gradient,) = tape.gradient(half_sum(total, EIGEN_2025), [leaf])
    np.testing.assert_array_equal(gradient, np.ones((2, 3, 4)))
