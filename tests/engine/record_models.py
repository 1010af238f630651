"""Records models as Keras exports them: ``python record_models.py ../recorded/models``, with what they compute there.

Needs keras on tensorflow-cpu (recorded with 3.15.1), which is no dependency of the project.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

OPTIMIZER = {"class_name": "SGD", "config": {"learning_rate": 0.05, "momentum": 0.9}}
LOSS = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}
STEPS = 3


def first_token() -> Any:
    """Return a text transformer that classifies by its first token, beside other places that an index takes."""
    layers = keras.layers
    tokens = keras.Input((8,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 16)(tokens[:, ::-1])
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    apart = layers.GlobalAveragePooling2D()(layers.Reshape((3, 1, 8))(x[:, 2:5, None, :8]))
    joined = layers.Concatenate()([x[:, 0], x[..., 1::2][:, -1], apart])
    return keras.Model(tokens, layers.Dense(3, dtype="float32")(joined), name="first_token")


def record(folder: Path, model: Any, policy: str) -> None:
    """Write a model's config, weights and inputs, its predictions, and the losses of a few steps."""
    source = np.random.default_rng(0)
    x, y = source.integers(0, 20, (6, 8)).astype(np.int32), source.integers(0, 3, 6)
    model.set_weights([source.normal(size=weight.shape).astype(np.float32) * 0.5 for weight in model.weights])
    arrays = {f"w{index}": weight for index, weight in enumerate(model.get_weights())}
    arrays |= {"x0": x, "y0": y, "before0": np.asarray(model(x)).astype(np.float32)}
    config = json.loads(model.to_json())
    model.compile(keras.optimizers.deserialize(dict(OPTIMIZER)), keras.losses.deserialize(dict(LOSS)))
    losses = [float(model.train_on_batch(x, y, return_dict=True)["loss"]) for _ in range(STEPS)]
    document = {"name": model.name, "policy": policy, "model": config, "loss": [LOSS], "optimizer": OPTIMIZER}
    place = folder / f"{model.name}__{policy}"
    place.with_suffix(".json").write_text(json.dumps({**document, "losses": losses}) + "\n")
    np.savez_compressed(place.with_suffix(".npz"), **arrays)


def main() -> None:
    """Write every model under both policies."""
    for policy in ("float32", "mixed_float16"):
        keras.backend.clear_session()  # it resets the policy too
        keras.config.set_dtype_policy(policy)
        record(Path(sys.argv[1]), first_token(), policy)


if __name__ == "__main__":
    main()
