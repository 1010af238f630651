"""The gates of an LSTM step as one op, rounded inside exactly where the single operations would be.

A step of the op-by-op form is 11 records on the tape; over 64 steps their bookkeeping costs more than the arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.ops.activations import gate
from engine.tape import Array, Op, Tensor, apply_parts, rounded


def _gates(z: Array, units: int, dtype: DType) -> Array:
    """Return the gates, (4, batch, units): input, forget, output, and the candidate last.

    The three sigmoids lie side by side, so that every step of theirs is one call.
    """
    parts = z.reshape(len(z), 4, units).swapaxes(0, 1)
    gates = np.empty(parts.shape, z.dtype)
    gates[:3] = gate(parts[[0, 1, 3]], dtype)
    gates[3] = rounded(np.tanh(parts[2]), dtype)
    return gates


def _forward(dtype: DType, z: Array, cell: Array) -> tuple[Any, Any]:
    gates = _gates(z, cell.shape[1], dtype)
    terms = np.empty((2, *cell.shape), cell.dtype)
    np.multiply(gates[1], cell, out=terms[0])
    np.multiply(gates[0], gates[3], out=terms[1])
    kept, entered = rounded(terms, dtype)
    following = rounded(kept + entered, dtype)
    shown = rounded(np.tanh(following), dtype)
    output = rounded(gates[2] * shown, dtype)
    return [output, following], (gates, cell, shown)


def _backward(dtype: DType, gradient: Any, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    by_output, by_following = gradient
    gates, cell, shown = saved
    by_gates = np.zeros_like(gates) if by_output is None else np.empty_like(gates)
    by_cell = by_following
    if by_output is not None:
        np.multiply(by_output, shown, out=by_gates[2])
        slope = rounded(1 - rounded(shown * shown, dtype), dtype)
        through = rounded(rounded(by_output * gates[2], dtype) * slope, dtype)
        by_cell = through if by_following is None else rounded(by_following + through, dtype)
    np.multiply(by_cell, gates[3], out=by_gates[0])
    np.multiply(by_cell, cell, out=by_gates[1])
    np.multiply(by_cell, gates[0], out=by_gates[3])
    return _by_z(rounded(by_gates, dtype), gates, dtype), by_cell * gates[1] if needed[1] else None


def _by_z(by_gates: Array, gates: Array, dtype: DType) -> Array:
    """Return the gradient to what the gates were made of, (batch, 4 * units), not rounded."""
    slopes = np.empty_like(gates)
    slopes[:3] = rounded(1 - gates[:3], dtype) * gates[:3]
    slopes[3] = 1 - rounded(gates[3] * gates[3], dtype)
    slopes = rounded(slopes, dtype)
    count, batch, units = gates.shape
    by_z = np.empty((batch, count, units), gates.dtype)
    parts = by_z.swapaxes(0, 1)
    np.multiply(by_gates[:2], slopes[:2], out=parts[:2])
    np.multiply(by_gates[2], slopes[2], out=parts[3])
    np.multiply(by_gates[3], slopes[3], out=parts[2])
    return by_z.reshape(batch, count * units)


LSTM_GATES = Op("lstm_gates", _forward, _backward, on_grid=True)


def lstm_gates(z: Tensor, cell: Tensor) -> list[Tensor]:
    """Return the output and the next cell of an LSTM with sigmoid gates and tanh activation.

    Args:
        z: (batch, 4 * units): input, forget, cell and output gate before activation.
        cell: (batch, units), of the same dtype.
    """
    return apply_parts(LSTM_GATES, z, cell)
