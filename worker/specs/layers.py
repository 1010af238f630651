"""Shapes of layer configs, in the spelling of TF 2.4, tf_keras and Keras 3.

SOURCE: `get_config` of each layer in TF 2.4.4, tf_keras 2.21 and Keras 3.15.1.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.policy import PolicyValue
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Anything, Bool, Int, Node, Number, OneOf, Only, Shape, Spec, Text, Unset, tabulate

KERAS2 = Only("tf2.4", "tf_keras")
KERAS3 = Only("keras3")
WHEN_SET = Only()


class LayerConfig(Spec):
    """What every layer's `get_config()` returns."""

    name: Text | None = Field(default=None, description="Name of the layer; made from its class when absent.")
    trainable: Bool = Field(default=True, description="Whether training changes its variables.")
    dtype: PolicyValue = Field(
        default=None, description="Dtype policy of this layer alone; null or absent takes the job's policy."
    )
    batch_input_shape: Annotated[Shape | None, WHEN_SET] = Field(
        default=None, description="Printed by Keras 2 on a layer made with `input_shape`; the batch size is null."
    )


class InputLayerConfig(Spec):
    """What `InputLayer.get_config()` returns; the shape has a key of its own in each line of Keras."""

    batch_input_shape: Annotated[Shape | None, KERAS2] = Field(default=None, examples=[[None, 64]])
    batch_shape: Annotated[Shape | None, KERAS3] = Field(default=None, examples=[[None, 64]])
    dtype: PolicyValue = Field(default=None, description="Dtype of the data that arrives here.")
    sparse: Bool = False
    ragged: Bool = False
    name: Text | None = None
    optional: Annotated[Bool, Only("tf_keras", "keras3")] = False


class DenseConfig(LayerConfig):
    """What `Dense.get_config()` returns."""

    units: Int = Field(description="Width of the output; at least 1.", examples=[32])
    activation: Text | None = Field(default="linear", examples=["relu", "softmax", "linear"])
    use_bias: Bool = True
    kernel_initializer: InitializerValue = "glorot_uniform"
    bias_initializer: InitializerValue = "zeros"
    kernel_regularizer: RegularizerValue = None
    bias_regularizer: RegularizerValue = None
    activity_regularizer: Annotated[RegularizerValue, KERAS2] = None
    kernel_constraint: ConstraintValue = None
    bias_constraint: ConstraintValue = None
    quantization_config: Annotated[Unset, KERAS3] = None


class ActivationConfig(LayerConfig):
    """What `Activation.get_config()` returns."""

    activation: Text = Field(description="Name of an activation function.", examples=["relu", "softmax"])


class ReLUConfig(LayerConfig):
    """What `ReLU.get_config()` returns."""

    max_value: Number | None = None
    negative_slope: Number | None = 0.0
    threshold: Number | None = 0.0


class SoftmaxConfig(LayerConfig):
    """What `Softmax.get_config()` returns."""

    axis: Int | tuple[Int, ...] = -1


class DropoutConfig(LayerConfig):
    """What `Dropout.get_config()` returns."""

    rate: Number = Field(description="Fraction of the inputs set to zero; at least 0 and below 1.", examples=[0.2])
    noise_shape: Shape | None = None
    seed: Int | None = None


class FlattenConfig(LayerConfig):
    """What `Flatten.get_config()` returns."""

    data_format: Text | None = Field(default="channels_last", examples=["channels_last", "channels_first"])


class BatchNormalizationConfig(LayerConfig):
    """What `BatchNormalization.get_config()` returns."""

    axis: Int | tuple[Int, ...] = -1
    momentum: Number = 0.99
    epsilon: Number = 0.001
    center: Bool = True
    scale: Bool = True
    beta_initializer: InitializerValue = "zeros"
    gamma_initializer: InitializerValue = "ones"
    moving_mean_initializer: InitializerValue = "zeros"
    moving_variance_initializer: InitializerValue = "ones"
    beta_regularizer: RegularizerValue = None
    gamma_regularizer: RegularizerValue = None
    beta_constraint: ConstraintValue = None
    gamma_constraint: ConstraintValue = None
    synchronized: Annotated[Literal[False], KERAS3] = False
    renorm: Annotated[Literal[False], KERAS3] = False
    renorm_clipping: Annotated[Unset, KERAS3] = None
    renorm_momentum: Annotated[Number, KERAS3] = 0.99


class LayerNode(Node):
    """A layer as a model lists it."""

    name: Text | None = Field(default=None, description="Name of the layer, as functional models print it again.")
    inbound_nodes: tuple[Anything, ...] | None = Field(
        default=None, description="Where the inputs of each call come from, in functional models."
    )


class InputLayer(LayerNode):
    """The entry of a model: shape and dtype of the data."""

    class_name: Literal["InputLayer"]
    config: InputLayerConfig


class Dense(LayerNode):
    """`activation(x @ kernel + bias)`."""

    class_name: Literal["Dense"]
    config: DenseConfig


class Activation(LayerNode):
    """An activation function as a layer."""

    class_name: Literal["Activation"]
    config: ActivationConfig


class ReLU(LayerNode):
    """Rectifier with slope, threshold and ceiling."""

    class_name: Literal["ReLU"]
    config: ReLUConfig


class Softmax(LayerNode):
    """Softmax over one axis or several."""

    class_name: Literal["Softmax"]
    config: SoftmaxConfig


class Dropout(LayerNode):
    """Random zeros while training."""

    class_name: Literal["Dropout"]
    config: DropoutConfig


class Flatten(LayerNode):
    """All axes but the batch as one."""

    class_name: Literal["Flatten"]
    config: FlattenConfig


class BatchNormalization(LayerNode):
    """Normalization by the statistics of the batch."""

    class_name: Literal["BatchNormalization"]
    config: BatchNormalizationConfig


LAYERS = tabulate(InputLayer, Dense, Activation, ReLU, Softmax, Dropout, Flatten, BatchNormalization)
LayerValue: TypeAlias = Annotated[LayerNode, OneOf("layer", LAYERS)]
