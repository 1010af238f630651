"""Recurrent layers over sequences of shape (batch, steps, features)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.layers.base import (
    KERAS2,
    KERAS3,
    WHEN_SET,
    ActivationName,
    ActivityPenalty,
    LayerConfig,
    LayerNode,
    Rate,
    Seed,
)
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Bool, Int


class RecurrentConfig(LayerConfig):
    """What every recurrent layer's `get_config()` returns."""

    units: Int = Field(description="Width of the output and of the state; at least 1.", examples=[32])
    return_sequences: Bool = Field(
        default=False, description="Whether every step is returned, (batch, steps, units), or the last one alone."
    )
    return_state: Bool = Field(default=False, description="Whether the last states follow as further outputs.")
    go_backwards: Bool = Field(default=False, description="Whether the last step is read first.")
    stateful: Literal[False] = False
    unroll: Bool = Field(default=False, description="Changes nothing here: steps are always unrolled.")
    zero_output_for_mask: Annotated[Bool, KERAS3] = Field(
        default=False, description="Whether masked steps return zeros, or what came before."
    )
    time_major: Annotated[Literal[False], KERAS2] = False
    activation: ActivationName = "tanh"
    use_bias: Bool = True
    kernel_initializer: InitializerValue = "glorot_uniform"
    recurrent_initializer: InitializerValue = "orthogonal"
    bias_initializer: InitializerValue = "zeros"
    kernel_regularizer: RegularizerValue = None
    recurrent_regularizer: RegularizerValue = None
    bias_regularizer: RegularizerValue = None
    activity_regularizer: ActivityPenalty = None
    kernel_constraint: ConstraintValue = None
    recurrent_constraint: ConstraintValue = None
    bias_constraint: ConstraintValue = None
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    seed: Annotated[Seed, KERAS3] = None
    implementation: Annotated[Int, KERAS2] = Field(default=2, description="Changes nothing here.")


class LSTMConfig(RecurrentConfig):
    """What `LSTM.get_config()` returns."""

    recurrent_activation: ActivationName = "sigmoid"
    unit_forget_bias: Bool = Field(default=True, description="Whether the forget gate's bias starts at 1.")


class GRUConfig(RecurrentConfig):
    """What `GRU.get_config()` returns."""

    recurrent_activation: ActivationName = "sigmoid"
    reset_after: Bool = Field(default=True, description="Whether the reset gate works after the matrix product.")


class SimpleRNNConfig(RecurrentConfig):
    """What `SimpleRNN.get_config()` returns; Keras 3 forgets the seed."""

    seed: Annotated[Seed, WHEN_SET] = None


class SimpleRNN(LayerNode):
    """A dense layer whose output is also an input of the next step."""

    class_name: Literal["SimpleRNN"]
    config: SimpleRNNConfig


class LSTM(LayerNode):
    """Long short-term memory: a cell with an input, a forget and an output gate."""

    class_name: Literal["LSTM"]
    config: LSTMConfig


class GRU(LayerNode):
    """Gated recurrent unit: an update and a reset gate."""

    class_name: Literal["GRU"]
    config: GRUConfig
