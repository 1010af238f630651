"""What the config of every layer has, and what layers with kernels have in common.

SOURCE: `get_config` of each layer in TF 2.4.4, tf_keras 2.21 and Keras 3.15.1.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field

from worker.specs.bounds import MOST_LAYERS, AtMost
from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.policy import PolicyValue
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Anything, Bool, Int, Integers, Node, Number, Only, Shape, Spec, Text, Unset

KERAS2 = Only("tf2.4", "tf_keras")
KERAS3 = Only("keras3")
TF_KERAS = Only("tf_keras")
NEWER = Only("tf_keras", "keras3")
WHEN_SET = Only()

#: Name of an activation function.
ActivationName: TypeAlias = Annotated[
    Text | None,
    Field(description="Name of an activation function; null is linear.", examples=["relu", "tanh", "softmax"]),
]
ChannelsLast: TypeAlias = Annotated[
    Text | None,
    Field(description="Where channels stand; only channels_last runs.", examples=["channels_last"]),
]
Axes: TypeAlias = Annotated[
    Integers, Field(description="An axis, or a list of axes; 0 is the batch, -1 the last.", examples=[-1])
]
Seed: TypeAlias = Annotated[
    Int | None, Field(description="Seed of this layer alone; null derives it from the job's seed.", examples=[7])
]
Rate: TypeAlias = Annotated[Number, Field(description="Share of the values, from 0 to 1.", examples=[0.2])]
ActivityPenalty: TypeAlias = Annotated[
    RegularizerValue, Field(description="Penalty on the layer's output, added to the loss.", examples=["l2"])
]
Unquantized: TypeAlias = Annotated[Unset, KERAS3]
LowRank: TypeAlias = Annotated[Unset, WHEN_SET]


class LayerConfig(Spec):
    """What every layer's `get_config()` returns."""

    model_config = ConfigDict(defer_build=True)

    name: Text | None = Field(default=None, description="Name of the layer; made from its class when absent.")
    trainable: Bool = Field(default=True, description="Whether training changes its variables.")
    dtype: PolicyValue = Field(
        default=None, description="Dtype policy of this layer alone; null or absent takes the job's policy."
    )
    batch_input_shape: Annotated[Shape | None, WHEN_SET] = Field(
        default=None, description="Printed by Keras 2 on a layer made with `input_shape`; the batch size is null."
    )
    autocast: Annotated[Bool, WHEN_SET] = Field(
        default=True, description="Whether floating inputs are cast to the compute dtype. Keras does not print it."
    )


class KernelConfig(LayerConfig):
    """What layers with a kernel, a bias and an activation return."""

    activation: ActivationName = "linear"
    kernel_initializer: InitializerValue = "glorot_uniform"
    bias_initializer: InitializerValue = "zeros"
    kernel_regularizer: RegularizerValue = None
    bias_regularizer: RegularizerValue = None
    activity_regularizer: Annotated[ActivityPenalty, KERAS2] = None
    kernel_constraint: ConstraintValue = None
    bias_constraint: ConstraintValue = None


class BiasedConfig(KernelConfig):
    """What they return where `use_bias` says whether there is a bias."""

    use_bias: Bool = Field(default=True, description="Whether a bias is added.")


class LayerNode(Node):
    """A layer as a model lists it."""

    name: Text | None = Field(default=None, description="Name of the layer, as functional models print it again.")
    inbound_nodes: Annotated[tuple[Anything, ...], AtMost(MOST_LAYERS)] | None = Field(
        default=None, description="Where the inputs of each call come from, in functional models."
    )


class InputLayerConfig(Spec):
    """What `InputLayer.get_config()` returns; the shape has a key of its own in each line of Keras."""

    batch_input_shape: Annotated[Shape | None, KERAS2] = Field(default=None, examples=[[None, 64]])
    batch_shape: Annotated[Shape | None, KERAS3] = Field(default=None, examples=[[None, 64]])
    dtype: PolicyValue = Field(
        default=None, description="Dtype of the data that arrives here.", examples=["float32", "int32"]
    )
    sparse: Bool = False
    ragged: Bool = False
    name: Text | None = None
    optional: Annotated[Bool, KERAS3] = False
    input_tensor: Annotated[Unset, WHEN_SET] = None


class InputLayer(LayerNode):
    """The entry of a model: shape and dtype of the data."""

    class_name: Literal["InputLayer"]
    config: InputLayerConfig
