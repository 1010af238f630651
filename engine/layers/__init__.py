"""Layers by Keras's names, and how their configs are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from engine.configured import choose, split_serialized
from engine.conventions import TF24, Conventions
from engine.errors import EngineError
from engine.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from engine.layers.attention import AdditiveAttention, Attention
from engine.layers.base import Layer, Shape
from engine.layers.convolutional import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from engine.layers.dense import Dense, EinsumDense
from engine.layers.embedding import Embedding, Masking
from engine.layers.input import InputLayer
from engine.layers.layer_normalization import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from engine.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from engine.layers.multi_head_attention import GroupQueryAttention, MultiHeadAttention
from engine.layers.normalization import BatchNormalization
from engine.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from engine.layers.preprocessing import Identity, Normalization, Rescaling
from engine.layers.recurrent import GRU, LSTM, SimpleRNN
from engine.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
)
from engine.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from engine.layers.wrappers import Bidirectional, TimeDistributed, Wrapper
from engine.policy import Policy
from engine.weights import WeightSpec

__all__ = [
    "LAYERS",
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "InputLayer",
    "Layer",
    "ReLU",
    "Shape",
    "Softmax",
    "WeightSpec",
    "from_config",
    "serialize",
]

_CLASSES: tuple[type[Layer], ...] = (
    Activation,
    ActivityRegularization,
    Add,
    AdditiveAttention,
    AlphaDropout,
    Attention,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Cropping1D,
    Cropping2D,
    Dense,
    DepthwiseConv1D,
    DepthwiseConv2D,
    Dot,
    Dropout,
    EinsumDense,
    ELU,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GroupNormalization,
    GroupQueryAttention,
    GRU,
    Identity,
    InputLayer,
    LayerNormalization,
    LeakyReLU,
    LSTM,
    Masking,
    Maximum,
    MaxPooling1D,
    MaxPooling2D,
    Minimum,
    MultiHeadAttention,
    Multiply,
    Normalization,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    SeparableConv1D,
    SeparableConv2D,
    SimpleRNN,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    Subtract,
    ThresholdedReLU,
    TimeDistributed,
    UnitNormalization,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
LAYERS: Mapping[str, type[Layer]] = MappingProxyType({layer.class_name: layer for layer in _CLASSES})
"""Every layer class by its Keras name."""

_INNER = ("layer", "backward_layer")
"""Settings of wrappers that hold a serialized layer."""


ReadModel = Callable[[Mapping[str, Any], Conventions], Layer]
"""Reads the config of a model that is used as a layer."""


def from_config(
    config: Mapping[str, Any],
    conventions: Conventions = TF24,
    policy: Policy | None = None,
    models: Mapping[str, ReadModel] = MappingProxyType({}),
) -> Layer:
    """Return the layer that ``{"class_name", "config"}`` describes.

    Args:
        config: serialized layer of Keras 2 or 3.
        conventions: the line of Keras it behaves like.
        policy: used where the config has no dtype; None leaves the dtype open.
        models: readers of the classes of models that may be used as layers.

    Raises:
        Unsupported: a class this engine does not have.
        EngineError: a setting is not accepted; ``path`` leads to it.
    """
    class_name, inner = split_serialized("layer", config)
    if class_name in models:
        return models[class_name](inner, conventions)
    try:
        cls: type[Layer] = choose("layer", LAYERS, class_name)
    except EngineError as error:
        raise error.at("class_name") from None
    try:
        layer = cls.from_config(_read_inner(inner, conventions, models), conventions=conventions)
    except EngineError as error:
        raise error.at("config") from None
    if policy is None and (layer.dtype is None or isinstance(layer, Wrapper)):
        return layer  # the layers in a wrapper wait for the policy of the model, whatever its own
    return layer.placed(layer.name or class_name.lower(), policy or layer.policy)


def _read_inner(config: Mapping[str, Any], conventions: Conventions, models: Mapping[str, ReadModel]) -> dict[str, Any]:
    """Return a config with the serialized layers in it read."""
    read = dict(config)
    for key in _INNER:
        if isinstance(config.get(key), Mapping):
            try:
                read[key] = from_config(config[key], conventions, models=models)
            except EngineError as error:
                raise error.at(key) from None
    return read


def serialize(layer: Layer, conventions: Conventions | None = None) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of a layer, in the spelling of its line of Keras."""
    line = conventions or layer.conventions
    short = {"class_name": layer.class_name, "config": layer.get_config(line)}
    module, registered_name = layer.origin
    return {"module": module, **short, "registered_name": registered_name} if line.keras3 else short
