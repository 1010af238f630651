"""The cases of ``python -m tests.extremes losses``: every loss, metric, optimizer and regularizer with extreme numbers.

A case says what to make and what to feed it; arrays are lists. What a library has not is answered by an error there.
There is no empty batch: data without rows are refused before a loss sees them (``empty_data``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.losses import LOSSES
from engine.metrics import METRICS
from engine.optimizers import OPTIMIZERS
from tests.extremes.losses_penalties import penalties
from tests.extremes.losses_settings import INPUTS, along_axes, settings
from tests.extremes.refusals.compiled import METRIC_CONFIGS

DTYPES = ("float32", "float16", "bfloat16")
NUMBERS, PROBABILITIES, CLASSES, SIGNS, EQUAL = "numbers", "probabilities", "classes", "signs", "equal"
_FAMILIES = {
    NUMBERS: (
        "MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError Huber LogCosh "
        "LogCoshError CosineSimilarity RootMeanSquaredError R2Score PearsonCorrelation ConcordanceCorrelation Mean Sum"
    ),
    CLASSES: (
        "SparseCategoricalCrossentropy CategoricalGeneralizedCrossEntropy SparseCategoricalAccuracy "
        "SparseTopKCategoricalAccuracy"
    ),
    SIGNS: "Hinge SquaredHinge CategoricalHinge",
    EQUAL: "Accuracy IoU MeanIoU",
}
FAMILY = {name: family for family, names in _FAMILIES.items() for name in names.split()}
CONFIGS: dict[str, dict[str, Any]] = {
    **METRIC_CONFIGS,
    "TopKCategoricalAccuracy": {"k": 2},
    "SparseTopKCategoricalAccuracy": {"k": 2},
}
LOGITS = (
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "SparseCategoricalCrossentropy",
)
FLAT = (
    "R2Score",
    "PearsonCorrelation",
    "ConcordanceCorrelation",
    "F1Score",
    "FBetaScore",
    "OneHotIoU",
    "OneHotMeanIoU",
)
"""Metrics of predictions with two axes."""
REDUCTIONS = ("sum", "none")

Drawn = dict[str, Any]


def _numbers(rng: np.random.Generator) -> Iterator[tuple[str, Drawn]]:
    plain = rng.normal(size=(4, 3))
    zero = np.zeros((4, 3))
    yield "plain", {"y_true": rng.normal(size=(4, 3)), "y_pred": plain}
    yield "large", {"y_true": zero, "y_pred": plain * 300}
    yield "larger", {"y_true": plain * 100, "y_pred": plain * 20000}
    yield "largest", {"y_true": zero, "y_pred": np.full((4, 3), 65504.0)}
    yield "huge", {"y_true": zero + 1, "y_pred": np.full((4, 3), 1e30)}
    yield "infinite", {"y_true": zero, "y_pred": np.where(np.eye(4, 3), np.inf, 1)}
    yield "nan", {"y_true": zero, "y_pred": np.where(np.eye(4, 3), np.nan, 1)}
    yield "tiny", {"y_true": zero, "y_pred": plain * 1e-4}
    yield "tinier", {"y_true": plain[::-1] * 1e-7, "y_pred": plain * 3e-7}
    yield "tiniest", {"y_true": zero, "y_pred": plain * 1e-30}
    yield "zeros", {"y_true": zero, "y_pred": zero}
    yield "negative", {"y_true": -np.abs(plain[::-1]), "y_pred": -np.abs(plain) * 3}
    yield "zero_rows", {"y_true": plain * [[1], [0], [1], [0]], "y_pred": plain * [[0], [0], [1], [1]]}
    yield (
        "whole",
        {
            "y_true": np.add([0, 0, 1], [[2047], [2049], [2051], [4097]]),
            "y_pred": np.add(zero, [[2047], [2048], [2052], [4096]]),
        },
    )
    yield "long", {"y_true": np.zeros((2, 4000)), "y_pred": np.full((2, 4000), 100.0)}
    yield "long_signed", {"y_true": np.zeros((2, 2001)), "y_pred": rng.normal(size=(2, 2001)) * 30}
    yield "long_batch", {"y_true": np.zeros((700, 1)), "y_pred": np.full((700, 1), 20.0)}
    yield from _weighted({"y_true": rng.normal(size=(4, 3)), "y_pred": plain})
    yield from _masked({"y_true": rng.normal(size=(3, 4, 2)), "y_pred": rng.normal(size=(3, 4, 2))})


def _probabilities(rng: np.random.Generator) -> Iterator[tuple[str, Drawn]]:
    one_hot = np.eye(3)[[0, 1, 2, 1]]
    plain = _softmax(rng.normal(size=(4, 3)))
    yield "plain", {"y_true": one_hot, "y_pred": plain}
    yield "soft", {"y_true": _softmax(rng.normal(size=(4, 3))), "y_pred": plain}
    yield "certain", {"y_true": one_hot, "y_pred": one_hot}
    yield "certainly_wrong", {"y_true": one_hot, "y_pred": np.eye(3)[[1, 2, 0, 0]]}
    yield "tiny", {"y_true": one_hot, "y_pred": np.where(one_hot, 1e-4, 0.5)}
    yield "tinier", {"y_true": one_hot, "y_pred": np.where(one_hot, 6e-8, 1 - 6e-8)}
    yield "tiniest", {"y_true": one_hot, "y_pred": np.where(one_hot, 1e-30, 0.5)}
    yield "near_one", {"y_true": one_hot, "y_pred": np.where(one_hot, 0.9995, 3e-4)}
    yield "zeros", {"y_true": one_hot, "y_pred": np.zeros((4, 3))}
    yield "zero_rows", {"y_true": one_hot * [[1], [0], [1], [0]], "y_pred": plain * [[0], [0], [1], [1]]}
    yield "nan", {"y_true": one_hot, "y_pred": np.where(np.eye(4, 3), np.nan, 0.5)}
    yield "long", {"y_true": np.eye(3000)[[1, 2999]], "y_pred": np.full((2, 3000), 1 / 3000)}
    yield "long_batch", {"y_true": np.eye(3)[[0] * 700], "y_pred": np.tile([1e-6, 0.5, 0.4], (700, 1))}
    yield from _weighted({"y_true": one_hot, "y_pred": plain})
    labels, scores = np.eye(2)[rng.integers(0, 2, (3, 4))], _softmax(rng.normal(size=(3, 4, 2)))
    yield from _masked({"y_true": labels, "y_pred": scores})


def _logits(rng: np.random.Generator) -> Iterator[tuple[str, Drawn]]:
    one_hot, scores = np.eye(3)[[0, 1, 2, 1]], rng.normal(size=(4, 3))
    for name, factor in (("plain", 1), ("large", 100), ("larger", 20000), ("huge", 1e30), ("tiny", 1e-7)):
        yield f"logits_{name}", {"y_true": one_hot, "y_pred": scores * factor}
    yield "logits_infinite", {"y_true": one_hot, "y_pred": np.where(np.eye(4, 3), np.inf, 1)}
    yield "logits_minus_infinite", {"y_true": one_hot, "y_pred": np.where(np.eye(4, 3), -np.inf, 1)}
    yield "logits_zeros", {"y_true": one_hot, "y_pred": np.zeros((4, 3))}
    yield "logits_long", {"y_true": np.eye(3000)[[1, 2999]], "y_pred": np.full((2, 3000), 9.0)}


def _classes(rng: np.random.Generator) -> Iterator[tuple[str, Drawn]]:
    for name, drawn in _probabilities(rng):
        labels = drawn["y_true"].argmax(axis=-1)
        yield name, {**drawn, "y_true": labels}
    wide = _softmax(rng.normal(size=(3, 2100)))
    yield "ids", {"y_true": np.array([5, 2049, 2051]), "y_pred": wide}
    near = np.zeros((3, 2100))
    near[[0, 1, 2], [5, 2048, 2052]] = 1
    yield "ids_beside", {"y_true": np.array([5, 2049, 2051]), "y_pred": near}


def _signs(rng: np.random.Generator) -> Iterator[tuple[str, Drawn]]:
    for name, drawn in _numbers(rng):
        yield name, {**drawn, "y_true": np.where(rng.random(drawn["y_true"].shape) < 0.5, -1.0, 1.0)}


def _equal(rng: np.random.Generator) -> Iterator[tuple[str, Drawn]]:
    yield "plain", {"y_true": np.array([[0], [1], [2], [1]]), "y_pred": np.array([[0], [1], [1], [1]])}
    yield "zeros", {"y_true": np.zeros((4, 1)), "y_pred": np.zeros((4, 1))}
    yield from _weighted({"y_true": np.array([[0], [1], [2], [1]]), "y_pred": np.array([[0], [1], [1], [1]])})


def _beyond(rng: np.random.Generator) -> Iterator[tuple[str, Drawn]]:
    yield "ids", {"y_true": np.array([[2049], [2051], [7]]), "y_pred": np.array([[2048], [2052], [7]])}


def _weighted(drawn: Drawn) -> Iterator[tuple[str, Drawn]]:
    for name, weights in (
        ("weights", [0.5, 2, 0, 1]),
        ("weights_zero", [0, 0, 0, 0]),
        ("weights_large", [30000, 30000, 30000, 60000]),
        ("weights_tiny", [1e-8, 3e-8, 1e-7, 0]),
    ):
        yield name, {**drawn, "sample_weight": np.array(weights, float)}


def _masked(drawn: Drawn) -> Iterator[tuple[str, Drawn]]:
    some = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    yield "masked", {**drawn, "mask": some}
    yield "masked_all", {**drawn, "mask": np.zeros((3, 4), bool)}
    yield "masked_weighted", {**drawn, "mask": some, "sample_weight": np.linspace(0.5, 2, 12).reshape(3, 4)}


def _softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


_DRAWS = {NUMBERS: _numbers, PROBABILITIES: _probabilities, CLASSES: _classes, SIGNS: _signs, EQUAL: _equal}


def _plain(drawn: Drawn, family: str) -> Drawn:
    kind = "int64" if family in {CLASSES, EQUAL} else "float32"
    lists = {key: np.asarray(value).tolist() for key, value in drawn.items()}
    return {
        **lists,
        "y_true_dtype": kind,
        "shape": list(np.shape(drawn["y_pred"])),
        "labels_shape": list(np.shape(drawn["y_true"])),
    }


def _inputs(name: str) -> Iterator[tuple[str, Drawn, dict[str, Any]]]:
    """Yield for a class the name of an input, the input, and what its config needs for it."""
    family, rng = FAMILY.get(name, PROBABILITIES), np.random.default_rng(11)
    for label, drawn in _DRAWS[family](rng):
        yield label, _plain(drawn, family), {}
    if name == "Accuracy":
        for label, drawn in _beyond(rng):
            yield label, _plain(drawn, family), {}
    if name in LOGITS:
        for label, drawn in _logits(rng):
            classes = {"y_true": drawn["y_true"].argmax(axis=-1)} if family == CLASSES else {}
            yield label, _plain({**drawn, **classes}, family), {"from_logits": True}


def _set(kind: str, name: str) -> Iterator[Drawn]:
    """Yield the cases of a class with other settings than the defaults."""
    family, own = FAMILY.get(name, PROBABILITIES), CONFIGS.get(name, {}) if kind == "metric" else {}
    for label, drawn, config in _inputs(name):
        for setting, given in settings(kind, name) if label in INPUTS else ():
            for dtype in DTYPES:
                yield _case(kind, name, f"{setting}_{label}", dtype, {**own, **config, **given}, drawn)
    for label, drawn, given in along_axes(name):
        for dtype in DTYPES:
            yield _case(kind, name, label, dtype, {**own, **given}, _plain(drawn, family))


def _losses() -> Iterator[Drawn]:
    for name in sorted(LOSSES):
        yield from _set("loss", name)
        for label, drawn, config in _inputs(name):
            for dtype in DTYPES:
                yield _case("loss", name, label, dtype, config, drawn)
                if label in {"large", "long_batch", "masked", "weights"}:
                    for reduction in REDUCTIONS:
                        yield _case(
                            "loss", name, f"{label}_{reduction}", dtype, {**config, "reduction": reduction}, drawn
                        )


def _metrics() -> Iterator[Drawn]:
    for name in sorted(METRICS):
        yield from _set("metric", name)
        for label, drawn, config in _inputs(name):
            if name in FLAT and len(drawn["shape"]) > 2:
                continue
            for dtype in DTYPES:
                settings = {**CONFIGS.get(name, {}), **config}
                if label.startswith("long") and "num_classes" in settings:
                    settings["num_classes"] = max(settings["num_classes"], drawn["shape"][-1])
                yield _case("metric", name, label, dtype, settings, drawn)


def _case(kind: str, name: str, label: str, dtype: str, config: dict[str, Any], drawn: Drawn) -> Drawn:
    case = f"{kind}-{name}-{label}-{dtype}"
    return {"id": case, "kind": kind, "name": name, "input": label, "dtype": dtype, "config": config, **drawn}


START = [1.0, -0.5, 0.25, 100.0, 1e-3, 0.0]
_ONES = np.array([1, -1, 0.5, 2, -0.25, 1.5])
GRADIENTS: dict[str, list[list[float]]] = {
    "plain": [list(_ONES), list(_ONES * 0.5), list(-_ONES)],
    "large": [list(_ONES * 1000), list(_ONES * 20000), list(_ONES)],
    "huge": [list(_ONES * 1e30)] * 3,
    "tiny": [list(_ONES * 1e-4)] * 3,
    "tinier": [list(_ONES * 1e-7)] * 3,
    "tiniest": [list(_ONES * 1e-30)] * 3,
    "zeros": [[0.0] * 6] * 3,
    "then_zero": [list(_ONES), [0.0] * 6, [0.0] * 6],
    "infinite": [list(_ONES), [float("inf"), 1, 1, 1, 1, 1], list(_ONES)],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "": {},
    "clipnorm": {"clipnorm": 1.0},
    "global_clipnorm": {"global_clipnorm": 1.0},
    "clipvalue": {"clipvalue": 0.5},
    "clipnorm_beyond": {"clipnorm": 1e5},
    "decay": {"weight_decay": 0.01},
    "average": {"use_ema": True, "ema_momentum": 0.999},
    "accumulated": {"gradient_accumulation_steps": 2},
    "factor": {"loss_scale_factor": 1024.0},
}
OWN: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"momentum": 0.9}, {"momentum": 0.999, "nesterov": True}, {"learning_rate": 1e-9}],
    "Adam": [{"amsgrad": True}, {"beta_1": 0.999}, {"beta_2": 0.9}],
    "RMSprop": [{"momentum": 0.9, "centered": True}, {"rho": 0.999}],
    "Adadelta": [{"learning_rate": 1.0}],
    "Ftrl": [{"l1_regularization_strength": 0.01, "l2_regularization_strength": 0.1}],
}


def _optimizers() -> Iterator[Drawn]:
    for name in sorted(OPTIMIZERS):
        variants = list(SETTINGS.items()) + [(f"own{index}", own) for index, own in enumerate(OWN.get(name, []))]
        for setting, config in variants:
            for label, gradients in GRADIENTS.items():
                for dtype in DTYPES:
                    drawn = {"start": START, "gradients": gradients}
                    yield _case("optimizer", name, f"{setting}{'_' if setting else ''}{label}", dtype, config, drawn)


def _regularizers() -> Iterator[Drawn]:
    for name, label, config, drawn in penalties():
        for dtype in DTYPES:
            yield _case("regularizer", name, label, dtype, config, drawn)


def cases() -> list[Drawn]:
    """Return every case."""
    return [*_losses(), *_metrics(), *_optimizers(), *_regularizers()]
