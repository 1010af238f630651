"""Runs cases of losses, metrics, optimizers and regularizers in the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import losses, metrics, optimizers, regularizers
from engine.conventions import CONVENTIONS
from engine.dtypes import FLOAT32, as_dtype
from engine.errors import EngineError
from engine.heads import matched
from engine.losses.base import on_grid
from engine.tape import Tape, Tensor
from tests.engine.updates import Variables, spec

Case = dict[str, Any]


def _inputs(case: Case, library: str) -> tuple[np.ndarray, Tensor, np.ndarray | None]:
    dtype = as_dtype(case["dtype"])
    predictions = np.array(case["y_pred"], np.float32).reshape(case["shape"])
    labels = np.array(case["y_true"], case["y_true_dtype"]).reshape(case["labels_shape"])
    tensor = Tensor(on_grid(predictions, dtype), dtype)
    if case.get("mask") is not None:
        tensor.mask = np.array(case["mask"], bool)
    given = case.get("sample_weight")
    weights = None if given is None else np.array(given, np.float32)
    labels, weights = matched(labels, weights, tensor, CONVENTIONS[library])
    return labels, tensor, weights


def _loss(case: Case, library: str) -> dict[str, Any]:
    labels, given, weights = _inputs(case, library)
    config = {"class_name": case["name"], "config": case["config"]}
    loss = losses.deserialize(config, CONVENTIONS[library])
    tape = Tape()
    leaf = tape.leaf(given.data, given.dtype)
    leaf.mask = given.mask
    found = loss(labels, leaf, weights)
    gradient = tape.gradient(found, [leaf])[0]
    return {
        "value": _numbers(found.data),
        "gradient": _numbers(np.zeros(given.shape) if gradient is None else gradient),
        "dtype": found.dtype.name,
    }


def _metric(case: Case, library: str) -> dict[str, Any]:
    labels, given, weights = _inputs(case, library)
    metric = metrics.deserialize({"class_name": case["name"], "config": case["config"]}, CONVENTIONS[library])
    state = metric.initial((None, *case["shape"][1:]))
    results = []
    for _ in range(2):
        state = metric.updated(state, labels, given, weights)
        results.append(_numbers(metric.result(state)))
    return {"results": results}


def _regularizer(case: Case, library: str) -> dict[str, Any]:
    dtype = as_dtype(case["dtype"])
    tape = Tape()
    leaf = tape.leaf(on_grid(np.array(case["x"], np.float32), dtype), dtype)
    found = regularizers.deserialize({"class_name": case["name"], "config": case["config"]})(leaf, CONVENTIONS[library])
    gradient = np.zeros(leaf.shape) if found.node is None else tape.gradient(found, [leaf])[0]
    return {"value": _numbers(found.data), "gradient": _numbers(gradient)}


def _optimizer(case: Case, library: str) -> dict[str, Any]:
    dtype = as_dtype(case["dtype"])
    config = {"class_name": case["name"], "config": case["config"]}
    optimizer = optimizers.get(config, CONVENTIONS[library]).inner_optimizer
    specs = (spec((len(case["start"]),), dtype, "v"),)
    arrays = [on_grid(np.array(case["start"], np.float32), dtype).copy()]
    of = Variables(optimizer, specs, arrays, optimizer.initial_slots(specs, {"v": arrays[0]}))
    after = []
    for gradient in case["gradients"]:
        of.step([_unscaled(on_grid(np.array(gradient, np.float32), dtype).copy(), optimizer, dtype)])
        after.append(_numbers(of.arrays[0]))
    found: dict[str, Any] = {"after": after}
    if case["config"].get("use_ema"):
        optimizer.finish(specs, {"v": of.arrays[0]}, of.slots)
        found["averaged"] = _numbers(of.arrays[0])
    return found


def _unscaled(gradient: np.ndarray, optimizer: Any, dtype: Any) -> np.ndarray:
    factor = optimizer.loss_scale_factor
    return gradient if not factor else on_grid(gradient / np.float32(factor), dtype)


def _numbers(array: Any) -> list[float]:
    return [float(number) for number in np.asarray(array, np.float64).ravel()]


_RUN = {"loss": _loss, "metric": _metric, "optimizer": _optimizer, "regularizer": _regularizer}


def answers(cases: list[Case], library: str) -> dict[str, dict[str, Any]]:
    """Return what each case gives, or the error that it raises."""
    found = {}
    for case in cases:
        with np.errstate(all="ignore"):
            try:
                found[case["id"]] = _RUN[case["kind"]](case, library)
            except EngineError as error:
                found[case["id"]] = {"error": type(error).__name__, "message": str(error)[:300]}
            except Exception as error:  # noqa: BLE001  # whatever it is, it is a defect
                found[case["id"]] = {"error": type(error).__name__, "message": str(error)[:300], "crash": True}
    return found


def in_float32(case: Case) -> Case:
    """Return the case with predictions or variables in float32."""
    return {**case, "dtype": FLOAT32.name}
