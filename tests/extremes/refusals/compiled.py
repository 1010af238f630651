"""Cases of optimizers, losses and metrics. Read by Python 3.8 too."""

from __future__ import annotations

from typing import Any, Iterator  # noqa: UP035  Python 3.8 reads this file

OPTIMIZERS = "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion Nadam RMSprop SGD"
SETTINGS: dict = {
    "Adam": {"amsgrad": {"amsgrad": True}},
    "RMSprop": {"centered": {"centered": True}, "momentum": {"momentum": 0.9}},
    "SGD": {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}},
}
SHARED: dict = {
    "clipnorm": {"clipnorm": 1.0},
    "clipvalue": {"clipvalue": 1.0},
    "global_clipnorm": {"global_clipnorm": 1.0},
    "weight_decay": {"weight_decay": 0.01},
    "use_ema": {"use_ema": True},
    "accumulated": {"gradient_accumulation_steps": 2},
}
"""Settings that every optimizer has; asked of Adam and SGD."""
PLAIN = (
    "BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge "
    "CosineSimilarity Dice Hinge Huber KLDivergence LogCosh MeanAbsoluteError MeanAbsolutePercentageError "
    "MeanSquaredError MeanSquaredLogarithmicError Poisson SquaredHinge Tversky"
)
SPARSE = ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy")
LOGITS = (
    "BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy "
    "SparseCategoricalCrossentropy"
)
METRICS = (
    "AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy CategoricalCrossentropy "
    "CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score FBetaScore FalseNegatives FalsePositives Hinge "
    "IoU KLDivergence LogCoshError MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanSquaredError "
    "MeanSquaredLogarithmicError OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson Precision PrecisionAtRecall "
    "R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy "
    "SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge "
    "TopKCategoricalAccuracy TrueNegatives TruePositives"
)
METRIC_CONFIGS: dict = {
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "BinaryIoU": {"target_class_ids": [0, 1]},
    "IoU": {"num_classes": 3, "target_class_ids": [0, 1]},
    "MeanIoU": {"num_classes": 3},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 2]},
    "OneHotMeanIoU": {"num_classes": 3},
}


def _case(name: str, class_name: str, config: dict, **compiled: Any) -> dict:
    shared = {"shapes": [[6]], "mode": "single", "call": {}, "masked": False}
    return {"id": name, "class_name": class_name, "config": config, **shared, **compiled}


def _optimizers() -> Iterator[dict]:
    for name in OPTIMIZERS.split():
        shared = SHARED if name in {"Adam", "SGD"} else {}
        for setting, config in {"plain": {}, **SETTINGS.get(name, {}), **shared}.items():
            optimizer = {"class_name": name, "config": config}
            yield _case(f"optimizer/{name}_{setting}", "Dense", {"units": 3}, optimizer=optimizer)
            rows = {"input_dim": 7, "output_dim": 3, "integer": True}
            yield _case(f"optimizer_of_rows/{name}_{setting}", "Embedding", rows, optimizer=optimizer)


def _heads(name: str) -> dict:
    return {"units": 3, "activation": "softmax" if "ategorical" in name else "sigmoid"}


def cases() -> Iterator[dict]:
    """Yield the cases."""
    yield _case("fit/global_policy", "Dense", {"units": 3})
    yield from _optimizers()
    for name in (*PLAIN.split(), *SPARSE):
        loss = {"class_name": name, "config": {}}
        yield _case(f"loss/{name}", "Dense", _heads(name), loss=loss, classes=name in SPARSE)
    for name in LOGITS.split():
        loss = {"class_name": name, "config": {"from_logits": True}}
        yield _case(f"loss/{name}_of_logits", "Dense", {"units": 3}, loss=loss, classes=name in SPARSE)
    for name in METRICS.split():
        metric = {"class_name": name, "config": METRIC_CONFIGS.get(name, {})}
        yield _case(f"metric/{name}", "Dense", _heads(name), metric=metric, classes=name.startswith("Sparse"))
