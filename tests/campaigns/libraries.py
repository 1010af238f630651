"""The three libraries under one set of names. Runs in the libraries' own interpreters: Python 3.8 for TF 2.4."""

from __future__ import annotations

import importlib
import json
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

    def dtype_argument(self, name: str) -> Any:
        """Return a policy as users give it to a layer: by its name, which not every layer of TF 2.4 reads."""
        return self.policy(name) if self.is_tf24 else name

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

    def seed(self, seed: int) -> None:
        """Fix the random numbers of the next model."""
        if self.is_tf24:
            self.tensorflow.random.set_seed(seed)
        else:
            self.keras.utils.set_random_seed(seed)

    def outputs(self, model: Any) -> list[Any]:
        """Return the shapes of a model's outputs, batch axis first."""
        return [tuple(one.shape) for one in model.outputs]

    def written(self, kind: str, value: Any) -> Any:
        """Return the config of an optimizer or a loss, as the library writes it."""
        return json.loads(json.dumps(getattr(self.keras, kind).serialize(value), default=float))

    def dtype_of(self, tensor: Any) -> str:
        """Return the dtype of a tensor by its name."""
        return str(getattr(tensor.dtype, "name", tensor.dtype))

    def array(self, tensor: Any) -> Any:
        """Return a tensor's numbers, those of 16-bit floats as float32."""
        narrow = self.dtype_of(tensor) in {"float16", "bfloat16"}
        return self.tensorflow.cast(tensor, "float32" if narrow else tensor.dtype).numpy()

    def set_weights(self, model: Any, arrays: list[Any]) -> None:
        """Set the weights of a model; `set_weights` of TF 2.4 does not know bfloat16."""
        if not self.is_tf24:
            model.set_weights(arrays)
            return
        for variable, array in zip(model.weights, arrays):  # noqa: B905  Python 3.8
            variable.assign(self.tensorflow.cast(array, variable.dtype))

    def variable_dtype(self, variable: Any) -> str:
        """Return the dtype in which a variable is kept."""
        return self.dtype_of(variable)

    def dtypes(self, layer: Any) -> dict[str, Any]:
        """Return compute dtype, dtype of variables, and of the output where the layer has one."""
        found = {"compute": self.compute_dtype(layer), "variable": str(layer.variable_dtype)}
        try:
            output = layer.output
        except (AttributeError, ValueError, RuntimeError):  # one of several uses, or inside a wrapper
            return found
        return {**found, "output": self.dtype_of(output)} if hasattr(output, "dtype") else found

    def compile(self, model: Any, optimizer: Any, loss: Any, *, as_graph: bool) -> None:
        """Compile a model for steps that are computed op by op."""
        options = {} if self.is_tf24 else {"jit_compile": False}
        model.compile(optimizer=optimizer, loss=loss, run_eagerly=not as_graph, **options)

    def loss_scale(self, model: Any) -> float:
        """Return the loss scale of a compiled model; 1 where the loss is not scaled."""
        optimizer = model.optimizer
        if self.name == "keras3":
            if not hasattr(optimizer, "initial_scale"):
                return 1.0
            return float(optimizer.dynamic_scale.numpy()) if optimizer.built else float(optimizer.initial_scale)
        return float(optimizer.loss_scale.numpy()) if hasattr(optimizer, "loss_scale") else 1.0
