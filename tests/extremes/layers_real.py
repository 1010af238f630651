"""Runs cases in a real library: ``python layers_real.py LIBRARY FOLDER``, under Python 3.8 to 3.12, with that alone.

Reads FOLDER/cases.json and FOLDER/inputs.npz, writes FOLDER/answers.json (errors) and FOLDER/answers.npz.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

LATER = (False, "dot", "channels_last")
"""Defaults of settings that TF 2.4 has not."""


class Absent(Exception):
    """The library has no such layer or setting."""


def _keras(library):
    return tf.keras if library == "tf2.4" else importlib.import_module({"keras3": "keras"}.get(library, library))


def _stored(tensor):
    return (tf.cast(tensor, "float32") if tensor.dtype == tf.bfloat16 else tensor).numpy()


def _read(keras, library, serialized):
    if not hasattr(keras.layers, serialized["class_name"]):
        raise Absent(serialized["class_name"])
    if library == "keras3":
        return keras.saving.deserialize_keras_object(serialized)
    config = dict(serialized["config"])
    if serialized["class_name"] == "MultiHeadAttention" and library == "tf_keras":
        for key in ("query_shape", "key_shape", "value_shape"):
            config.setdefault(key, None)
    while True:
        try:
            return keras.layers.deserialize({"class_name": serialized["class_name"], "config": dict(config)})
        except TypeError as error:
            # Settings that a later release added; at their defaults they say nothing.
            refused = [key for key in config if config[key] in LATER and repr(key) in str(error)]
            if "not understood" not in str(error) or not refused:
                raise
            del config[refused[0]]


def _masking(keras, library, policy):
    if library == "tf2.4":
        return keras.layers.Masking(0.0, dtype=keras.mixed_precision.Policy(policy))
    return keras.layers.Masking(0.0, dtype=policy)


def answer(keras, library, case, arrays):
    """Return the output and the gradients of one case."""
    try:
        layer = _read(keras, library, case["serialized"])
    except Exception as error:
        raise Absent(str(error)) from error
    first = _masking(keras, library, case["policy"]) if case["masked"] else None
    xs = [tf.constant(arrays["{}/x{}".format(case["id"], i)]) for i in range(case["inputs"])]
    options = {"training": True} if case["training"] else {}

    def call():
        given = [first(x) for x in xs] if first else xs
        return layer(given, **options) if case["mode"] == "list" else layer(*given, **options)

    call()
    for place, weight in enumerate(layer.weights):
        weight.assign(tf.cast(tf.constant(arrays["{}/w{}".format(case["id"], place)]), tf.as_dtype(weight.dtype)))
    with tf.GradientTape() as tape:
        tape.watch(xs)
        y = call()
        cotangent = tf.cast(tf.constant(arrays[case["id"] + "/c"]), y.dtype)
        total = tf.reduce_sum(tf.cast(y, "float64") * tf.cast(cotangent, "float64"))
    variables = [getattr(w, "value", w) if library == "keras3" else w for w in layer.trainable_weights]
    gradients = tape.gradient(total, [*xs, *variables], unconnected_gradients="zero")
    gradients = [tf.convert_to_tensor(g) for g in gradients]
    found = {"y": _stored(y)}
    found.update({f"gx{i}": _stored(g) for i, g in enumerate(gradients[: len(xs)])})
    found.update({f"gw{i}": _stored(g) for i, g in enumerate(gradients[len(xs) :])})
    return found, y.dtype.name


def main(library, folder):
    """Answer every case."""
    keras = _keras(library)
    cases = json.loads((folder / "cases.json").read_text())
    told, found = {}, {}
    with np.load(folder / "inputs.npz") as arrays:
        for case in cases:
            try:
                results, dtype = answer(keras, library, case, arrays)
            except Exception as error:
                told[case["id"]] = {"error": type(error).__name__, "message": str(error)[:400]}
                continue
            told[case["id"]] = {"dtype": dtype}
            found.update({case["id"] + "/" + key: array for key, array in results.items()})
    np.savez(folder / "answers.npz", **found)
    (folder / "answers.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
