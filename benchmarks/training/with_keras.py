"""Keras's side, on TensorFlow: the function that ``fit`` calls, over a data set that is in memory.

``jit_compile`` is left at its default, "auto", which compiles what XLA can; ``--graph`` turns it off.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.training.models import CLASSES, LEARNING_RATE
from benchmarks.training.serving import Run, Spec, serve

JIT: Any = False if "--graph" in sys.argv else "auto"


def build(spec: Spec) -> Run:
    """Return what trains: Keras's own compiled step."""
    keras.config.set_dtype_policy(spec["policy"])
    model = keras.saving.deserialize_keras_object(spec["config"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, jit_compile=JIT)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((spec["batch"], *spec["shape"]), np.float32)
    y = rng.integers(0, CLASSES, spec["batch"]).astype(np.int32)
    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((x, y)).cache().repeat())
    return lambda steps: _train(model, batches, steps)


def _train(model: Any, batches: Iterator[Any], steps: int) -> float:
    logs: Any = {}
    for _ in range(steps):
        logs = model.train_function(batches)
    return float(logs["loss"])


def set_threads() -> None:
    """Use as many threads as OpenBLAS would, for one operation; operations wait for each other."""
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
    tf.config.threading.set_inter_op_parallelism_threads(1)


if __name__ == "__main__":
    set_threads()
    serve(build)
