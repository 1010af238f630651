"""The gates of an LSTM step as one op, rounded inside exactly where the single operations would be.

A step of the op-by-op form is 11 records on the tape; over 64 steps their bookkeeping costs more than the arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.ops.activations import SIGMOID
from engine.tape import Array, Op, Tensor, apply_parts, rounded


def _forward(dtype: DType, z: Array, cell: Array) -> tuple[Any, Any]:
    units = cell.shape[1]
    gates = np.empty((4, *cell.shape), z.dtype)
    for index, part in enumerate(np.split(z, 4, axis=1)):
        gates[index] = np.tanh(part) if index == 2 else SIGMOID.forward(dtype, part)[0]
    gates = rounded(gates, dtype)
    kept, entered = rounded(gates[1] * cell, dtype), rounded(gates[0] * gates[2], dtype)
    following = rounded(kept + entered, dtype)
    shown = rounded(np.tanh(following), dtype)
    output = rounded(gates[3] * shown, dtype)
    return [output, following], (gates, cell, shown, units)


def _backward(dtype: DType, gradient: Any, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    by_output, by_following = gradient
    gates, cell, shown, units = saved
    i, f, c, o = gates
    by_cell = by_following
    by_gates = np.zeros((cell.shape[0], 4 * units), cell.dtype)
    if by_output is not None:
        by_gates[:, 3 * units :] = _through_sigmoid(rounded(by_output * shown, dtype), o)
        through = rounded(rounded(by_output * o, dtype) * (1 - shown * shown), dtype)
        by_cell = through if by_following is None else rounded(by_following + through, dtype)
    if by_cell is not None:
        by_gates[:, :units] = _through_sigmoid(rounded(by_cell * c, dtype), i)
        by_gates[:, units : 2 * units] = _through_sigmoid(rounded(by_cell * cell, dtype), f)
        by_gates[:, 2 * units : 3 * units] = rounded(by_cell * i, dtype) * (1 - c * c)
    return by_gates, None if by_cell is None or not needed[1] else by_cell * f


def _through_sigmoid(gradient: Array, gate: Array) -> Array:
    return gradient * (gate * (1 - gate))


LSTM_GATES = Op("lstm_gates", _forward, _backward, on_grid=True)


def lstm_gates(z: Tensor, cell: Tensor) -> list[Tensor]:
    """Return the output and the next cell of an LSTM with sigmoid gates and tanh activation.

    Args:
        z: (batch, 4 * units): input, forget, cell and output gate before activation.
        cell: (batch, units), of the same dtype.
    """
    return apply_parts(LSTM_GATES, z, cell)
