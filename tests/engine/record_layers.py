"""Records layers: ``python record_layers.py FOLDER`` writes cases in the format of the training oracle (golden/README).

Needs keras on tensorflow-cpu (recorded with 3.15.1 on 2.21), which is no dependency of the project. The cases are
``tests/recorded/layers``: what Keras has and the oracle's cases do not show.
"""

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

L = keras.layers
POLICIES = ("float32", "float64", "mixed_float16", "mixed_bfloat16")
IMAGES = (3, 6, 5, 4)
PAIR = ((2, 3, 4), (2, 5, 4))
GRIDS = ((2, 4, 3, 6), (2, 4, 3, 6))
CASES: dict[str, tuple[Any, str, tuple[tuple[int, ...], ...]]] = {
    "additive_attention": (L.AdditiveAttention, "list", PAIR),
    "additive_attention_key": (lambda: L.AdditiveAttention(use_scale=False), "list", (*PAIR, (2, 5, 4))),
    "groupnorm_axis1": (lambda: L.GroupNormalization(3, axis=1), "single", (IMAGES,)),
    "mha_columns": (lambda: L.MultiHeadAttention(2, 3, attention_axes=(1,)), "args", GRIDS),
    "mha_rows": (lambda: L.MultiHeadAttention(2, 3, attention_axes=(2,), output_shape=5), "args", GRIDS),
    "mha_grid": (lambda: L.MultiHeadAttention(2, 3), "args", GRIDS),
    "orthogonal_columns": (lambda: _penalized("columns"), "single", ((2, 4),)),
    "orthogonal_rows": (lambda: _penalized("rows"), "single", ((2, 4),)),
    "softmax_axes": (lambda: L.Softmax(axis=(1, 2)), "single", (IMAGES,)),
    "upsampling2d_thirds": (lambda: L.UpSampling2D((2, 3), interpolation="bilinear"), "single", (IMAGES,)),
}


def _penalized(mode: str) -> Any:
    return L.Dense(3, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.5, mode))


def _stored(array: Any) -> np.ndarray:
    values = np.asarray(array)
    return values.astype(np.float32) if values.dtype.name == "bfloat16" else values


def record(name: str, policy: str, folder: Path) -> None:
    """Write one case."""
    rng = np.random.default_rng(7)
    make, mode, shapes = CASES[name]
    keras.config.set_dtype_policy(policy)
    layer, arrays, about = make(), {}, {}

    def put(key: str, tensor: Any) -> str:
        arrays[key] = _stored(tensor)
        about[key] = {"dtype": tf.as_dtype(tensor.dtype).name, "shape": list(tensor.shape)}
        return key

    wide = "float64" if policy == "float64" else "float32"
    xs = [tf.constant(rng.normal(size=shape).astype(wide)) for shape in shapes]
    call = {"single": lambda: layer(xs[0]), "list": lambda: layer(xs), "args": lambda: layer(*xs)}[mode]
    call()
    layer.set_weights([(rng.normal(size=w.shape) * 0.5).astype(w.dtype) for w in layer.weights])
    with tf.GradientTape() as tape:
        tape.watch(xs)
        y = call()
        cotangent = tf.cast(tf.constant(rng.normal(size=y.shape)), y.dtype)
        total = tf.reduce_sum(tf.cast(y, "float64") * tf.cast(cotangent, "float64"))
    variables = [w.value for w in layer.trainable_weights]
    gradients = tape.gradient(total, [*xs, *variables], unconnected_gradients="zero")
    case = f"A_{name}__{policy}"
    document = {
        "format": "train-oracle/1",
        "id": case,
        "group": "A",
        "kind": "layer",
        "producer": {"library": "keras", "version": keras.__version__, "tensorflow": tf.__version__},
        "dtype_policy": policy,
        "layer": keras.saving.serialize_keras_object(layer),
        "call": {"mode": mode, "training": None, "kwargs": {}, "array_kwargs": {}},
        "inputs": [put(f"x{i}", x) for i, x in enumerate(xs)],
        "weights": [
            {"array": put(f"w{i}", w.value), "shape": list(w.shape), "dtype": w.dtype}
            for i, w in enumerate(layer.weights)
        ],
        "outputs": [{"array": put("y0", y), "cotangent": put("c0", cotangent)}],
        "grads": {
            "inputs": [put(f"g{i}", gradient) for i, gradient in enumerate(gradients[: len(xs)])],
            "weights": [
                {"weight": i, "array": put(f"gw{i}", gradient)} for i, gradient in enumerate(gradients[len(xs) :])
            ],
        },
        "weights_changed_by_call": [],
        "layer_losses": [float(loss) for loss in layer.losses],
        "npz": {"file": f"{case}.npz", "arrays": about},
    }
    np.savez_compressed(folder / f"{case}.npz", **arrays)
    (folder / f"{case}.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for case_name in CASES:
        for policy_name in POLICIES:
            if case_name.startswith("orthogonal") and policy_name == "float64":
                continue  # Keras cannot: TypeError of a float32 number times a float64 tensor
            record(case_name, policy_name, Path(sys.argv[1]))
