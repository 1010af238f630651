"""Records what a mask does in a nested model: ``PYTHON -m tests.engine.record_nested_masks LIBRARY``, once a library.

An Embedding masks the last step of the first row, and the nested model averages the steps. PYTHON has the library:
keras3 (Keras 3.15.1), tf_keras (2.21) or tf2.4 (TF 2.4.4 on Python 3.8).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from tests.campaigns.libraries import Library

RECORD = Path(__file__).parents[1] / "recorded" / "nested_masks.json"
X = [[1, 2, 0], [3, 1, 2]]
POLICIES = ("float32", "mixed_float16")
REFUSED = {("tf2.4", "sequential", "mixed_float16")}
"""Which TF 2.4 does not build: it multiplies a float16 mean with a float32 mask."""
KINDS = ("functional", "sequential", "sequential_with_input")


def nested(keras, kind):
    """Return a model that averages the steps of its input, which may carry a mask."""
    layers = keras.layers
    if kind == "functional":
        steps = keras.Input((3, 4), name="steps")
        passed = layers.Activation("linear", name="passed")(steps)
        return keras.Model(steps, layers.GlobalAveragePooling1D(name="mean")(passed), name="inner")
    begun = [keras.Input((3, 4), name="steps")] if kind == "sequential_with_input" else []
    passed, mean = layers.Activation("linear", name="passed"), layers.GlobalAveragePooling1D(name="mean")
    return keras.Sequential([*begun, passed, mean], name="inner")


def recorded(library, kind, policy):
    """Return one model with its weights and what it predicts."""
    library.begin(policy)
    keras = library.keras
    ids = keras.Input((3,), dtype="int32", name="ids")
    embedded = keras.layers.Embedding(5, 4, mask_zero=True, name="embedding")
    model = keras.Model(ids, nested(keras, kind)(embedded(ids)), name="outer")
    table = np.random.default_rng(7).normal(size=(5, 4)).astype("float32")
    embedded.set_weights([table])
    y = np.asarray(model.predict(np.array(X, "int32"), verbose=0), "float32")
    return {"model": json.loads(model.to_json()), "table": table.tolist(), "y": y.tolist()}


def main(name):
    library = Library(name)
    found = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    built = [(kind, policy) for kind in KINDS for policy in POLICIES if (name, kind, policy) not in REFUSED]
    found[name] = {"{}/{}".format(*each): recorded(library, *each) for each in built}
    RECORD.write_text(json.dumps(found, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
