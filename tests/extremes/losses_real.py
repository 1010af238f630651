"""Runs cases of losses, metrics and optimizers in a real library: ``PYTHON losses_real.py LIBRARY CASES OUT``.

Started by ``python -m tests.extremes losses`` under another interpreter, Python 3.8 among them, which has TensorFlow
and nothing of this project.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

LIBRARIES = {"keras3": "keras", "tf_keras": "tf_keras", "tf2.4": "tensorflow.keras"}


class Real:
    """One library."""

    def __init__(self, library):
        self.library = library
        self.keras = importlib.import_module(LIBRARIES[library]) if library != "tf2.4" else tf.keras
        self.run = {"loss": self.loss, "metric": self.metric, "optimizer": self.optimizer}
        self.run["regularizer"] = self.regularizer

    def inputs(self, case):
        """Return labels, predictions and weights; as Keras 2's containers of losses and metrics cast them."""
        predictions = np.array(case["y_pred"], np.float32).reshape(case["shape"])
        y_pred = tf.cast(tf.constant(predictions), case["dtype"])
        y_true = tf.constant(np.array(case["y_true"], case["y_true_dtype"]).reshape(case["labels_shape"]))
        if self.library != "keras3" and y_true.dtype.is_floating:
            y_true = tf.cast(y_true, y_pred.dtype)
        given = case.get("sample_weight")
        weights = None if given is None else tf.constant(np.array(given, np.float32))
        if self.library != "keras3" and given is not None:
            weights = tf.cast(weights, y_pred.dtype)
        return y_true, y_pred, weights

    def masked(self, y_pred, weights, case):
        """Give predictions their mask, and weights too where only a model's container would."""
        if case.get("mask") is None:
            return weights
        mask = tf.constant(np.array(case["mask"], bool))
        if self.library == "keras3":
            importlib.import_module("keras.src.backend.common.masking").set_keras_mask(y_pred, mask)
        elif self.library == "tf_keras" and case["kind"] == "loss":
            y_pred._keras_mask = mask
        else:
            counting = tf.cast(mask, y_pred.dtype if case["kind"] == "loss" else "float32")
            weights = counting if weights is None else tf.cast(weights, counting.dtype) * counting
        return weights

    def loss(self, case):
        """Return the value and the gradient to the predictions."""
        y_true, y_pred, weights = self.inputs(case)
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            weights = self.masked(y_pred, weights, case)
            found = getattr(self.keras.losses, case["name"])(**case["config"])(y_true, y_pred, sample_weight=weights)
            total = tf.reduce_sum(tf.cast(found, "float32"))
        return {
            "value": _numbers(found),
            "gradient": _numbers(tape.gradient(total, y_pred, unconnected_gradients="zero")),
            "dtype": tf.as_dtype(found.dtype).name,
        }

    def metric(self, case):
        """Return the result after each of two updates."""
        y_true, y_pred, weights = self.inputs(case)
        metric = getattr(self.keras.metrics, case["name"])(**case["config"])
        weights = self.masked(y_pred, weights, case)
        results = []
        for _ in range(2):
            if case["name"] in {"Mean", "Sum"}:
                metric.update_state(y_pred, sample_weight=weights)
            else:
                metric.update_state(y_true, y_pred, sample_weight=weights)
            results.append(_numbers(metric.result()))
        return {"results": results}

    def regularizer(self, case):
        """Return the penalty and the gradient to the weights."""
        x = tf.cast(tf.constant(np.array(case["x"], np.float32)), case["dtype"])
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = getattr(self.keras.regularizers, case["name"])(**case["config"])(x)
        return {"value": _numbers(found), "gradient": _numbers(tape.gradient(found, x, unconnected_gradients="zero"))}

    def optimizer(self, case):
        """Return the variable after every step, and the averages in the end."""
        start = np.array(case["start"], np.float32)
        optimizer = getattr(self.keras.optimizers, case["name"])(**case["config"])
        dtype = case["dtype"]
        if self.library == "keras3":
            variable = self.keras.Variable(tf.cast(start, dtype), dtype=dtype)
            optimizer.build([variable])
            target = variable.value
        else:
            variable = target = tf.Variable(tf.cast(start, dtype))
            if self.library == "tf_keras":
                optimizer.build([variable])
        step = self.step(case, lambda gradient: optimizer.apply_gradients([(gradient, variable)]))
        after = []
        for gradient in case["gradients"]:
            step(tf.cast(tf.constant(np.array(gradient, np.float32)), dtype))
            after.append(_numbers(target))
        found = {"after": after}
        if case["config"].get("use_ema"):
            optimizer.finalize_variable_values([variable])
            found["averaged"] = _numbers(target)
        return found

    def step(self, case, apply):
        """Return a step: traced as ``fit`` traces it, twice, where that changes it (tf_keras's Nadam); else eager."""
        if self.library != "tf_keras" or case["name"] != "Nadam":
            return apply
        gradient = tf.TensorSpec((len(case["start"]),), case["dtype"])
        tf.function(apply, autograph=False).get_concrete_function(gradient)
        return tf.function(apply, autograph=False)


def _numbers(tensor):
    return np.asarray(tf.cast(tf.convert_to_tensor(tensor), "float64")).ravel().tolist()


def main(library, cases, out):
    """Answer every case, each with what it gives or with the error that it raises."""
    real = Real(library)
    found = {}
    for case in json.loads(Path(cases).read_text(encoding="utf-8")):
        try:
            found[case["id"]] = real.run[case["kind"]](case)
        except Exception as error:  # whatever the library raises is its answer
            found[case["id"]] = {"error": type(error).__name__, "message": str(error)[:300]}
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
