"""Settings of losses and metrics, each with extreme numbers: axes, smoothing, ignored classes, averages, thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Drawn = dict[str, Any]

AXES = (0, 1, 2, -2, (1, 2), 3)
"""Of predictions with three axes; the last one they do not have."""
_SMOOTH = {"label_smoothing": 0.1}
_WHOLE_CLASSES = {"num_classes": 3, "sparse_y_pred": False}
LOSSES: dict[str, list[Drawn]] = {
    "BinaryCrossentropy": [_SMOOTH],
    "BinaryFocalCrossentropy": [_SMOOTH, {"apply_class_balancing": True}, {"gamma": 5.0}, {"gamma": 0.0}],
    "CategoricalCrossentropy": [_SMOOTH],
    "CategoricalFocalCrossentropy": [_SMOOTH, {"gamma": 5.0, "alpha": 0.9}],
    "CategoricalGeneralizedCrossEntropy": [{"q": 0.99}, {"q": 0.01}],
    "Huber": [{"delta": 1e-3}, {"delta": 1e4}],
    "SparseCategoricalCrossentropy": [{"ignore_class": 1}, {"ignore_class": 1, "from_logits": True}],
    "Tversky": [{"alpha": 0.9, "beta": 0.1}],
}
METRICS: dict[str, list[Drawn]] = {
    "AUC": [{"curve": "PR"}, {"multi_label": True}, {"num_thresholds": 3}, {"from_logits": True}],
    "BinaryAccuracy": [{"threshold": 0.1}, {"threshold": 0.9}],
    "BinaryCrossentropy": [_SMOOTH],
    "BinaryIoU": [{"threshold": 0.3}],
    "CategoricalCrossentropy": [_SMOOTH],
    "F1Score": [{"average": "macro"}, {"average": "weighted", "threshold": 0.5}],
    "FBetaScore": [{"beta": 0.1, "average": "micro"}],
    "IoU": [
        {**_WHOLE_CLASSES, "target_class_ids": [0, 1], "sparse_y_true": False},
        {**_WHOLE_CLASSES, "target_class_ids": [2], "sparse_y_true": False, "ignore_class": 0},
    ],
    "MeanIoU": [{**_WHOLE_CLASSES, "sparse_y_true": False}],
    "OneHotIoU": [{"num_classes": 3, "target_class_ids": [1], "ignore_class": 1}],
    "OneHotMeanIoU": [{"num_classes": 3, "ignore_class": 0}],
    "Precision": [{"thresholds": 0.3}, {"thresholds": [0.1, 0.9]}, {"class_id": 1}, {"top_k": 2}],
    "R2Score": [{"class_aggregation": None}, {"class_aggregation": "variance_weighted_average"}, {"num_regressors": 2}],
    "Recall": [{"thresholds": [0.1, 0.9]}, {"top_k": 1, "class_id": 0}],
    "SparseCategoricalCrossentropy": [{"ignore_class": 1}],
    "TopKCategoricalAccuracy": [{"k": 3}, {"k": 1}],
    "TruePositives": [{"thresholds": [0.1, 0.5, 0.9]}],
}
WITH_AXES = (
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "Dice",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Tversky",
)
_SEVERAL_AXES = ("Dice", "Tversky")
INPUTS = ("plain", "soft", "large", "tiny", "zeros", "zero_rows", "certain", "weights")
"""Of those that every class has."""


def settings(kind: str, name: str) -> list[tuple[str, Drawn]]:
    """Return what is set beside the defaults, each with a label."""
    table = LOSSES if kind == "loss" else METRICS
    return [(f"set{index}", config) for index, config in enumerate(table.get(name, []))]


def along_axes(name: str) -> Iterator[tuple[str, Drawn, Drawn]]:
    """Yield for a class with an axis a label, predictions with three axes, and the config."""
    if name not in WITH_AXES:
        return
    rng = np.random.default_rng(5)
    scores = rng.random((3, 3, 3))
    for size, factor in (("plain", 1.0), ("tiny", 1e-4)):
        labels = np.eye(3)[rng.integers(0, 3, (3, 3))]
        for axis in AXES:
            if isinstance(axis, int) or name in _SEVERAL_AXES:
                label = f"axis{axis}_{size}".replace(" ", "")
                yield label, {"y_true": labels, "y_pred": scores * factor}, {"axis": axis}
    weighted = {
        "y_true": rng.random((3, 4, 2)),
        "y_pred": rng.random((3, 4, 2)),
        "sample_weight": np.array([0.5, 2, 0]),
    }
    for place in (0, 1, -1):
        yield f"axis{place}_weighted", weighted, {"axis": place}
