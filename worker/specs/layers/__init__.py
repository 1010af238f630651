"""Shapes of layer configs, in the spelling of TF 2.4, tf_keras and Keras 3: one module a family."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from worker.specs.layers.activation import ELU, Activation, Identity, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from worker.specs.layers.attention import AdditiveAttention, Attention, GroupQueryAttention, MultiHeadAttention
from worker.specs.layers.base import InputLayer, LayerNode
from worker.specs.layers.convolutional import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from worker.specs.layers.dense import Dense, EinsumDense
from worker.specs.layers.embedding import Embedding, Masking
from worker.specs.layers.merging import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from worker.specs.layers.models import (
    FunctionalConfig,
    NestedFunctional,
    NestedFunctionalConfig,
    NestedModel,
    NestedSequential,
    NestedSequentialConfig,
    SequentialConfig,
)
from worker.specs.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    RMSNormalization,
    UnitNormalization,
)
from worker.specs.layers.operations import OPERATIONS
from worker.specs.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from worker.specs.layers.recurrent import GRU, LSTM, SimpleRNN
from worker.specs.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
)
from worker.specs.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Flatten,
    Permute,
    RepeatVector,
    Rescaling,
    Reshape,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from worker.specs.layers.wrappers import Bidirectional, BidirectionalConfig, TimeDistributed, TimeDistributedConfig
from worker.specs.shape import OneOf, tabulate

# The most used first: messages show as many.
LAYERS = tabulate(
    InputLayer, Dense, Conv1D, Conv2D, MaxPooling1D, MaxPooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    Flatten, Reshape, Dropout, BatchNormalization, LayerNormalization, Activation, ReLU, Softmax,
    Embedding, LSTM, GRU, Bidirectional, MultiHeadAttention, Add, Concatenate, Rescaling,
    EinsumDense, Masking, SimpleRNN, TimeDistributed, Attention, AdditiveAttention, GroupQueryAttention,
    Conv1DTranspose, Conv2DTranspose, DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
    AveragePooling1D, AveragePooling2D, GlobalMaxPooling1D, GlobalMaxPooling2D,
    LeakyReLU, ELU, ThresholdedReLU, PReLU, GroupNormalization, RMSNormalization, UnitNormalization,
    AlphaDropout, SpatialDropout1D, SpatialDropout2D, GaussianDropout, GaussianNoise, ActivityRegularization,
    Subtract, Multiply, Average, Maximum, Minimum, Dot, Permute, RepeatVector,
    ZeroPadding1D, ZeroPadding2D, Cropping1D, Cropping2D, UpSampling1D, UpSampling2D,
    Identity, Normalization,
)  # fmt: skip
# Models, which may stand wherever a layer does.
NESTED = tabulate(NestedSequential, NestedFunctional, NestedModel)
# Operations that are no class of layers as well; they are not offered, but come with exported models.
UNLISTED = {name: node for name, node in OPERATIONS.items() if name not in LAYERS}
LayerValue: TypeAlias = Annotated[LayerNode, OneOf("layer", {**LAYERS, **NESTED}, unlisted=UNLISTED)]

# Only now is known what a wrapper or a model may hold; inner first.
for _model in (
    TimeDistributedConfig, BidirectionalConfig, TimeDistributed, Bidirectional,
    SequentialConfig, FunctionalConfig, NestedSequentialConfig, NestedFunctionalConfig,
    NestedSequential, NestedFunctional, NestedModel,
):  # fmt: skip
    _model.model_rebuild(_types_namespace={"LayerValue": LayerValue})
