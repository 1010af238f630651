"""Shapes of metrics.

SOURCE: `get_config` in TF 2.4.4, tf_keras 2.21 and Keras 3.15.1.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from worker.specs.metric_configs import (
    AreaConfig,
    AtPrecisionConfig,
    AtRecallConfig,
    AtSensitivityConfig,
    AtSpecificityConfig,
    BinaryAccuracyConfig,
    BinaryIoUConfig,
    CategoricalCrossentropyConfig,
    CorrelationConfig,
    CosineConfig,
    CrossentropyConfig,
    F1ScoreConfig,
    FBetaScoreConfig,
    IoUConfig,
    MeanIoUConfig,
    MetricConfig,
    OneHotIoUConfig,
    OneHotMeanIoUConfig,
    PrecisionConfig,
    R2ScoreConfig,
    SparseCrossentropyConfig,
    SparseTopKConfig,
    ThresholdsConfig,
    TopKConfig,
)
from worker.specs.shape import ByOutput, Node, OneOf, tabulate


class AUC(Node):
    """Area under a curve of thresholds."""

    class_name: Literal["AUC"]
    config: AreaConfig = AreaConfig()


class Accuracy(Node):
    """Share of predictions equal to the label."""

    class_name: Literal["Accuracy"]
    config: MetricConfig = MetricConfig()


class BinaryAccuracy(Node):
    """Share of yes-no predictions that are right."""

    class_name: Literal["BinaryAccuracy"]
    config: BinaryAccuracyConfig = BinaryAccuracyConfig()


class BinaryCrossentropy(Node):
    """Mean crossentropy of yes-no labels."""

    class_name: Literal["BinaryCrossentropy"]
    config: CrossentropyConfig = CrossentropyConfig()


class BinaryIoU(Node):
    """Intersection over union of yes-no labels."""

    class_name: Literal["BinaryIoU"]
    config: BinaryIoUConfig = BinaryIoUConfig()


class CategoricalAccuracy(Node):
    """Share of right classes, labels one-hot."""

    class_name: Literal["CategoricalAccuracy"]
    config: MetricConfig = MetricConfig()


class CategoricalCrossentropy(Node):
    """Mean crossentropy of one-hot labels."""

    class_name: Literal["CategoricalCrossentropy"]
    config: CategoricalCrossentropyConfig = CategoricalCrossentropyConfig()


class CategoricalHinge(Node):
    """Mean hinge of one-hot labels."""

    class_name: Literal["CategoricalHinge"]
    config: MetricConfig = MetricConfig()


class ConcordanceCorrelation(Node):
    """Mean concordance of labels and predictions."""

    class_name: Literal["ConcordanceCorrelation"]
    config: CorrelationConfig = CorrelationConfig()


class CosineSimilarity(Node):
    """Mean cosine of the angle between labels and predictions."""

    class_name: Literal["CosineSimilarity"]
    config: CosineConfig = CosineConfig()


class F1Score(Node):
    """Harmonic mean of precision and recall."""

    class_name: Literal["F1Score"]
    config: F1ScoreConfig = F1ScoreConfig()


class FBetaScore(Node):
    """Weighted harmonic mean of precision and recall."""

    class_name: Literal["FBetaScore"]
    config: FBetaScoreConfig = FBetaScoreConfig()


class FalseNegatives(Node):
    """How many true labels were missed."""

    class_name: Literal["FalseNegatives"]
    config: ThresholdsConfig = ThresholdsConfig()


class FalsePositives(Node):
    """How many false labels were found."""

    class_name: Literal["FalsePositives"]
    config: ThresholdsConfig = ThresholdsConfig()


class Hinge(Node):
    """Mean hinge of labels -1 and 1."""

    class_name: Literal["Hinge"]
    config: MetricConfig = MetricConfig()


class IoU(Node):
    """Intersection over union of some classes."""

    class_name: Literal["IoU"]
    config: IoUConfig


class KLDivergence(Node):
    """Mean Kullback-Leibler divergence."""

    class_name: Literal["KLDivergence"]
    config: MetricConfig = MetricConfig()


class LogCoshError(Node):
    """Mean logarithm of the hyperbolic cosine of the error."""

    class_name: Literal["LogCoshError"]
    config: MetricConfig = MetricConfig()


class Mean(Node):
    """Mean of plain values; no metric for `compile`, as in Keras."""

    class_name: Literal["Mean"]
    config: MetricConfig = MetricConfig()


class MeanAbsoluteError(Node):
    """Mean of absolute differences."""

    class_name: Literal["MeanAbsoluteError"]
    config: MetricConfig = MetricConfig()


class MeanAbsolutePercentageError(Node):
    """Mean of absolute differences, in percent of the label."""

    class_name: Literal["MeanAbsolutePercentageError"]
    config: MetricConfig = MetricConfig()


class MeanIoU(Node):
    """Intersection over union, mean of all classes."""

    class_name: Literal["MeanIoU"]
    config: MeanIoUConfig


class MeanSquaredError(Node):
    """Mean of squared differences."""

    class_name: Literal["MeanSquaredError"]
    config: MetricConfig = MetricConfig()


class MeanSquaredLogarithmicError(Node):
    """Mean of squared differences of logarithms."""

    class_name: Literal["MeanSquaredLogarithmicError"]
    config: MetricConfig = MetricConfig()


class OneHotIoU(Node):
    """Intersection over union of some classes, labels one-hot."""

    class_name: Literal["OneHotIoU"]
    config: OneHotIoUConfig


class OneHotMeanIoU(Node):
    """Intersection over union, mean of all classes, labels one-hot."""

    class_name: Literal["OneHotMeanIoU"]
    config: OneHotMeanIoUConfig


class PearsonCorrelation(Node):
    """Mean correlation of labels and predictions."""

    class_name: Literal["PearsonCorrelation"]
    config: CorrelationConfig = CorrelationConfig()


class Poisson(Node):
    """Mean Poisson loss of counts."""

    class_name: Literal["Poisson"]
    config: MetricConfig = MetricConfig()


class Precision(Node):
    """Share of what was found that is true."""

    class_name: Literal["Precision"]
    config: PrecisionConfig = PrecisionConfig()


class PrecisionAtRecall(Node):
    """Best precision at a recall."""

    class_name: Literal["PrecisionAtRecall"]
    config: AtRecallConfig


class R2Score(Node):
    """Coefficient of determination."""

    class_name: Literal["R2Score"]
    config: R2ScoreConfig = R2ScoreConfig()


class Recall(Node):
    """Share of what is true that was found."""

    class_name: Literal["Recall"]
    config: PrecisionConfig = PrecisionConfig()


class RecallAtPrecision(Node):
    """Best recall at a precision."""

    class_name: Literal["RecallAtPrecision"]
    config: AtPrecisionConfig


class RootMeanSquaredError(Node):
    """Root of the mean of squared differences."""

    class_name: Literal["RootMeanSquaredError"]
    config: MetricConfig = MetricConfig()


class SensitivityAtSpecificity(Node):
    """Best sensitivity at a specificity."""

    class_name: Literal["SensitivityAtSpecificity"]
    config: AtSpecificityConfig


class SparseCategoricalAccuracy(Node):
    """Share of right classes, labels class numbers."""

    class_name: Literal["SparseCategoricalAccuracy"]
    config: MetricConfig = MetricConfig()


class SparseCategoricalCrossentropy(Node):
    """Mean crossentropy of labels given as class numbers."""

    class_name: Literal["SparseCategoricalCrossentropy"]
    config: SparseCrossentropyConfig = SparseCrossentropyConfig()


class SparseTopKCategoricalAccuracy(Node):
    """Share of labels among the k largest predictions, labels class numbers."""

    class_name: Literal["SparseTopKCategoricalAccuracy"]
    config: SparseTopKConfig = SparseTopKConfig()


class SpecificityAtSensitivity(Node):
    """Best specificity at a sensitivity."""

    class_name: Literal["SpecificityAtSensitivity"]
    config: AtSensitivityConfig


class SquaredHinge(Node):
    """Mean squared hinge of labels -1 and 1."""

    class_name: Literal["SquaredHinge"]
    config: MetricConfig = MetricConfig()


class Sum(Node):
    """Sum of plain values; no metric for `compile`, as in Keras."""

    class_name: Literal["Sum"]
    config: MetricConfig = MetricConfig()


class TopKCategoricalAccuracy(Node):
    """Share of labels among the k largest predictions, labels one-hot."""

    class_name: Literal["TopKCategoricalAccuracy"]
    config: TopKConfig = TopKConfig()


class TrueNegatives(Node):
    """How many false labels were left out."""

    class_name: Literal["TrueNegatives"]
    config: ThresholdsConfig = ThresholdsConfig()


class TruePositives(Node):
    """How many true labels were found."""

    class_name: Literal["TruePositives"]
    config: ThresholdsConfig = ThresholdsConfig()


METRICS = tabulate(
    AUC, Accuracy, BinaryAccuracy, BinaryCrossentropy, BinaryIoU, CategoricalAccuracy, CategoricalCrossentropy,
    CategoricalHinge, ConcordanceCorrelation, CosineSimilarity, F1Score, FBetaScore, FalseNegatives, FalsePositives,
    Hinge, IoU, KLDivergence, LogCoshError, Mean, MeanAbsoluteError, MeanAbsolutePercentageError, MeanIoU,
    MeanSquaredError, MeanSquaredLogarithmicError, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Poisson, Precision,
    PrecisionAtRecall, R2Score, Recall, RecallAtPrecision, RootMeanSquaredError, SensitivityAtSpecificity,
    SparseCategoricalAccuracy, SparseCategoricalCrossentropy, SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity, SquaredHinge, Sum, TopKCategoricalAccuracy, TrueNegatives, TruePositives,
)  # fmt: skip
#: A list for the one output; for several a list with one entry an output, or a dict by the outputs' names.
MetricsValue: TypeAlias = Annotated[Any, ByOutput(OneOf("metric", METRICS, "name", "null"), alone=False, nested=True)]
