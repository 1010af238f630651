"""Records nested models: ``python record_nested_models.py keras3 > recorded.json``, or ``tf_keras`` for Keras 2's JSON.

Needs keras and tf_keras on tensorflow-cpu (recorded with 3.15.1 and 2.21.0), which are no dependency of the project.
Both recordings together, under names such as "keras3_graph", are ``data/nested_models.json``.
"""

import importlib
import json
import sys
from typing import Any

import numpy as np


def models(keras: Any) -> dict[str, Any]:
    """Return models in models: shared, frozen, of several inputs and outputs, in stacks, at every step."""
    layers = keras.layers
    entry = keras.Input((4,), name="i")
    hidden = layers.BatchNormalization(name="bn")(layers.Dense(3, activation="tanh", name="d")(entry))
    encoder = keras.Model(entry, hidden, name="enc")
    frozen = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="d")], name="frozen")
    frozen.trainable = False
    x = keras.Input((3,), name="x")
    deep = keras.Model(x, layers.Dense(2, name="d")(frozen(x)), name="deep")
    p, q = keras.Input((2,), name="p"), keras.Input((2,), name="q")
    two = keras.Model([p, q], [layers.Add(name="s")([p, q]), layers.Multiply(name="m")([p, q])], name="two")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    joined = layers.Concatenate(name="c")(two([deep(encoder(a)), deep(encoder(b))]))
    t = keras.Input((5, 4), name="t")
    step = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="d"), layers.LayerNormalization(name="n")], name="step"
    )
    pooled = layers.GlobalAveragePooling1D(name="g")(layers.TimeDistributed(step, name="td")(t))
    innermost = keras.Sequential([layers.ReLU(name="r"), layers.Dense(2, name="d")], name="in2")
    inner = keras.Sequential([layers.Dense(4, name="d"), innermost], name="in1")
    return {
        "graph": keras.Model([a, b], layers.Dense(2, name="d")(joined), name="outer"),
        "timed": keras.Model(t, inner(pooled), name="timed"),
        "stack": keras.Sequential([keras.Input((4,)), encoder, layers.Dense(2, name="head")], name="stack"),
    }


def record(keras: Any, model: Any, source: np.random.Generator) -> dict[str, Any]:
    """Return a model's config, and what two epochs of it did."""
    rows = [source.normal(size=(6, *entry.shape[1:])).astype("float32") for entry in model.inputs]
    y = source.normal(size=(6, 2)).astype("float32")
    values = [source.normal(size=weight.shape).astype("float32") * 0.5 for weight in model.weights]
    named = zip(model.weights, values, strict=True)
    model.set_weights([np.abs(v) + 1 if "variance" in weight.name else v for weight, v in named])
    found = {"weights": model.get_weights(), "predictions": model.predict(rows, verbose=0)}
    model.compile(keras.optimizers.SGD(0.1), "mse")
    history = model.fit(rows, y, batch_size=3, epochs=2, shuffle=False, verbose=0)
    found |= {"x": rows, "y": y, "loss": np.array(history.history["loss"]), "after": model.get_weights()}
    plain = {key: _plain(value) for key, value in found.items()}
    config = {key: value for key, value in json.loads(model.to_json()).items() if key != "compile_config"}
    return {"config": config, "trainable": len(model.trainable_weights), **plain}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list) else value.tolist()


def main() -> None:
    """Write the recordings of one line of Keras to standard output."""
    keras = importlib.import_module({"keras3": "keras"}.get(sys.argv[1], sys.argv[1]))
    source = np.random.default_rng(0)
    recorded = {f"{sys.argv[1]}_{name}": record(keras, model, source) for name, model in models(keras).items()}
    json.dump(recorded, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
