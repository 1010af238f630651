import ml_dtypes
import numpy as np
import pytest

from engine import dtypes
from engine.dtypes import DTYPES, as_dtype
from engine.errors import InvalidType, InvalidValue, Unsupported

FLOATS = [dtype for dtype in DTYPES.values() if dtype.is_floating]


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
def test_limits_of_floats_are_those_of_the_true_dtype(dtype):
    true = ml_dtypes.finfo(dtype.edge)
    assert dtype.bits == true.bits
    assert dtype.max == float(true.max)
    assert dtype.min_normal == float(true.smallest_normal)
    assert dtype.min_subnormal == float(true.smallest_subnormal)
    assert dtype.epsilon == float(true.eps)


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind in {"int", "uint"}], ids=lambda d: d.name)
def test_limits_of_integers(dtype):
    assert dtype.max == np.iinfo(dtype.edge).max
    assert (dtype.epsilon, dtype.min_normal, dtype.min_subnormal) == (0, 0, 0)
    assert dtype.storage == dtype.edge


def test_low_precision_floats_are_stored_in_float32():
    low = {dtype.name for dtype in DTYPES.values() if dtype.low_precision}
    assert low == {"float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"}
    assert all(as_dtype(name).storage == np.float32 for name in low)
    assert dtypes.FLOAT64.storage == np.float64
    assert dtypes.BOOL.storage == np.bool_


@pytest.mark.parametrize("name", ["string", "resource", "variant", "qint8", "quint16"])
def test_what_is_no_number_has_no_array(name):
    with pytest.raises(Unsupported, match=name):
        as_dtype(name).storage  # noqa: B018


@pytest.mark.parametrize(
    ("given", "name"),
    [("half", "float16"), ("float", "float32"), ("double", "float64"), (np.float16, "float16"),
     (np.dtype("int8"), "int8"), (ml_dtypes.bfloat16, "bfloat16"), (dtypes.INT32, "int32"), (bool, "bool")],
)  # fmt: skip
def test_as_dtype(given, name):
    assert as_dtype(given) is DTYPES[name]


@pytest.mark.parametrize("given", ["fp16", "Float32", "", "float16_ref", np.dtype("datetime64[s]")])
def test_unknown_dtypes_are_named_with_the_accepted_ones(given):
    with pytest.raises(InvalidValue, match=r"Unknown dtype.*bfloat16.*half"):
        as_dtype(given)


def test_what_is_no_dtype_is_refused():
    with pytest.raises(InvalidType, match="must be a name"):
        as_dtype(object())  # type: ignore[arg-type]
