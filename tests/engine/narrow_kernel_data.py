"""Numbers for float16 kernels: products of several shapes, and what activations are tried with."""

from __future__ import annotations

import numpy as np

PRODUCTS = ((9, 40, 4), (9, 40, 7), (9, 40, 8), (9, 41, 12), (5, 40, 20), (4, 40, 24), (3, 300, 31), (1, 60, 16))
"""Rows, terms, columns: columns that fill packets of eight, one alone, and some that are left over."""
ACTIVATIONS = ("sigmoid", "tanh", "softmax", "elu", "selu", "softplus")


def operands(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return both operands, float16."""
    rows, terms, columns = shape
    rng = np.random.default_rng(rows * terms + columns)
    return rng.normal(size=(rows, terms)).astype(np.float16), rng.normal(size=(terms, columns)).astype(np.float16)


def entering() -> tuple[np.ndarray, np.ndarray]:
    """Return what activations are given, and the gradient of what comes out, float16."""
    rng = np.random.default_rng(7)
    x = (rng.normal(size=(6, 48)) * 3).astype(np.float16)
    x[0, :4] = 0, 60000, -60000, 1e-7
    return x, rng.normal(size=x.shape).astype(np.float16)
