"""Records what Keras 3 does in float8: run in an environment with keras 3.15.1 and tensorflow-cpu 2.21, not in ours.

python tests/engine/record_float8.py > tests/engine/data/float8_trajectories.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

import keras  # type: ignore[import-not-found]
import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]

STEPS = 5
# Op by op: the graph optimizer would fuse products with what follows, and leave out roundings to bfloat16.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def dense(units: int, **settings: Any) -> Any:
    return keras.layers.Dense(units, **settings)


def case(
    name: str, policy: str, history: int, layers: list[Any], optimizer: Any, shape: tuple[int, ...], out: int
) -> dict[str, Any]:
    source = policy.removeprefix("float8_from_")
    float8 = keras.dtype_policies.QuantizedFloat8DTypePolicy("float8", source, amax_history_length=history)
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input(shape), *(layer(float8) for layer in layers)])
    model.compile(optimizer, "mean_squared_error", jit_compile=False)
    rng = np.random.default_rng(len(name))
    rows = 4
    x = rng.normal(size=(STEPS, rows, *shape)).astype(np.float32) * 3
    y = rng.normal(size=(STEPS, rows, *shape[:-1], out)).astype(np.float32)
    found: dict[str, Any] = {
        "name": name,
        "model": json.loads(model.to_json()),
        "optimizer": keras.saving.serialize_keras_object(model.optimizer),
        "initial": {weight.path: listed(weight) for weight in model.weights},
        "x": x.tolist(),
        "y": y.tolist(),
        "steps": [],
    }
    for step in range(STEPS):
        loss = float(np.asarray(model.train_on_batch(x[step], y[step])))
        after = {weight.path: listed(weight) for weight in model.weights}
        found["steps"].append({"loss": repr(loss), "weights": after})
    found["predictions"] = np.asarray(model.predict(x[0], verbose=0)).astype(np.float32).tolist()
    return found


def listed(weight: Any) -> Any:
    return np.asarray(weight.numpy(), np.float32).tolist()


def cases() -> list[dict[str, Any]]:
    two = [
        lambda policy: dense(5, activation="relu", dtype=policy, name="one"),
        lambda policy: dense(2, dtype=policy, name="two"),
    ]
    einsum = [
        lambda policy: keras.layers.EinsumDense(
            "abc,cd->abd", output_shape=(None, 4), bias_axes="d", activation="tanh", dtype=policy, name="one"
        ),
        lambda policy: dense(2, dtype=policy, name="two"),
    ]
    optimizers = keras.optimizers

    def momentum(**settings: Any) -> Any:
        return optimizers.SGD(0.05, momentum=0.9, **settings)

    def scaled(scale: float) -> Any:
        return optimizers.LossScaleOptimizer(momentum(), initial_scale=scale, dynamic_growth_steps=2)

    return [
        case("float32", "float8_from_float32", 16, two, momentum(), (3,), 2),
        case("float32 short history", "float8_from_float32", 2, two, optimizers.Adam(0.01), (3,), 2),
        case("mixed_bfloat16", "float8_from_mixed_bfloat16", 4, two, momentum(), (3,), 2),
        case("mixed_float16", "float8_from_mixed_float16", 4, two, momentum(), (3,), 2),
        case("mixed_float16 scaled", "float8_from_mixed_float16", 4, two, scaled(1024.0), (3,), 2),
        case("mixed_float16 skipping", "float8_from_mixed_float16", 4, two, scaled(2.0**16), (3,), 2),
        case("bfloat16", "float8_from_bfloat16", 4, two, momentum(), (3,), 2),
        case("einsum", "float8_from_mixed_bfloat16", 4, einsum, momentum(), (3, 6), 2),
        case("einsum float32", "float8_from_float32", 4, einsum, optimizers.Adam(0.01), (3, 6), 2),
        case("accumulating", "float8_from_float32", 4, two, momentum(gradient_accumulation_steps=2), (3,), 2),
        case("clipped", "float8_from_mixed_bfloat16", 4, two, optimizers.AdamW(0.01, global_clipnorm=0.5), (3,), 2),
    ]


if __name__ == "__main__":
    versions = {"keras": keras.__version__, "backend": keras.backend.backend()}
    json.dump({**versions, "cases": cases()}, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")
