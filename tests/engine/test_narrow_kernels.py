"""Products and activations in float16 beside what TensorFlow 2.4.4 and 2.21 compute (`record_narrow_kernels.py`)."""

import json
from importlib import resources

import numpy as np
import pytest

from engine import ops
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32
from engine.ops.half_columns import in_order
from engine.ops.narrow_products import is_short, narrow_product
from engine.ops.sums import column_sums
from engine.tape import Tape
from tests.engine.narrow_kernel_data import ACTIVATIONS, PRODUCTS, entering, operands

RECORDED = json.loads((resources.files("tests.recorded") / "narrow_kernels.json").read_text())
FUSED = {"2.4.4": False, "2.21.0": True}


@pytest.mark.parametrize("version", FUSED)
@pytest.mark.parametrize("index", range(len(PRODUCTS)), ids=[str(shape) for shape in PRODUCTS])
def test_a_product_has_the_bits_of_tensorflow(version, index):
    left, right = (array.astype(np.float32) for array in operands(PRODUCTS[index]))
    found = narrow_product(left, right, FLOAT16, fused=FUSED[version])
    assert found.ravel().tolist() == RECORDED[version]["products"][index]


def test_a_batch_of_products_is_each_of_them():
    left, right = (np.stack([array.astype(np.float32)] * 3) for array in operands(PRODUCTS[2]))
    found = narrow_product(left, right, FLOAT16, fused=True)
    for each in found:
        assert np.array_equal(each, narrow_product(left[0], right[0], FLOAT16, fused=True))


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 3, 40, 300])
def test_a_sum_in_order_does_not_depend_on_how_numbers_lie_in_memory(count, lanes):
    numbers = np.random.default_rng(count).normal(size=(count, 3, 5)).astype(np.float16).astype(np.float32)
    turned = np.asfortranarray(numbers)
    wanted = numbers[: count // lanes * lanes].reshape(count // lanes, lanes, 3, 5).astype(np.float16)
    total = np.zeros((3, 5), np.float16)
    for lane in range(lanes):
        own = np.zeros((3, 5), np.float16)
        for row in wanted[:, lane]:
            own = own + row
        total = total + own
    for row in numbers[count // lanes * lanes :].astype(np.float16):
        total = total + row
    assert np.array_equal(in_order(numbers, lanes), total)
    assert np.array_equal(in_order(turned, lanes), total)
    assert np.array_equal(column_sums(turned, lanes), column_sums(numbers, lanes))


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16])
def test_other_dtypes_are_summed_in_float32(dtype):
    left, right = (array.astype(np.float32) for array in operands(PRODUCTS[0]))
    assert np.array_equal(narrow_product(left, right, dtype, fused=True), left @ right)


def test_a_long_sum_is_float32_and_counts_beyond_2048():
    ones = np.ones((1, 4096), np.float32)
    assert not is_short(4096, 1)
    assert narrow_product(ones, ones.T, FLOAT16, fused=True) == 4096


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_gradient_have_the_bits_of_tensorflow(name):
    values, gradient = (array.astype(np.float32) for array in entering())
    tape = Tape()
    x = tape.leaf(values, FLOAT16)
    with np.errstate(all="ignore"):
        y = getattr(ops, name)(x)
        (found,) = tape.gradient(
            ops.reduce_sum(ops.multiply(ops.cast(y, FLOAT32), ops.constant(gradient, FLOAT32))), [x]
        )
    wanted, slope = RECORDED["2.21.0"]["activations"][name]
    assert y.data.ravel().tolist() == wanted
    assert np.asarray(found).ravel().tolist() == slope
