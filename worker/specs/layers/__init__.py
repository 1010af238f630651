"""Shapes of layer configs, in the spelling of TF 2.4, tf_keras and Keras 3: one module a family."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from worker.specs.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from worker.specs.layers.attention import Attention, GroupQueryAttention, MultiHeadAttention
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
from worker.specs.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
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

LAYERS = tabulate(
    InputLayer, Dense, EinsumDense, Embedding, Masking,
    Conv1D, Conv2D, Conv1DTranspose, Conv2DTranspose,
    DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D,
    MaxPooling1D, MaxPooling2D, AveragePooling1D, AveragePooling2D,
    GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    SimpleRNN, LSTM, GRU, Bidirectional, TimeDistributed,
    Attention, MultiHeadAttention, GroupQueryAttention,
    Activation, ReLU, LeakyReLU, ELU, ThresholdedReLU, PReLU, Softmax,
    BatchNormalization, LayerNormalization, GroupNormalization, RMSNormalization, UnitNormalization,
    Dropout, AlphaDropout, SpatialDropout1D, SpatialDropout2D, GaussianDropout, GaussianNoise, ActivityRegularization,
    Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot,
    Flatten, Reshape, Permute, RepeatVector, ZeroPadding1D, ZeroPadding2D, Cropping1D, Cropping2D,
    UpSampling1D, UpSampling2D, Rescaling,
)  # fmt: skip
LayerValue: TypeAlias = Annotated[LayerNode, OneOf("layer", LAYERS)]

# Only now is known what a wrapper may wrap; inner first.
for _model in (TimeDistributedConfig, BidirectionalConfig, TimeDistributed, Bidirectional):
    _model.model_rebuild(_types_namespace={"LayerValue": LayerValue})
