"""Shapes of losses.

SOURCE: `get_config` in TF 2.4.4 and tf_keras (`reduction`, `name` and the arguments of the function) and Keras 3.15.1.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from worker.specs.bounds import MOST_AXES, AtMost
from worker.specs.shape import Bool, ByOutput, Int, Node, Number, OneOf, Only, Spec, Text, tabulate

NEWER = Only("tf_keras", "keras3")
KERAS2 = Only("tf2.4", "tf_keras")
#: One axis or several; null for all of them.
Axes: TypeAlias = Int | Annotated[tuple[Int, ...], AtMost(MOST_AXES)] | None


class LossConfig(Spec):
    """What every loss's `get_config()` returns."""

    name: Text | None = None
    reduction: Text = Field(default="auto", examples=["auto", "sum_over_batch_size"])
    fn: Annotated[Text | None, Only()] = Field(default=None, description="Printed by tf_keras, and not read.")


class ProbabilityLossConfig(LossConfig):
    """What the crossentropies return."""

    from_logits: Bool = Field(default=False, description="Whether predictions are logits rather than probabilities.")


class SmoothedLossConfig(ProbabilityLossConfig):
    """What `BinaryCrossentropy` and `CategoricalCrossentropy` return."""

    label_smoothing: Number = 0
    axis: Annotated[Int, NEWER] = -1


class FocalLossConfig(ProbabilityLossConfig):
    """What `CategoricalFocalCrossentropy` returns."""

    label_smoothing: Number = 0
    axis: Int = -1
    alpha: Number = Field(default=0.25, description="What the losses are multiplied by.")
    gamma: Number = Field(default=2.0, description="How much less counts what is classified well.")


class BinaryFocalLossConfig(FocalLossConfig):
    """What `BinaryFocalCrossentropy` returns."""

    apply_class_balancing: Bool = Field(default=False, description="Whether `alpha` weighs yes against no.")


class SparseLossConfig(ProbabilityLossConfig):
    """What `SparseCategoricalCrossentropy` returns."""

    ignore_class: Annotated[Int | None, NEWER] = None
    axis: Annotated[Literal[-1], Only()] = -1


class GeneralizedLossConfig(LossConfig):
    """What `CategoricalGeneralizedCrossEntropy` returns."""

    q: Number = 0.5


class HuberConfig(LossConfig):
    """What `Huber` returns; Keras 3 forgets `delta`."""

    delta: Annotated[Number, KERAS2] = 1.0


class CosineConfig(LossConfig):
    """What `CosineSimilarity` returns; Keras 3 forgets `axis`."""

    axis: Annotated[Int, KERAS2] = -1


class DiceConfig(LossConfig):
    """What `Dice` returns."""

    axis: Axes = None


class TverskyConfig(DiceConfig):
    """What `Tversky` returns."""

    alpha: Number = Field(default=0.5, description="Weight of what was missed.")
    beta: Number = Field(default=0.5, description="Weight of what was found wrongly.")


class BinaryCrossentropy(Node):
    """Crossentropy of independent yes-no labels."""

    class_name: Literal["BinaryCrossentropy"]
    config: SmoothedLossConfig = SmoothedLossConfig()


class BinaryFocalCrossentropy(Node):
    """Crossentropy of yes-no labels, in which what is classified well counts little."""

    class_name: Literal["BinaryFocalCrossentropy"]
    config: BinaryFocalLossConfig = BinaryFocalLossConfig()


class CategoricalCrossentropy(Node):
    """Crossentropy of one-hot labels."""

    class_name: Literal["CategoricalCrossentropy"]
    config: SmoothedLossConfig = SmoothedLossConfig()


class CategoricalFocalCrossentropy(Node):
    """Crossentropy of one-hot labels, in which what is classified well counts little."""

    class_name: Literal["CategoricalFocalCrossentropy"]
    config: FocalLossConfig = FocalLossConfig()


class CategoricalGeneralizedCrossEntropy(Node):
    """Between crossentropy and absolute error, of labels given as class numbers."""

    class_name: Literal["CategoricalGeneralizedCrossEntropy"]
    config: GeneralizedLossConfig = GeneralizedLossConfig()


class CategoricalHinge(Node):
    """Hinge of one-hot labels."""

    class_name: Literal["CategoricalHinge"]
    config: LossConfig = LossConfig()


class CosineSimilarity(Node):
    """Minus the cosine of the angle between labels and predictions."""

    class_name: Literal["CosineSimilarity"]
    config: CosineConfig = CosineConfig()


class Dice(Node):
    """One minus the overlap of labels and predictions."""

    class_name: Literal["Dice"]
    config: DiceConfig = DiceConfig()


class Hinge(Node):
    """Hinge of labels -1 and 1."""

    class_name: Literal["Hinge"]
    config: LossConfig = LossConfig()


class Huber(Node):
    """Squared error, linear from `delta` on."""

    class_name: Literal["Huber"]
    config: HuberConfig = HuberConfig()


class KLDivergence(Node):
    """Kullback-Leibler divergence of two distributions."""

    class_name: Literal["KLDivergence"]
    config: LossConfig = LossConfig()


class LogCosh(Node):
    """Logarithm of the hyperbolic cosine of the error."""

    class_name: Literal["LogCosh"]
    config: LossConfig = LossConfig()


class MeanAbsoluteError(Node):
    """Mean of absolute differences."""

    class_name: Literal["MeanAbsoluteError"]
    config: LossConfig = LossConfig()


class MeanAbsolutePercentageError(Node):
    """Mean of absolute differences, in percent of the label."""

    class_name: Literal["MeanAbsolutePercentageError"]
    config: LossConfig = LossConfig()


class MeanSquaredError(Node):
    """Mean of squared differences."""

    class_name: Literal["MeanSquaredError"]
    config: LossConfig = LossConfig()


class MeanSquaredLogarithmicError(Node):
    """Mean of squared differences of logarithms."""

    class_name: Literal["MeanSquaredLogarithmicError"]
    config: LossConfig = LossConfig()


class Poisson(Node):
    """Poisson loss of counts."""

    class_name: Literal["Poisson"]
    config: LossConfig = LossConfig()


class SparseCategoricalCrossentropy(Node):
    """Crossentropy of labels given as class numbers."""

    class_name: Literal["SparseCategoricalCrossentropy"]
    config: SparseLossConfig = SparseLossConfig()


class SquaredHinge(Node):
    """Squared hinge of labels -1 and 1."""

    class_name: Literal["SquaredHinge"]
    config: LossConfig = LossConfig()


class Tversky(Node):
    """One minus the overlap, which weighs misses against false finds."""

    class_name: Literal["Tversky"]
    config: TverskyConfig = TverskyConfig()


LOSSES = tabulate(
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy, CategoricalHinge, CosineSimilarity, Dice, Hinge, Huber, KLDivergence,
    LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson,
    SparseCategoricalCrossentropy, SquaredHinge, Tversky,
)  # fmt: skip
#: One for all outputs, or one (null for none) an output, in a list or by the outputs' names.
LossValue: TypeAlias = Annotated[Any, ByOutput(OneOf("loss", LOSSES, "name", "null"), alone=True, nested=False)]
