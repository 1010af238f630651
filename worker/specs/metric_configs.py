"""What metrics' `get_config()` return.

SOURCE: TF 2.4.4, tf_keras 2.21 and Keras 3.15.1; a metric's `dtype` is a plain dtype name.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from worker.specs.policy import PolicyValue
from worker.specs.shape import Bool, Int, Number, Only, Spec, Text

NEWER = Only("tf_keras", "keras3")
KERAS2 = Only("tf2.4", "tf_keras")
Classes: TypeAlias = tuple[Int, ...]


class MetricConfig(Spec):
    """What every metric's `get_config()` returns."""

    name: Text | None = None
    dtype: PolicyValue = Field(default=None, description="Dtype of the running sums.")


class BinaryAccuracyConfig(MetricConfig):
    """What `BinaryAccuracy.get_config()` returns."""

    threshold: Number = Field(default=0.5, description="Predictions above it count as yes.")


class TopKConfig(MetricConfig):
    """What `TopKCategoricalAccuracy.get_config()` and its sparse twin return."""

    k: Int = Field(default=5, description="How many of the largest predictions count.")


class SparseTopKConfig(TopKConfig):
    """What `SparseTopKCategoricalAccuracy.get_config()` returns; Keras 3 prints the flag only when it is set."""

    from_sorted_ids: Annotated[Bool, Only()] = Field(
        default=False, description="Whether predictions are class numbers already, the likeliest first."
    )


class CrossentropyConfig(MetricConfig):
    """What `BinaryCrossentropy.get_config()` returns."""

    from_logits: Bool = Field(default=False, description="Whether predictions are logits rather than probabilities.")
    label_smoothing: Number = 0


class CategoricalCrossentropyConfig(CrossentropyConfig):
    """What `CategoricalCrossentropy.get_config()` returns."""

    axis: Annotated[Int, NEWER] = -1


class SparseCrossentropyConfig(MetricConfig):
    """What `SparseCategoricalCrossentropy.get_config()` returns."""

    from_logits: Bool = Field(default=False, description="Whether predictions are logits rather than probabilities.")
    ignore_class: Annotated[Int | None, NEWER] = None
    axis: Int = -1


class CosineConfig(MetricConfig):
    """What `CosineSimilarity.get_config()` returns; Keras 3 forgets `axis`."""

    axis: Annotated[Int, KERAS2] = -1


class CorrelationConfig(MetricConfig):
    """What the correlations' `get_config()` return."""

    axis: Int = -1


class ThresholdsConfig(MetricConfig):
    """What the counters of positives and negatives return."""

    thresholds: Number | tuple[Number, ...] | None = Field(
        default=None, description="Predictions above it count as yes; several give several results."
    )


class PrecisionConfig(ThresholdsConfig):
    """What `Precision.get_config()` and `Recall.get_config()` return."""

    top_k: Int | None = Field(default=None, description="Only the largest predictions of a row can be a yes.")
    class_id: Int | None = Field(default=None, description="The only column that counts.")


class PointConfig(MetricConfig):
    """What the best points of a curve have in common."""

    num_thresholds: Int = 200
    class_id: Annotated[Int | None, NEWER] = None


class AtSpecificityConfig(PointConfig):
    """What `SensitivityAtSpecificity.get_config()` returns."""

    specificity: Number


class AtSensitivityConfig(PointConfig):
    """What `SpecificityAtSensitivity.get_config()` returns."""

    sensitivity: Number


class AtRecallConfig(PointConfig):
    """What `PrecisionAtRecall.get_config()` returns."""

    recall: Number


class AtPrecisionConfig(PointConfig):
    """What `RecallAtPrecision.get_config()` returns."""

    precision: Number


class AreaConfig(MetricConfig):
    """What `AUC.get_config()` returns; `thresholds` only where they were given."""

    num_thresholds: Int = 200
    curve: Text = Field(default="ROC", examples=["ROC", "PR", "PRGAIN"])
    summation_method: Text = Field(default="interpolation", examples=["interpolation", "minoring", "majoring"])
    thresholds: Annotated[tuple[Number, ...] | None, Only()] = None
    multi_label: Bool = Field(default=False, description="Whether columns are labels of their own.")
    num_labels: Annotated[Int | None, NEWER] = None
    label_weights: tuple[Number, ...] | None = None
    from_logits: Annotated[Bool, NEWER] = False


class F1ScoreConfig(MetricConfig):
    """What `F1Score.get_config()` returns."""

    average: Text | None = Field(default=None, examples=["micro", "macro", "weighted"])
    threshold: Number | None = Field(
        default=None, description="Predictions above it count as yes; null: the largest of each row."
    )


class FBetaScoreConfig(F1ScoreConfig):
    """What `FBetaScore.get_config()` returns."""

    beta: Number = Field(default=1.0, description="Weight of recall.")


class R2ScoreConfig(MetricConfig):
    """What `R2Score.get_config()` returns."""

    class_aggregation: Text | None = "uniform_average"
    num_regressors: Int = 0


class BinaryIoUConfig(MetricConfig):
    """What `BinaryIoU.get_config()` returns."""

    target_class_ids: Classes = (0, 1)
    threshold: Number = 0.5


class OneHotMeanIoUConfig(MetricConfig):
    """What `OneHotMeanIoU.get_config()` returns."""

    num_classes: Int
    ignore_class: Annotated[Int | None, NEWER] = None
    sparse_y_pred: Bool = False
    axis: Annotated[Int, NEWER] = -1


class OneHotIoUConfig(OneHotMeanIoUConfig):
    """What `OneHotIoU.get_config()` returns."""

    target_class_ids: Classes


class MeanIoUConfig(OneHotMeanIoUConfig):
    """What `MeanIoU.get_config()` returns."""

    sparse_y_true: Annotated[Bool, NEWER] = True
    sparse_y_pred: Annotated[Bool, NEWER] = True


class IoUConfig(OneHotIoUConfig):
    """What `IoU.get_config()` returns."""

    sparse_y_true: Bool = True
    sparse_y_pred: Annotated[Bool, NEWER] = True
