"""The models that every system trains, as Keras 3 configs whose layers name no policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Config = dict[str, Any]

CLASSES = 10
LEARNING_RATE = 1e-3
"""Of Adam, whose other settings are the same everywhere but for epsilon (1e-7 in Keras and here, 1e-8 in PyTorch)."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        title: what is printed.
        kind: which of PyTorch's models it is.
        shape: of one input, without the batch axis.
        batch: rows a step.
        sizes: numbers that PyTorch's model needs: widths of hidden layers, heads.
        config: what Keras and Halfstep read.
    """

    title: str
    kind: str
    shape: tuple[int, ...]
    batch: int
    sizes: tuple[int, ...]
    config: Config

    def spec(self, policy: str, threads: int) -> Config:
        """Return what a system has to be told, as JSON can carry it."""
        told = {"kind": self.kind, "shape": self.shape, "batch": self.batch, "sizes": self.sizes}
        return {**told, "config": self.config, "policy": policy, "threads": threads}


def mlp(inputs: int, hidden: Sequence[int], batch: int) -> Row:
    """Return dense layers with relu between them."""
    title = f"MLP {'-'.join(str(size) for size in (inputs, *hidden, CLASSES))}, batch {batch}"
    layers = [_layer("Dense", units=size, activation="relu") for size in hidden]
    return Row(title, "mlp", (inputs,), batch, tuple(hidden), _sequential((inputs,), *layers, _head()))


def cnn() -> Row:
    """Return two convolutions with pooling, and two dense layers."""
    layers = (
        _layer("Conv2D", filters=32, kernel_size=[3, 3], activation="relu"),
        _layer("MaxPooling2D", pool_size=[2, 2]),
        _layer("Conv2D", filters=64, kernel_size=[3, 3], activation="relu"),
        _layer("MaxPooling2D", pool_size=[2, 2]),
        _layer("Flatten"),
        _layer("Dense", units=128, activation="relu"),
    )
    shape = (28, 28, 1)
    title = "CNN conv32-pool-conv64-pool-dense128, 28x28, batch 64"
    return Row(title, "cnn", shape, 64, (32, 64, 128), _sequential(shape, *layers, _head()))


def lstm() -> Row:
    """Return one LSTM whose last output is classified."""
    shape = (64, 64)
    config = _sequential(shape, _layer("LSTM", units=128), _head())
    return Row("LSTM(128), 64 steps of 64, batch 32", "lstm", shape, 32, (128,), config)


def transformer() -> Row:
    """Return one block with normalization after each sum (Vaswani 2017), averaged over the sequence."""
    steps, width, heads, inner = 64, 128, 4, 512
    calls = (
        _call("InputLayer", "x", (), batch_shape=[None, steps, width]),
        _call("MultiHeadAttention", "attention", ("x", "x"), num_heads=heads, key_dim=width // heads),
        _call("Add", "sum", (["x", "attention"],)),
        _call("LayerNormalization", "norm", ("sum",)),
        _call("Dense", "wide", ("norm",), units=inner, activation="relu"),
        _call("Dense", "back", ("wide",), units=width),
        _call("Add", "sum_2", (["norm", "back"],)),
        _call("LayerNormalization", "norm_2", ("sum_2",)),
        _call("GlobalAveragePooling1D", "pool", ("norm_2",), seen=(None, steps, width)),
        _call("Dense", "head", ("pool",), seen=(None, width), units=CLASSES),
    )
    config = {
        "name": "block",
        "trainable": True,
        "layers": list(calls),
        "input_layers": [["x", 0, 0]],
        "output_layers": [["head", 0, 0]],
    }
    title = f"Transformer block d {width}, {heads} heads, sequence {steps}, batch 32"
    functional = _named("Functional", config, "keras.src.models.functional")  # where Keras says that it is
    return Row(title, "transformer", (steps, width), 32, (heads, inner), functional)


ROWS: Mapping[str, Callable[[], Row]] = MappingProxyType(
    {
        "mlp": lambda: mlp(784, (512, 512), 128),
        "small-mlp": lambda: mlp(64, (128,), 32),
        "cnn": cnn,
        "lstm": lstm,
        "transformer": transformer,
    }
)


def _named(class_name: str, config: Config, module: str = "keras") -> Config:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _layer(class_name: str, **config: Any) -> Config:
    return _named(class_name, config, "keras.layers")


def _head() -> Config:
    return _layer("Dense", units=CLASSES)


def _sequential(shape: tuple[int, ...], *layers: Config) -> Config:
    entry = _layer("InputLayer", batch_shape=[None, *shape], name="x")
    named = [{**each, "config": {"name": f"layer_{place}", **each["config"]}} for place, each in enumerate(layers)]
    return _named("Sequential", {"name": "model", "trainable": True, "layers": [entry, *named]})


def _call(
    class_name: str, name: str, inputs: tuple[Any, ...], seen: tuple[Any, ...] = (None, 64, 128), **config: Any
) -> Config:
    """Return a layer of a functional model and what it is called with: names, or lists of names."""
    width = 512 if name == "back" else seen[-1]
    shape = [*seen[:-1], width]
    arguments = [
        [_tensor(each, shape) for each in one] if isinstance(one, list) else _tensor(one, shape) for one in inputs
    ]
    nodes = [{"args": arguments, "kwargs": {}}] if inputs else []
    return {**_layer(class_name, name=name, **config), "name": name, "inbound_nodes": nodes}


def _tensor(name: str, shape: list[Any]) -> Config:
    config = {"shape": shape, "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}
