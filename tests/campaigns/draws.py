"""A source of random choices, and what layers share. Runs in the libraries' own interpreters: Python 3.8 for TF 2.4."""

from __future__ import annotations

from typing import Any, Callable, Sequence  # noqa: UP035  Python 3.8 reads this file

import numpy as np

Shape = tuple
"""Without the batch axis."""
Config = dict
INITIALIZERS = ("glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "random_normal", "ones")
ACTIVATIONS = (
    "relu", "tanh", "sigmoid", "elu", "selu", "softplus", "softsign", "gelu", "swish", "exponential", "hard_sigmoid",
    "linear", None, None, None,
)  # fmt: skip
KERAS3_ACTIVATIONS = ("relu6", "leaky_relu", "silu", "hard_silu", "mish", "log_softmax", "celu", "glu", "softmax")


def _part(class_name: str, **config: Any) -> Config:
    return {"class_name": class_name, "config": config}


class Draw:
    """A source of random choices."""

    def __init__(self, rng: np.random.Generator, library: str) -> None:
        self.rng, self.library = rng, library
        self.noise = False
        """Whether layers of dropout drop anything."""

    def one(self, options: Sequence[Any]) -> Any:
        """Return one of them."""
        return options[int(self.rng.integers(len(options)))]

    def some(self, share: float) -> bool:
        """Return true this often."""
        return bool(self.rng.random() < share)

    def number(self, low: int, high: int) -> int:
        """Return an integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def activation(self, share: float = 0.6) -> Config:
        """Return maybe an activation."""
        options = ACTIVATIONS + (KERAS3_ACTIVATIONS[:5] if self.library == "keras3" else ())
        return {"activation": self.one(options)} if self.some(share) else {}

    def regularizer(self) -> Config:
        """Return a regularizer of variables or activities."""
        names = self.one((("L1", {"l1": 0.01}), ("L2", {"l2": 0.02}), ("L1L2", {"l1": 0.01, "l2": 0.01})))
        return _part(names[0], **names[1])

    def constraint(self) -> Config:
        """Return a constraint."""
        return self.one(
            (
                _part("NonNeg"),
                _part("MaxNorm", max_value=0.8, axis=0),
                _part("UnitNorm", axis=0),
                _part("MinMaxNorm", min_value=0.2, max_value=0.9, rate=0.5, axis=0),
            )
        )

    def weighted(self, *names: str, initializers: bool = True, constraints: bool = True) -> Config:
        """Return initializers, regularizers and constraints of some of the variables so named."""
        config: Config = {}
        for name in names:
            if initializers and self.some(0.3):
                config[f"{name}_initializer"] = self.one(INITIALIZERS)
            if self.some(0.12):
                config[f"{name}_regularizer"] = self.regularizer()
            if constraints and self.some(0.12):
                config[f"{name}_constraint"] = self.constraint()
        return config

    def activity(self) -> Config:
        """Return maybe an activity regularizer."""
        return {"activity_regularizer": self.regularizer()} if self.some(0.1) else {}

    def kernel(self) -> Config:
        """Return what layers with a kernel and a bias share."""
        config = {**self.weighted("kernel", "bias"), **self.activity(), **self.activation()}
        if self.some(0.2):
            config["use_bias"] = False
        return config


Maker = Callable
"""Returns a config for an input of a shape; None where the layer does not fit."""
