"""Metrics by Keras's names, and how their configs are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.configured import choose, refuse, serialized, split_serialized
from engine.conventions import TF24, Conventions
from engine.errors import InvalidValue, located
from engine.losses import Loss
from engine.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from engine.metrics.averaging import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    Mean,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Sum,
)
from engine.metrics.base import Metric, State
from engine.metrics.confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from engine.metrics.correlation import ConcordanceCorrelation, PearsonCorrelation, R2Score
from engine.metrics.curves import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from engine.metrics.fscore import F1Score, FBetaScore
from engine.metrics.overlap import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU

__all__ = ["METRICS", "NAMES", "Metric", "State", "deserialize", "get", "serialize"]

METRICS: Mapping[str, type[Metric]] = MappingProxyType(
    {
        metric.class_name: metric
        for metric in (
            AUC,
            Accuracy,
            BinaryAccuracy,
            BinaryCrossentropy,
            BinaryIoU,
            CategoricalAccuracy,
            CategoricalCrossentropy,
            CategoricalHinge,
            ConcordanceCorrelation,
            CosineSimilarity,
            F1Score,
            FBetaScore,
            FalseNegatives,
            FalsePositives,
            Hinge,
            IoU,
            KLDivergence,
            LogCoshError,
            Mean,
            MeanAbsoluteError,
            MeanAbsolutePercentageError,
            MeanIoU,
            MeanSquaredError,
            MeanSquaredLogarithmicError,
            OneHotIoU,
            OneHotMeanIoU,
            PearsonCorrelation,
            Poisson,
            Precision,
            PrecisionAtRecall,
            R2Score,
            Recall,
            RecallAtPrecision,
            RootMeanSquaredError,
            SensitivityAtSpecificity,
            SparseCategoricalAccuracy,
            SparseCategoricalCrossentropy,
            SparseTopKCategoricalAccuracy,
            SpecificityAtSensitivity,
            SquaredHinge,
            Sum,
            TopKCategoricalAccuracy,
            TrueNegatives,
            TruePositives,
        )
    }
)
"""Every metric class by its Keras name."""

_FUNCTIONS: Mapping[str, type[Metric]] = {
    "auc": AUC,
    "binary_accuracy": BinaryAccuracy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_io_u": BinaryIoU,
    "categorical_accuracy": CategoricalAccuracy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_hinge": CategoricalHinge,
    "concordance_correlation": ConcordanceCorrelation,
    "cosine_proximity": CosineSimilarity,
    "cosine_similarity": CosineSimilarity,
    "f1_score": F1Score,
    "f_beta_score": FBetaScore,
    "false_negatives": FalseNegatives,
    "false_positives": FalsePositives,
    "hinge": Hinge,
    "kl_divergence": KLDivergence,
    "kullback_leibler_divergence": KLDivergence,
    "log_cosh": LogCoshError,
    "log_cosh_error": LogCoshError,
    "logcosh": LogCoshError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_error": MeanSquaredError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "pearson_correlation": PearsonCorrelation,
    "poisson": Poisson,
    "precision": Precision,
    "r2_score": R2Score,
    "recall": Recall,
    "root_mean_squared_error": RootMeanSquaredError,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "squared_hinge": SquaredHinge,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "true_negatives": TrueNegatives,
    "true_positives": TruePositives,
}
_SHORT: Mapping[str, type[Metric]] = {
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
}
_ALIASES: Mapping[str, type[Metric]] = {
    **_FUNCTIONS,
    **_SHORT,
    **{name.upper(): metric for name, metric in _SHORT.items()},
}
_ACCURACY = ("accuracy", "acc")
NAMES: Mapping[str, type[Metric]] = MappingProxyType({**_ALIASES, **METRICS, **dict.fromkeys(_ACCURACY, Accuracy)})
"""Every name that stands for a metric with its defaults; the metric is shown under the name that was given."""


def get(
    identifier: Any, loss: Loss | None = None, output_size: int | None = None, conventions: Conventions = TF24
) -> Metric:
    """Read a metric of a model: a name, a serialized dict of Keras 2 or 3, or a Metric.

    "accuracy" becomes the accuracy that fits, as Keras chooses it: binary for one output, sparse for class numbers,
    else categorical.

    Args:
        identifier: what to read.
        loss: the model's loss; tells whether labels are class numbers.
        output_size: size of the last output axis.
        conventions: the line of Keras to follow.

    Raises:
        Unsupported: an unknown name or class.
        InvalidValue: not an identifier, or a metric that takes no labels.
    """
    metric = _read(identifier, loss, output_size, conventions)
    if not metric.takes_labels:
        raise InvalidValue(
            f"{metric.class_name} takes plain values, but a model's metric is given labels and predictions. Name a "
            "metric that compares them, such as 'mean_absolute_error'."
        )
    return metric


def _read(identifier: Any, loss: Loss | None, output_size: int | None, conventions: Conventions) -> Metric:
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier, conventions)
    if not isinstance(identifier, str):
        raise refuse("metrics", "the name of a metric or a serialized metric", identifier)
    if identifier in _ACCURACY:
        return _fitting_accuracy(loss, output_size)(name=identifier, conventions=conventions)
    cls: type[Metric] = choose("metric", NAMES, identifier)
    shown_as_given = identifier in _ALIASES or conventions.keras3
    return cls.from_config({"name": identifier} if shown_as_given else {}, conventions=conventions)


def _fitting_accuracy(loss: Loss | None, output_size: int | None) -> type[Metric]:
    if output_size == 1:
        return BinaryAccuracy
    return CategoricalAccuracy if loss is not None and not loss.labels_are_classes else SparseCategoricalAccuracy


def deserialize(config: Mapping[str, Any], conventions: Conventions = TF24) -> Metric:
    """Return the metric that ``{"class_name", "config"}`` describes."""
    class_name, inner = split_serialized("metric", config)
    cls: type[Metric] = choose("metric", METRICS, class_name)
    with located("config"):
        return cls.from_config(inner, conventions=conventions)


def serialize(metric: Metric, conventions: Conventions | None = None) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of a metric, in the spelling of its line of Keras."""
    return serialized(metric, conventions or metric.conventions, "keras.metrics")
