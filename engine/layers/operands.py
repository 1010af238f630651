"""The dtypes that TensorFlow's kernels take: what layers of Keras 2 refuse that are given integers or mixed dtypes.

Layers cast floats only, and TensorFlow never converts between dtypes by itself; Keras 3 does, so that these checks
are not for it. Source: the op definitions of TF 2.4, whose errors these are.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.dtypes import DType
from engine.errors import InvalidType

HALVES_AND_FLOAT = ("float16", "bfloat16", "float32")
FLOATS = (*HALVES_AND_FLOAT, "float64")
FLOATS_AND_INT32 = (*FLOATS, "int32")
NUMBERS = (
    *("bfloat16", "float16", "float32", "float64", "uint8", "int8", "int16", "uint32", "int32", "int64"),
    *("complex64", "complex128"),
)
_SHORT = {"float16": "half", "float32": "float", "float64": "double"}


def check_taken(parameter: str, dtype: DType, accepted: Sequence[str]) -> None:
    """Check that a kernel takes a dtype.

    Raises:
        InvalidType: it does not.
    """
    if dtype.name not in accepted:
        raise InvalidType(
            f"Value passed to parameter '{parameter}' has DataType {dtype.name} not in list of allowed values: "
            f"{', '.join(accepted)}",
            code="kernel_dtype",
        )


def check_attribute(dtype: DType, accepted: Sequence[str]) -> None:
    """Check that a kernel that runs at once, outside any graph, takes a dtype: the text is another there.

    Raises:
        InvalidType: it does not.
    """
    if dtype.name not in accepted:
        names = ", ".join(_SHORT.get(name, name) for name in accepted)
        raise InvalidType(
            f"Value for attr 'T' of {dtype.name} is not in the list of allowed values: {names}",
            code="kernel_dtype",
            original="InvalidArgumentError",
        )


def check_match(kernel: str, parameter: str, dtype: DType, first: str, first_dtype: DType) -> None:
    """Check that two operands of a kernel have the same dtype.

    Raises:
        InvalidType: they have not.
    """
    if dtype is not first_dtype:
        raise InvalidType(
            f"Input '{parameter}' of '{kernel}' Op has type {dtype.name} that does not match type {first_dtype.name} "
            f"of argument '{first}'.",
            code="kernel_dtype",
        )


def check_listed(kernel: str, parameter: str, dtypes: Sequence[DType]) -> None:
    """Check that all tensors of a list have the same dtype.

    Raises:
        InvalidType: they have not.
    """
    if len(set(dtypes)) > 1:
        shown = ", ".join(dtype.name for dtype in dtypes)
        raise InvalidType(
            f"Tensors in list passed to '{parameter}' of '{kernel}' Op have types [{shown}] that don't all match.",
            code="kernel_dtype",
        )
