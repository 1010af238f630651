"""Records random trainings: ``python -m tests.engine.record_trainings keras3 24 > FILE.json.gz`` (or ``tf_keras``).

Needs keras and tf_keras on tensorflow-cpu (recorded with 3.15.1 and 2.21.0), which are no dependency of the project.
What Keras itself refuses is left out and told on the standard error.
"""

import gzip
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tests.engine.training_data import SHAPES, TASKS, rows, weights

POLICIES = ("float32", "float32", "float64", "mixed_float16", "mixed_bfloat16")
OTHERS = ("AdamW", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl", "Lion", "Adafactor")
ACTIVATIONS = ("relu", "tanh", "sigmoid", "elu", "selu", "softplus", "gelu", "swish", None)


class Draw:
    """One random model after another."""

    def __init__(self, keras: Any, line: str, seed: int) -> None:
        self.keras, self.layers, self.line = keras, keras.layers, line
        self.rng = np.random.default_rng(seed)

    def one(self, options: Sequence[Any]) -> Any:
        """Return one of them."""
        return options[int(self.rng.integers(len(options)))]

    def made(self, *makers: Callable[[], Any]) -> Any:
        """Return what one of them makes."""
        return self.one(makers)()

    def some(self, share: float) -> bool:
        """Return true this often."""
        return bool(self.rng.random() < share)

    def dense(self, units: int) -> Any:
        """Return a Dense layer with whatever may hang on it."""
        keras = self.keras
        return self.layers.Dense(
            units,
            activation=self.one(ACTIVATIONS),
            use_bias=self.some(0.7),
            kernel_initializer=self.one(("glorot_uniform", "he_normal", "lecun_uniform", "random_normal")),
            kernel_regularizer=self.one((None, None, "l2", "l1", keras.regularizers.L1L2(1e-3, 1e-3))),
            kernel_constraint=self.one((None, None, "non_neg", keras.constraints.MaxNorm(1.0))),
        )

    def norm(self) -> Any:
        """Return a normalization, or nothing much."""
        layers = self.layers
        return self.made(
            lambda: layers.BatchNormalization(momentum=self.one((0.9, 0.99))),
            layers.LayerNormalization,
            lambda: layers.Activation("linear"),
        )

    def mlp(self, x: Any) -> Any:
        """Dense layers."""
        layers = self.layers
        for _ in range(self.rng.integers(1, 4)):
            x = self.dense(int(self.rng.integers(3, 10)))(x)
            x = self.norm()(x) if self.some(0.4) else x
        return self.made(layers.PReLU, layers.LeakyReLU, lambda: layers.ReLU(3.0))(x) if self.some(0.3) else x

    def graph(self, x: Any) -> Any:
        """Two branches and a shared layer."""
        layers, shared = self.layers, self.dense(5)
        a, b = self.dense(6)(x), self.dense(6)(x)
        merge = self.made(layers.Add, layers.Multiply, layers.Average, layers.Maximum, layers.Subtract)
        return layers.Concatenate()([shared(a), shared(b), merge([a, b])])

    def images(self, x: Any) -> Any:
        """Convolutions and pooling."""
        layers, one = self.layers, self.one
        x = self.made(
            lambda: layers.Conv2D(3, one((2, 3)), strides=one((1, 2)), padding=one(("same", "valid"))),
            lambda: layers.SeparableConv2D(3, 2, activation=one(ACTIVATIONS)),
            lambda: layers.DepthwiseConv2D(2, depth_multiplier=2, padding="same"),
        )(x)
        x = self.norm()(x)
        x = self.made(lambda: layers.MaxPooling2D(2, padding="same"), lambda: layers.AveragePooling2D(2))(x)
        return self.made(layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)(x)

    def steps(self, x: Any) -> Any:
        """Recurrent layers, with masks or without."""
        layers, one = self.layers, self.one
        x = layers.Masking(0.0)(x) if self.some(0.6) else x

        def recurrent(whole: bool) -> Any:
            own = {"return_sequences": whole}
            return self.made(
                lambda: layers.LSTM(3, recurrent_activation=one(("sigmoid", "hard_sigmoid")), **own),
                lambda: layers.GRU(3, reset_after=self.some(0.5), **own),
                lambda: layers.SimpleRNN(4, **own),
                lambda: layers.Bidirectional(layers.LSTM(2, **own), merge_mode=one(("sum", "ave"))),
            )

        x = recurrent(True)(x) if self.some(0.5) else x
        return recurrent(False)(x)

    def attention(self, x: Any) -> Any:
        """Attention, and a residue of it."""
        layers = self.layers
        seen = self.made(
            lambda: layers.MultiHeadAttention(2, 3)(x, x),
            lambda: layers.Attention(use_scale=True)([x, x]),
            lambda: layers.AdditiveAttention()([x, x]),
        )
        return layers.GlobalAveragePooling1D()(layers.LayerNormalization()(layers.Add()([x, seen])))

    def sequence(self, x: Any) -> Any:
        """Convolutions over steps."""
        layers, one = self.layers, self.one
        padding, rate = one(("causal", "same")), one((1, 2))
        x = layers.Conv1D(4, 3, padding=padding, dilation_rate=rate, activation=one(ACTIVATIONS))(x)
        x = self.made(lambda: layers.MaxPooling1D(2), lambda: layers.UpSampling1D(2), lambda: layers.Cropping1D(1))(x)
        return self.made(layers.GlobalMaxPooling1D, layers.GlobalAveragePooling1D, layers.Flatten)(x)

    def head(self, task: str, x: Any) -> tuple[Any, Any, list[Any]]:
        """Return the output, a loss and metrics."""
        layers, losses, metrics = self.layers, self.keras.losses, self.keras.metrics
        units, activation = {"classes": (4, "softmax"), "one_hot": (3, "softmax"), "binary": (1, "sigmoid")}.get(
            task, {"numbers": (2, None), "logits": (4, None), "labels": (3, "sigmoid")}.get(task, (1, None))
        )
        smooth = losses.CategoricalCrossentropy(label_smoothing=0.1)
        found = {
            "classes": ("sparse_categorical_crossentropy", ["accuracy"]),
            "one_hot": (self.one(("categorical_crossentropy", smooth, "kl_divergence")), ["accuracy"]),
            "binary": (self.one(("binary_crossentropy", "poisson")), [self.one(("accuracy", metrics.AUC()))]),
            "numbers": (
                self.one(("mse", "mae", losses.Huber(), "log_cosh", losses.CosineSimilarity())),
                [self.one(("mae", metrics.RootMeanSquaredError()))],
            ),
            "logits": (losses.SparseCategoricalCrossentropy(from_logits=True), [metrics.SparseCategoricalAccuracy()]),
            "labels": (self.one(("binary_crossentropy", losses.BinaryFocalCrossentropy())), ["mae"]),
        }
        own = {"dtype": "float32"} if self.some(0.5) else {}
        return layers.Dense(units, activation=activation, **own)(x), *found[task]

    def optimizer(self) -> Any:
        """Return an optimizer with whatever may be set."""
        every = self.keras.optimizers
        rate = self.made(
            lambda: float(self.one((0.001, 0.01, 0.05))),
            lambda: every.schedules.ExponentialDecay(0.01, 3, 0.7),
            lambda: every.schedules.PiecewiseConstantDecay([3, 6], [0.02, 0.01, 0.001]),
            lambda: every.schedules.CosineDecay(0.02, 8),
        )
        own: dict[str, Any] = {self.one(("clipnorm", "clipvalue", "global_clipnorm")): 0.5} if self.some(0.3) else {}
        own |= {"weight_decay": 0.01} if self.some(0.2) else {}
        own |= {"use_ema": True, "ema_momentum": 0.9} if self.some(0.25) else {}
        if self.line == "keras3" and self.some(0.2):
            own["gradient_accumulation_steps"] = 2
        return self.made(
            lambda: every.SGD(rate, momentum=self.one((0.0, 0.9)), nesterov=self.some(0.5), **own),
            lambda: every.Adam(rate, amsgrad=self.some(0.5), **own),
            lambda: every.RMSprop(rate, momentum=self.one((0.0, 0.5)), centered=self.some(0.5), **own),
            *(partial(getattr(every, name), rate, **own) for name in OTHERS),
        )


def record(keras: Any, line: str, seed: int) -> dict[str, Any]:
    """Train one random model for two epochs."""
    draw = Draw(keras, line, seed)
    policy, family, task = draw.one(POLICIES), draw.one(tuple(SHAPES)), draw.one(TASKS)
    set_policy = keras.config.set_dtype_policy if line == "keras3" else keras.mixed_precision.set_global_policy
    set_policy(policy)
    keras.utils.set_random_seed(seed)
    entry = keras.Input(SHAPES[family])
    output, loss, metrics = draw.head(task, getattr(draw, family)(entry))
    model, optimizer = keras.Model(entry, output), draw.optimizer()
    if line == "tf_keras" and policy == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    written = keras.saving.serialize_keras_object
    compiled = {
        "optimizer": written(optimizer),
        "loss": loss if isinstance(loss, str) else written(loss),
        "metrics": [metric if isinstance(metric, str) else written(metric) for metric in metrics],
    }
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics)
    before = [np.asarray(array, "float64").ravel().tolist() for array in model.get_weights()]
    x, y = rows(seed, family, task)
    by_row, by_class = weights(seed, task)
    fit = {"batch_size": int(draw.one((5, 8))), "epochs": 2, "validation_split": draw.one((0.0, 0.25))}
    history = model.fit(x, y, shuffle=False, verbose=0, sample_weight=by_row, class_weight=by_class, **fit).history
    return {
        "seed": seed,
        "policy": policy,
        "family": family,
        "task": task,
        "model": json.loads(model.to_json()),
        "compile": compiled,
        "fit": fit,
        "before": before,
        "history": {key: [float(value) for value in values] for key, values in history.items()},
        "after": [np.asarray(array, "float64").ravel().tolist() for array in model.get_weights()],
    }


def main(line: str, wanted: int) -> None:
    """Write so many trainings, as gzipped JSON, to the standard output."""
    keras = importlib.import_module({"keras3": "keras", "tf_keras": "tf_keras"}[line])
    found: list[dict[str, Any]] = []
    seed = 0
    while len(found) < wanted:
        seed += 1
        try:
            found.append(record(keras, line, seed))
        except (TypeError, ValueError) as refusal:
            sys.stderr.write(f"{seed}: {type(refusal).__name__} {refusal}\n"[:200])
    text = json.dumps(found, default=str, separators=(",", ":"))
    sys.stdout.buffer.write(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
