"""Numbers to add up in float16, from a seed, for TensorFlow and for the engine alike. numpy alone, any release."""

import numpy as np

SIZES = (1, 5, 8, 16, 17, 24, 30, 31, 40, 48, 56, 72, 100, 256, 784, 1600, 1601, 1705, 3000, 5001, 8192, 9003, 20001)
CASES = [
    *(((3, size), -1) for size in SIZES),
    *(((size,), None) for size in SIZES),
    *(((size, 3), 0) for size in SIZES[:-2]),
    ((2, 9, 5), 1),
    ((2, 9, 5), (0, 1)),
    ((2, 9, 5), (1, 2)),
]
"""A shape, and the axes that are summed over."""


def numbers(shape):
    """Return float16 numbers around 1 with a deviation of 3."""
    return (np.random.default_rng(len(shape) + shape[0]).normal(size=shape) * 3 + 1).astype(np.float16)
