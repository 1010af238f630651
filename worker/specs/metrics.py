"""Shapes of metrics.

SOURCE: `get_config` in TF 2.4.4 and Keras 3.15.1; a metric's `dtype` is a plain dtype name.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.policy import PolicyValue
from worker.specs.shape import Int, Node, Number, OneOf, Only, Spec, Text, tabulate


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

    from_sorted_ids: Annotated[Literal[False], Only()] = False


class Accuracy(Node):
    """Share of predictions equal to the label."""

    class_name: Literal["Accuracy"]
    config: MetricConfig = MetricConfig()


class BinaryAccuracy(Node):
    """Share of yes-no predictions that are right."""

    class_name: Literal["BinaryAccuracy"]
    config: BinaryAccuracyConfig = BinaryAccuracyConfig()


class CategoricalAccuracy(Node):
    """Share of right classes, labels one-hot."""

    class_name: Literal["CategoricalAccuracy"]
    config: MetricConfig = MetricConfig()


class SparseCategoricalAccuracy(Node):
    """Share of right classes, labels class numbers."""

    class_name: Literal["SparseCategoricalAccuracy"]
    config: MetricConfig = MetricConfig()


class MeanSquaredError(Node):
    """Mean of squared differences."""

    class_name: Literal["MeanSquaredError"]
    config: MetricConfig = MetricConfig()


class MeanAbsoluteError(Node):
    """Mean of absolute differences."""

    class_name: Literal["MeanAbsoluteError"]
    config: MetricConfig = MetricConfig()


class TopKCategoricalAccuracy(Node):
    """Share of labels among the k largest predictions, labels one-hot."""

    class_name: Literal["TopKCategoricalAccuracy"]
    config: TopKConfig = TopKConfig()


class SparseTopKCategoricalAccuracy(Node):
    """Share of labels among the k largest predictions, labels class numbers."""

    class_name: Literal["SparseTopKCategoricalAccuracy"]
    config: SparseTopKConfig = SparseTopKConfig()


METRICS = tabulate(
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy, MeanSquaredError, MeanAbsoluteError,
)  # fmt: skip
MetricValue: TypeAlias = Annotated[Node | str, OneOf("metric", METRICS, "name")]
