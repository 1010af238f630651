"""The cases of regularizers: penalties of weights in 16 bits, with extreme weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

CONFIGS: dict[str, list[dict[str, Any]]] = {
    "L1": [{}, {"l1": 1e-9}],
    "L2": [{}, {"l2": 1e-9}],
    "L1L2": [{}, {"l1": 0.1, "l2": 0.2}],
    "OrthogonalRegularizer": [{}, {"mode": "columns"}],
}


def weights() -> Iterator[tuple[str, np.ndarray]]:
    """Yield matrices by name."""
    plain = np.random.default_rng(23).normal(size=(12, 9))
    for name, factor in (("plain", 1.0), ("large", 300.0), ("larger", 20000.0), ("tiny", 1e-4), ("tinier", 1e-7)):
        yield name, plain * factor
    yield "zeros", np.zeros((12, 9))
    yield "zero_rows", plain * (np.arange(12) % 2)[:, np.newaxis]
    yield "long", np.full((70, 70), 0.5)
    yield "long_large", np.full((70, 70), 20.0)


def penalties() -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Yield the class, a label, the config and the weights of each case."""
    for name, configs in CONFIGS.items():
        for index, config in enumerate(configs):
            for label, matrix in weights():
                yield name, f"set{index}_{label}", config, {"x": matrix.tolist()}
