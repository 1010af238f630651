"""The dtypes a policy can name: their bits, their limits, and how arrays of them are held in memory.

Source of the names: ``tensorflow.python.framework.dtypes`` of TF 2.4 (the first 23 rows) and
``keras.backend.ALLOWED_DTYPES`` of Keras 3 (float8). Limits follow IEEE 754 and, for float8, arXiv 2209.05433.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from engine.errors import InvalidType, InvalidValue, Unsupported


@dataclass(frozen=True)
class DType:
    """One dtype.

    Attributes:
        name: canonical name, such as "float16".
        kind: "float", "int", "uint", "bool", "complex", "string", "quantized", "resource" or "variant".
        bits: width of one element; 0 where an element has no fixed width.
        exponent_bits: width of the exponent (floats; of each half for complex numbers), else 0.
        mantissa_bits: width of the stored mantissa, without the hidden bit, else 0.
        max: largest finite value; 0 where there is none.
        aliases: other names of the same dtype.
        numpy: the numpy (or ml_dtypes) dtype; None where numpy has no such numbers. Read it through ``edge``.
    """

    name: str
    kind: str
    bits: int
    exponent_bits: int = 0
    mantissa_bits: int = 0
    max: float = 0
    aliases: tuple[str, ...] = ()
    numpy: np.dtype | None = field(default=None, repr=False)

    @property
    def is_floating(self) -> bool:
        """Whether it is a real floating-point dtype."""
        return self.kind == "float"

    @cached_property
    def low_precision(self) -> bool:
        """Whether it is a float whose grid is coarser than that of the float32 arrays that hold it."""
        return self.is_floating and self.bits < 32

    @property
    def min_normal(self) -> float:
        """Smallest positive normal number of a float, else 0."""
        return 2.0 ** (2 - 2 ** (self.exponent_bits - 1)) if self.exponent_bits else 0.0

    @property
    def min_subnormal(self) -> float:
        """Smallest positive number of a float, else 0."""
        return self.min_normal * self.epsilon

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next larger number of a float, else 0."""
        return 2.0**-self.mantissa_bits if self.mantissa_bits else 0.0

    @property
    def edge(self) -> np.dtype:
        """The true numpy (or ml_dtypes) dtype, in which arrays leave the engine.

        Raises:
            Unsupported: numpy has no such numbers (string, resource, variant, quantized).
        """
        if self.numpy is None:
            raise Unsupported(f"Arrays of dtype {self.name!r} cannot be computed with; use a number dtype.")
        return self.numpy

    @cached_property
    def storage(self) -> np.dtype:
        """The numpy dtype in which the engine holds values: float32 for every narrower float, else ``edge``."""
        return np.dtype(np.float32) if self.low_precision else self.edge


def _float(name: str, exponent_bits: int, mantissa_bits: int, largest: float, like: DTypeLike, *aliases: str) -> DType:
    bits = 1 + exponent_bits + mantissa_bits
    return DType(name, "float", bits, exponent_bits, mantissa_bits, largest, aliases, np.dtype(like))


def _integers(kind: str, bits: int) -> DType:
    name = f"{kind}{bits}"
    return DType(name, kind, bits, max=2 ** (bits - (kind == "int")) - 1, numpy=np.dtype(name))


def _quantized(name: str, bits: int) -> DType:
    return DType(name, "quantized", bits, max=2 ** (bits - name.startswith("qint")) - 1)


FLOAT16 = _float("float16", 5, 10, 65504.0, np.float16, "half")
BFLOAT16 = _float("bfloat16", 8, 7, (2 - 2.0**-7) * 2.0**127, ml_dtypes.bfloat16)
FLOAT32 = _float("float32", 8, 23, float(np.finfo(np.float32).max), np.float32, "float")
FLOAT64 = _float("float64", 11, 52, float(np.finfo(np.float64).max), np.float64, "double")
FLOAT8_E4M3FN = _float("float8_e4m3fn", 4, 3, 448.0, ml_dtypes.float8_e4m3fn)
FLOAT8_E5M2 = _float("float8_e5m2", 5, 2, 57344.0, ml_dtypes.float8_e5m2)
INT32 = _integers("int", 32)
INT64 = _integers("int", 64)
BOOL = DType("bool", "bool", 8, max=1, numpy=np.dtype(np.bool_))

_TABLE = (
    FLOAT16,
    BFLOAT16,
    FLOAT32,
    FLOAT64,
    _integers("int", 8),
    _integers("int", 16),
    INT32,
    INT64,
    _integers("uint", 8),
    _integers("uint", 16),
    _integers("uint", 32),
    _integers("uint", 64),
    BOOL,
    DType("complex64", "complex", 64, 8, 23, FLOAT32.max, numpy=np.dtype(np.complex64)),
    DType("complex128", "complex", 128, 11, 52, FLOAT64.max, numpy=np.dtype(np.complex128)),
    DType("string", "string", 0),
    _quantized("qint8", 8),
    _quantized("qint16", 16),
    _quantized("qint32", 32),
    _quantized("quint8", 8),
    _quantized("quint16", 16),
    DType("resource", "resource", 0),
    DType("variant", "variant", 0),
    FLOAT8_E4M3FN,
    FLOAT8_E5M2,
)

DTYPES: Mapping[str, DType] = MappingProxyType({dtype.name: dtype for dtype in _TABLE})
"""Every dtype by its canonical name."""

ALIASES: Mapping[str, str] = MappingProxyType({alias: dtype.name for dtype in _TABLE for alias in dtype.aliases})
"""Canonical name by alias ("half" -> "float16")."""


def as_dtype(value: str | DType | np.dtype | type) -> DType:
    """Return the dtype that a name, an alias, a numpy dtype or a numpy scalar class stands for.

    Raises:
        InvalidValue: a name or numpy dtype that no row of the table has.
        InvalidType: not a name and nothing that numpy takes for a dtype.
    """
    if isinstance(value, DType):
        return value
    name = value if isinstance(value, str) else _numpy_name(value)
    dtype = DTYPES.get(ALIASES.get(name, name))
    if dtype is None:
        raise InvalidValue(
            f"Unknown dtype: {name!r}. Accepted are {', '.join([*DTYPES, *ALIASES])}.", code="unknown_dtype"
        )
    return dtype


def _numpy_name(value: object) -> str:
    try:
        return np.dtype(value).name  # type: ignore[call-overload]
    except TypeError as error:
        raise InvalidType(
            f"A dtype must be a name such as 'float32', a DType or a numpy dtype, but got: {value!r}",
            code="invalid_dtype",
        ) from error
