"""The cases of ``python -m tests.extremes layers``: every layer with extreme numbers, as plain JSON and arrays."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine import layers
from engine.activations import ACTIVATIONS
from engine.conventions import CONVENTIONS
from engine.errors import EngineError
from engine.layers import LAYERS, Layer
from engine.policy import Policy
from tests.engine.test_layers import CONFIGS, IMAGES, ROWS, STEPS

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
KINDS = ("large", "tiny", "zero_rows", "masked", "ids", "long")
_LONG = {ROWS: (6, 3000), STEPS: (2, 2100, 8), IMAGES: (1, 52, 50, 8)}
_LESS_LONG = {
    "AdditiveAttention": (1, 200, 8),
    "Attention": (1, 500, 8),
    "Bidirectional": (2, 40, 5),
    "Conv2D": (1, 30, 26, 4),
    "Dense": (600, 3000),
    "GRU": (2, 40, 5),
    "GroupQueryAttention": (1, 500, 8),
    "LSTM": (2, 40, 5),
    "MultiHeadAttention": (1, 500, 8),
    "SimpleRNN": (2, 40, 5),
}
_MORE: dict[str, list[dict[str, Any]]] = {
    "AveragePooling1D": [{"pool_size": 2100, "long": True}],
    "AveragePooling2D": [{"pool_size": [50, 48], "strides": 1, "long": True}],
    "BatchNormalization": [{"training": True}, {"training": True, "epsilon": 1e-12}],
    "Dot": [{"axes": [2, 2], "normalize": True, "steps": True}, {"axes": [2, 2], "steps": True}],
    "Embedding": [{"input_dim": 5000, "output_dim": 3}],
    "LayerNormalization": [{"epsilon": 1e-12}, {"axis": [1]}, {"rms_scaling": True}],
    "UnitNormalization": [{"axis": [0]}, {"steps": True, "axis": [1]}],
}
_RANGES = {
    "float16": {"large": 3e4, "tiny": 3e-6, "moderate": 300.0},
    "bfloat16": {"large": 1e25, "tiny": 1e-25, "moderate": 300.0},
}
OWN = ("training", "steps", "long")
"""Keys of a config here that are none of the layer's: how it is called."""


def configs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and a config of every layer, several times where its settings change the arithmetic."""
    for name, (_, given) in CONFIGS.items():
        if name == "Activation":
            yield from ((name, {"activation": function}) for function in ACTIVATIONS)
        elif name != "InputLayer":
            yield from ((name, config) for config in (*given, *_MORE.get(name, [])))


def cases(library: str) -> Iterator[dict[str, Any]]:
    """Yield every case for a line of Keras, without arrays."""
    for index, (name, config) in enumerate(configs()):
        for policy in POLICIES:
            for kind in KINDS:
                made = _case(library, name, config, policy, kind)
                if made is not None:
                    yield {"id": f"{name}-{index}-{policy}-{kind}", **made}


def _case(library: str, name: str, config: dict[str, Any], policy: str, kind: str) -> dict[str, Any] | None:
    shape = STEPS if config.get("steps") else CONFIGS[name][0]
    if kind == "long":
        shape = _LESS_LONG.get(name, _LONG[shape])
        shape = (1, 200, 8) if config.get("score_mode") == "concat" else shape
    elif config.get("long") or (name == "Embedding" and kind in {"large", "tiny"}):
        return None
    if kind == "masked":
        if name == "Masking" or shape == IMAGES or (shape == ROWS and name in {"Dot", "Rescaling"}):
            return None
        shape = STEPS
    own = _without_qr(name, {key: value for key, value in config.items() if key not in OWN})
    try:
        layer = built(library, name, own, policy)
        layer.compute_output_shape(*[shape] * count_of(layer))
    except EngineError:
        return None  # a setting of another line, or a shape that only other kinds have
    return {
        "layer": name,
        "config": own,
        "policy": policy,
        "kind": kind,
        "shape": list(shape),
        "inputs": count_of(layer),
        "training": bool(config.get("training")),
        "serialized": layers.serialize(layer),
        "mode": "list" if layer.merges else "args",
        "masked": kind == "masked",
    }


def _without_qr(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with initial values that every library can make: TensorFlow has no narrow QR kernel."""
    if name == "Bidirectional":
        inner = config["layer"]
        return {**config, "layer": {**inner, "config": _without_qr(inner["class_name"], inner["config"])}}
    return {**config, "recurrent_initializer": "glorot_uniform"} if name in {"GRU", "LSTM", "SimpleRNN"} else config


def built(library: str, name: str, config: dict[str, Any], policy: str) -> Layer:
    """Return the layer of a case."""
    line = CONVENTIONS[library]
    layer = layers.from_config({"class_name": name, "config": {"name": "it", **config}}, line, Policy(policy))
    return layer.placed("it", Policy(policy))


def count_of(layer: Layer) -> int:
    """Return how many inputs it is called with."""
    return max(layer.arity[0], 2 if layer.merges else 1)


def inputs_of(case: dict[str, Any]) -> list[np.ndarray]:
    """Return the inputs of a case, float32, the same for every policy of a dtype."""
    dtype = "bfloat16" if "bfloat16" in case["policy"] else "float16"
    rng = np.random.default_rng(zlib.crc32(f"{case['layer']} {case['kind']} {dtype}".encode()))
    return [_values(case, dtype, rng).astype(np.float32) for _ in range(case["inputs"])]


def _values(case: dict[str, Any], dtype: str, rng: np.random.Generator) -> np.ndarray:
    shape, kind = tuple(case["shape"]), case["kind"]
    if case["layer"] == "Embedding":
        last = case["config"]["input_dim"]
        return rng.integers(0, last, shape) if kind != "ids" else rng.integers(last // 2, last, shape)
    if kind == "ids":
        return rng.integers(2049, 4000, shape)
    if kind == "long":
        return rng.uniform(0.5, 1.5, shape)
    x = rng.normal(size=shape)
    if kind in {"large", "tiny"}:
        x = np.clip(x, -2, 2) * _RANGES[dtype][kind]
        x[0] = np.sign(x[0]) * rng.uniform(0.5, 1, shape[1:]) * (300 if kind == "large" else 1e-3)
    if kind == "zero_rows":
        x[0] = 0
    if kind == "masked":
        x[0, shape[1] // 2 :] = 0
        x[-1] = 0
    return x


def weights_of(layer: Layer, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Return known weights, in the order of the layer's variables, in their storage dtype."""
    rng = np.random.default_rng(11)
    found = []
    for spec in layer.weight_specs(*shapes):
        values = rng.normal(size=spec.shape) * 0.5
        found.append(np.abs(values) + 0.1 if spec.name in {"moving_variance", "variance"} else values)
    return found


assert set(LAYERS) == set(CONFIGS), "every layer has configs"
