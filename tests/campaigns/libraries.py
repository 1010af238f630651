"""The three libraries under one set of names. Runs in the libraries' own interpreters: Python 3.8 for TF 2.4."""

from __future__ import annotations

import importlib
from typing import Any

NAMES = ("keras3", "tf_keras", "tf2.4")
MODULES = {"keras3": "keras", "tf_keras": "tf_keras", "tf2.4": "tensorflow.keras"}


class Library:
    """One of the libraries, loaded."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keras: Any = importlib.import_module(MODULES[name])
        self.tensorflow: Any = importlib.import_module("tensorflow")
        self.refusals = (TypeError, ValueError, NotImplementedError, AttributeError, self.tensorflow.errors.OpError)
        """What the library raises where it cannot do a thing in a dtype."""

    @property
    def is_tf24(self) -> bool:
        return self.name == "tf2.4"

    def layer_class(self, name: str) -> Any:
        """Return a layer class, or None where the library has none."""
        layers = self.keras.layers
        if self.is_tf24:
            experimental = layers.experimental
            places: tuple[Any, ...] = (layers, experimental, experimental.preprocessing)
        else:
            places = (layers,)
        return next((getattr(place, name) for place in places if hasattr(place, name)), None)

    def begin(self, policy: str) -> None:
        """Forget every earlier model, and make a policy the global one."""
        keras = self.keras
        keras.backend.clear_session()
        if self.name == "keras3":
            keras.config.set_dtype_policy(policy)
        else:
            keras.mixed_precision.set_global_policy(policy)

    def policy(self, name: str) -> Any:
        """Return what a layer takes as its `dtype`."""
        if self.name == "keras3":
            return self.keras.DTypePolicy(name)
        return self.keras.mixed_precision.Policy(name)

    def compute_dtype(self, layer: Any) -> str:
        """Return the compute dtype of a layer."""
        return str(layer.compute_dtype)

    def inner(self, layer: Any) -> list[Any]:
        """Return the layers inside a layer, or of a model."""
        if isinstance(layer, self.keras.Model):
            return list(layer.layers)
        names = ("forward_layer", "backward_layer") if hasattr(layer, "forward_layer") else ("layer",)
        return [getattr(layer, name) for name in names if hasattr(layer, name)]

    def every(self, layer: Any) -> list[Any]:
        """Return a layer and everything in it; of a model without the model itself."""
        found = [] if isinstance(layer, self.keras.Model) else [layer]
        for inner in self.inner(layer):
            found.extend(self.every(inner))
        return found
