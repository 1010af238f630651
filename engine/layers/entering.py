"""What a layer does to its arguments before its own code sees them: Keras's input casting.

Source: ``Layer.__call__``, ``_maybe_build`` and ``_maybe_cast_inputs`` in ``tensorflow.python.keras.engine.base_layer``
of TF 2.4, and ``keras.layers.Layer.__call__`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from engine.dtypes import BOOL, INT32, DType, as_dtype
from engine.policy import Policy
from engine.rounding import from_edge
from engine.tape import Tensor

Integers: TypeAlias = Literal["kept", "cast", "refused"]


def casts(given: DType, policy: Policy) -> bool:
    """Whether an argument is cast: floats are, to a compute dtype that is another float; "_infer" has none yet."""
    if policy.compute_dtype is None:
        return False
    compute = policy.compute
    return compute.is_floating and given.is_floating and given is not compute


def settled(policy: Policy, argument: Any) -> Policy:
    """Return the policy after a layer's first call: "_infer" becomes the dtype of the first thing it was given."""
    if policy.compute_dtype is not None:
        return policy
    first = next(leaves(argument), None)
    dtype = getattr(first, "dtype", None)
    return Policy(dtype.name) if isinstance(dtype, DType) else policy


def leaves(value: Any) -> Iterator[Any]:
    """Yield what a nested list or dict holds, in order."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from leaves(value[key])
    else:
        yield value


def mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return a nested list or dict with a function applied to the tensors in it."""
    if isinstance(value, Tensor):  # first, because it nearly always is
        return function(value)
    if isinstance(value, list | tuple):
        return [mapped(function, item) for item in value]
    if isinstance(value, Mapping):
        return {key: mapped(function, item) for key, item in value.items()}
    return value


def as_tensors(value: Any, floatx: DType) -> Any:
    """Return a first argument with the numpy arrays and Python numbers in it made tensors.

    Args:
        value: a tensor, an array, a number, or a nested list or dict of these.
        floatx: dtype of Python floats.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list | tuple):
        return [as_tensors(item, floatx) for item in value]
    if isinstance(value, Mapping):
        return {key: as_tensors(item, floatx) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        dtype = as_dtype(value.dtype)
        return Tensor(from_edge(value)[0] if dtype.low_precision else value, dtype)
    for kind, dtype in ((bool, BOOL), (int, INT32), (float, floatx)):
        if isinstance(value, kind):
            return Tensor(np.array(value, dtype=dtype.storage), dtype)
    return value
