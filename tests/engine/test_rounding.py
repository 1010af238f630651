"""Rounding is held against numpy's and ml_dtypes' own casts, bit for bit."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.dtypes import BFLOAT16, BOOL, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT16, FLOAT32, FLOAT64, INT32, DType
from engine.rounding import BLOCK, from_edge, round_to, to_edge

NARROW = [FLOAT16, BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2]
narrow = pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)


def ignore_warnings() -> np.errstate:
    """Signalling nans make casts warn; a test that draws raw bits has to allow that."""
    return np.errstate(all="ignore")


def expected(x: np.ndarray, dtype: DType) -> np.ndarray:
    with ignore_warnings():
        return x.astype(dtype.edge).astype(np.float32)


def bits(x: np.ndarray) -> np.ndarray:
    """Bit patterns, with one pattern for every nan: payloads are not numbers."""
    return np.where(np.isnan(x), np.uint32(0x7FC00000), np.ascontiguousarray(x).view(np.uint32))


def assert_exact(x: np.ndarray, dtype: DType) -> None:
    with ignore_warnings():
        actual = round_to(x, dtype)
    np.testing.assert_array_equal(bits(actual), bits(expected(x, dtype)))


def every_number(dtype: DType) -> np.ndarray:
    """Every value of a dtype as float32, sorted, finite."""
    codes = np.arange(2**dtype.bits, dtype=np.uint16 if dtype.bits == 16 else np.uint8)
    values = codes.view(dtype.edge).astype(np.float32)
    return np.unique(values[np.isfinite(values)])


def neighbours(x: np.ndarray) -> np.ndarray:
    below, above = np.nextafter(x, np.float32(-np.inf)), np.nextafter(x, np.float32(np.inf))
    return np.concatenate([below, x, above])


@narrow
@ignore_warnings()
def test_every_number_and_its_float32_neighbours(dtype: DType) -> None:
    values = every_number(dtype)
    np.testing.assert_array_equal(bits(round_to(values, dtype)), bits(values))
    assert_exact(neighbours(values), dtype)


@narrow
@ignore_warnings()
def test_every_midpoint_and_its_float32_neighbours(dtype: DType) -> None:
    values = every_number(dtype).astype(np.float64)
    midpoints = ((values[1:] + values[:-1]) / 2).astype(np.float32)
    assert midpoints.size > 200
    assert_exact(neighbours(midpoints), dtype)


@narrow
@pytest.mark.parametrize("size", [1, 2, 256, BLOCK, BLOCK + 1, 2 * BLOCK + 77])
def test_special_values_at_every_kind_of_size(dtype: DType, size: int) -> None:
    half_step = dtype.max * dtype.epsilon / 4
    largest = np.array([dtype.max, dtype.max + half_step, dtype.max + 2 * half_step], np.float32)
    special = np.concatenate([neighbours(largest), [np.inf, np.nan, 0.0, 1.0, 3.4e38]]).astype(np.float32)
    special = np.concatenate([special, -special])
    for value in special:
        x = np.full(size, 1.1, np.float32)
        x[-1] = value
        assert_exact(x, dtype)
        assert_exact(np.roll(x, 1), dtype)


@narrow
def test_subnormals_and_what_vanishes(dtype: DType) -> None:
    steps = np.arange(-4096, 4097, dtype=np.float64) / 512
    assert_exact((steps * dtype.min_subnormal).astype(np.float32), dtype)
    assert_exact((steps * dtype.min_normal).astype(np.float32), dtype)
    assert_exact(np.linspace(-1e-44, 1e-44, 999).astype(np.float32), dtype)


@narrow
def test_negative_zeros_stay_negative(dtype: DType) -> None:
    x = np.tile(np.array([-0.0, 0.0, -1e-45, 1e-45, 5.0], np.float32), 200)
    result = round_to(x, dtype)
    np.testing.assert_array_equal(np.signbit(result), np.signbit(x))


@narrow
@pytest.mark.parametrize("scale", [1e-12, 2.0**-24, 2.0**-14, 1e-3, 1.0, 300.0, 2.0**15, 1e30])
def test_random_numbers_of_every_magnitude(dtype: DType, scale: float) -> None:
    rng = np.random.default_rng(1)
    assert_exact((rng.standard_normal(200_000) * scale).astype(np.float32), dtype)


@narrow
def test_random_bit_patterns(dtype: DType) -> None:
    rng = np.random.default_rng(2)
    for _ in range(4):
        assert_exact(rng.integers(0, 2**32, 500_000, dtype=np.uint32).view(np.float32), dtype)


@narrow
@given(
    x=arrays.arrays(
        np.uint32,
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12),
        elements=st.integers(0, 2**32 - 1),
    )
)
def test_arbitrary_arrays(dtype: DType, x: np.ndarray) -> None:
    assert_exact(np.tile(x, 3).view(np.float32), dtype)
    assert_exact(x.view(np.float32), dtype)


@narrow
@pytest.mark.parametrize("size", [3, 4096, BLOCK + 5])
@pytest.mark.parametrize("scale", [2.0**-20, 1.0, 1e6])
def test_in_place_gives_the_same(dtype: DType, size: int, scale: float) -> None:
    x = (np.random.default_rng(3).standard_normal(size) * scale).astype(np.float32)
    wanted = expected(x, dtype)
    assert round_to(x, dtype, out=x) is x
    np.testing.assert_array_equal(bits(x), bits(wanted))


@narrow
@pytest.mark.parametrize("shape", [(6, 8), (300, 200)])
def test_any_strides(dtype: DType, shape: tuple[int, int]) -> None:
    base = np.random.default_rng(4).standard_normal((2 * shape[0], 3 * shape[1])).astype(np.float32)
    for view in (base.T, base[::2, ::3], base[::-1], np.broadcast_to(base[:1], base.shape)):
        before = view.copy()
        np.testing.assert_array_equal(bits(round_to(view, dtype)), bits(expected(before, dtype)))
        np.testing.assert_array_equal(view, before)
        out = np.empty((*view.shape, 2), np.float32)[..., 0]
        assert round_to(view, dtype, out=out) is out
        np.testing.assert_array_equal(bits(out), bits(expected(before, dtype)))
    part = base[::2, ::3]
    wanted = expected(part, dtype)
    round_to(part, dtype, out=part)
    np.testing.assert_array_equal(bits(base[::2, ::3]), bits(wanted))


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64, INT32, BOOL], ids=lambda dtype: dtype.name)
def test_wide_dtypes_are_left_as_they_are(dtype: DType) -> None:
    x = np.arange(5).astype(dtype.storage)
    assert round_to(x, dtype) is x
    out = np.empty_like(x)
    assert round_to(x, dtype, out=out) is out
    np.testing.assert_array_equal(out, x)


@narrow
def test_no_warning_on_overflow_infinity_and_nan(dtype: DType) -> None:
    for size in (7, 1000, BLOCK + 1):
        x = np.resize(np.array([3e38, -3e38, np.inf, -np.inf, np.nan, 1.0], np.float32), size)
        assert not np.isfinite(round_to(x, dtype)[:5]).any() or dtype is BFLOAT16


@narrow
def test_edge_and_back_lose_nothing(dtype: DType) -> None:
    x = round_to(np.linspace(-3, 3, 100, dtype=np.float32), dtype)
    edge = to_edge(x, dtype)
    assert edge.dtype == dtype.edge
    back, found = from_edge(edge)
    assert found is dtype
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, x)


def test_from_edge_of_wide_dtypes() -> None:
    for array in (np.ones(2, np.float64), np.ones(2, np.int64), np.ones(2, ml_dtypes.bfloat16)):
        storage, dtype = from_edge(array)
        assert storage.dtype == dtype.storage
        assert to_edge(storage, dtype).dtype == array.dtype
