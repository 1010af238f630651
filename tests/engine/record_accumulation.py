"""Records trainings with gradient accumulation, step by step: ``python -m tests.engine.record_accumulation > FILE``.

Needs keras on tensorflow-cpu (recorded with 3.15.1 on 2.21), which is no dependency of the project. The file is
``tests/recorded/accumulation.json``.
"""

import json
import sys
from typing import Any

import keras
import numpy as np

from tests.engine.accumulation_data import CASES, WEIGHTS, X, Y


class Steps(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Notes the state after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note what there is after a step."""
        optimizer = self.model.optimizer
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        scale = getattr(optimizer, "dynamic_scale", None)
        self.found.append(
            {
                "iterations": int(np.asarray(optimizer.iterations)),
                "learning_rate": float(np.asarray(inner.learning_rate)),
                "scale": None if scale is None else float(np.asarray(scale)),
                "weights": np.concatenate(
                    [np.asarray(w, "float64").ravel() for w in self.model.get_weights()]
                ).tolist(),
            }
        )


def record(case: dict[str, Any]) -> dict[str, Any]:
    """Train one case."""
    keras.config.set_dtype_policy(case["policy"])
    layers = [keras.layers.Dense(2, activation="relu", name="h"), keras.layers.Dense(1, dtype=case["head"], name="o")]
    model = keras.Sequential([keras.Input((2,)), *layers], name="m")
    model.set_weights([np.array(weights, np.float32) for weights in WEIGHTS])
    config = dict(case["config"])
    if isinstance(config.get("learning_rate"), dict):
        config["learning_rate"] = keras.optimizers.schedules.deserialize(config["learning_rate"])
    optimizer = getattr(keras.optimizers, case["optimizer"])(**config)
    if case.get("scale"):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, **case["scale"])
    model.compile(optimizer=optimizer, loss="mse")
    steps, x = Steps(), np.array(X, np.float32) * np.array(case["rows"], np.float32)[:, None]
    model.fit(x, np.array(Y, np.float32), batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[steps])
    ended = np.concatenate([np.asarray(w, "float64").ravel() for w in model.get_weights()]).tolist()
    written = keras.saving.serialize_keras_object(optimizer)
    return {"optimizer": written, "model": json.loads(model.to_json()), "steps": steps.found, "ended": ended}


if __name__ == "__main__":
    found = {name: record(case) for name, case in CASES.items()}
    sys.stdout.write(json.dumps(found, default=str, separators=(",", ":")) + "\n")
