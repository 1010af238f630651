"""Normalization by the statistics of the batch, or of each row."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.layers.base import KERAS3, NEWER, Axes, LayerConfig, LayerNode
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Bool, Int, Integers, Number, Numbers, Unset


class CentredConfig(LayerConfig):
    """What normalizations with a learnt scale (gamma) and offset (beta) return."""

    axis: Axes = -1
    epsilon: Number = Field(default=0.001, description="Added to the variance, so that nothing is divided by 0.")
    center: Bool = Field(default=True, description="Whether an offset, beta, is learnt.")
    scale: Bool = Field(default=True, description="Whether a scale, gamma, is learnt.")
    beta_initializer: InitializerValue = "zeros"
    gamma_initializer: InitializerValue = "ones"
    beta_regularizer: RegularizerValue = None
    gamma_regularizer: RegularizerValue = None
    beta_constraint: ConstraintValue = None
    gamma_constraint: ConstraintValue = None


class BatchNormalizationConfig(CentredConfig):
    """What `BatchNormalization.get_config()` returns."""

    momentum: Number = Field(default=0.99, description="Share of the moving averages that each step keeps.")
    moving_mean_initializer: InitializerValue = "zeros"
    moving_variance_initializer: InitializerValue = "ones"
    synchronized: Annotated[Literal[False], KERAS3] = False
    renorm: Annotated[Literal[False], KERAS3] = False
    renorm_clipping: Annotated[Unset, KERAS3] = None
    renorm_momentum: Annotated[Number, KERAS3] = 0.99


class LayerNormalizationConfig(CentredConfig):
    """What `LayerNormalization.get_config()` returns."""

    rms_scaling: Annotated[Bool, KERAS3] = Field(
        default=False, description="Whether rows are divided by their root mean square, without centring."
    )


class GroupNormalizationConfig(CentredConfig):
    """What `GroupNormalization.get_config()` returns."""

    groups: Int = Field(default=32, description="Parts that the channels are cut into; -1 is one a channel.")


class RMSNormalizationConfig(LayerConfig):
    """What `RMSNormalization.get_config()` returns."""

    axis: Axes = -1
    epsilon: Number = 1e-6


class UnitNormalizationConfig(LayerConfig):
    """What `UnitNormalization.get_config()` returns."""

    axis: Axes = -1


class NormalizationConfig(LayerConfig):
    """What `Normalization.get_config()` returns."""

    axis: Integers | None = Field(default=(-1,), description="Axes with numbers of their own; null for one pair.")
    invert: Annotated[Bool, NEWER] = False
    mean: Numbers | None = None
    variance: Numbers | None = None


class Normalization(LayerNode):
    """Data to mean 0 and deviation 1, by numbers that are given or held by the weights."""

    class_name: Literal["Normalization"]
    config: NormalizationConfig = NormalizationConfig()


class BatchNormalization(LayerNode):
    """Each channel to mean 0 and deviation 1 over the batch; over all batches seen, outside training."""

    class_name: Literal["BatchNormalization"]
    config: BatchNormalizationConfig


class LayerNormalization(LayerNode):
    """Each row to mean 0 and deviation 1."""

    class_name: Literal["LayerNormalization"]
    config: LayerNormalizationConfig


class GroupNormalization(LayerNode):
    """Each group of channels to mean 0 and deviation 1."""

    class_name: Literal["GroupNormalization"]
    config: GroupNormalizationConfig


class RMSNormalization(LayerNode):
    """Each row to root mean square 1."""

    class_name: Literal["RMSNormalization"]
    config: RMSNormalizationConfig


class UnitNormalization(LayerNode):
    """Each row to Euclidean norm 1."""

    class_name: Literal["UnitNormalization"]
    config: UnitNormalizationConfig
