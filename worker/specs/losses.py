"""Shapes of losses.

SOURCE: `get_config` in TF 2.4.4 (`reduction`, `name` and the arguments of the function) and Keras 3.15.1.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.shape import Bool, Int, Node, Number, OneOf, Only, Spec, Text, Unset, tabulate


class LossConfig(Spec):
    """What every loss's `get_config()` returns."""

    name: Text | None = None
    reduction: Text = Field(default="auto", examples=["auto", "sum_over_batch_size"])


class ProbabilityLossConfig(LossConfig):
    """What the crossentropies return."""

    from_logits: Bool = Field(default=False, description="Whether predictions are logits rather than probabilities.")


class SmoothedLossConfig(ProbabilityLossConfig):
    """What `BinaryCrossentropy` and `CategoricalCrossentropy` return."""

    label_smoothing: Number = 0
    axis: Annotated[Int, Only("tf_keras", "keras3")] = -1


class SparseLossConfig(ProbabilityLossConfig):
    """What `SparseCategoricalCrossentropy` returns."""

    ignore_class: Annotated[Unset, Only("tf_keras", "keras3")] = None
    axis: Annotated[Literal[-1], Only()] = -1


class MeanSquaredError(Node):
    """Mean of squared differences."""

    class_name: Literal["MeanSquaredError"]
    config: LossConfig = LossConfig()


class BinaryCrossentropy(Node):
    """Crossentropy of independent yes-no labels."""

    class_name: Literal["BinaryCrossentropy"]
    config: SmoothedLossConfig = SmoothedLossConfig()


class CategoricalCrossentropy(Node):
    """Crossentropy of one-hot labels."""

    class_name: Literal["CategoricalCrossentropy"]
    config: SmoothedLossConfig = SmoothedLossConfig()


class SparseCategoricalCrossentropy(Node):
    """Crossentropy of labels given as class numbers."""

    class_name: Literal["SparseCategoricalCrossentropy"]
    config: SparseLossConfig = SparseLossConfig()


LOSSES = tabulate(MeanSquaredError, BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy)
LossValue: TypeAlias = Annotated[Node | str, OneOf("loss", LOSSES, "name")]
