"""Group B: losses, activation and loss together, metrics."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from engine import layers, losses, metrics
from engine.dtypes import as_dtype
from engine.losses import Loss
from engine.run import Run
from engine.tape import Tape, Tensor
from tests.golden.outcome import NotBuilt
from tests.golden.train_case import Findings, building, magnitude


def loss_masked(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    if not isinstance(document.get("mask"), str):
        raise NotBuilt("a mask that is not one array")
    return loss(document, arrays)


def loss(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    largest = magnitude(arrays[result["grad_y_pred"]] for result in document["results"])
    with building(), np.errstate(all="ignore"):
        for result in document["results"]:
            _check_loss(findings, result, largest)
    return findings.differences


def _check_loss(findings: Findings, result: Mapping[str, Any], largest: float) -> None:
    built = _loss(findings, reduction=result["reduction"])
    weights = result.get("sample_weight")
    what = f"{result['reduction']}, weights {weights}"
    tape = Tape()
    y_pred = findings.leaf(findings.document["y_pred"], tape)
    y_true = findings.arrays[findings.document["y_true"]]
    mask = findings.document.get("mask")
    given = [None if key is None else findings.arrays[key] for key in (weights, mask)]
    value = built(y_true, y_pred, *given)
    findings.check_tensor(f"{what}: value", "value", value, result["value"])
    seed = None
    if "cotangent" in result:
        seed = findings.arrays[result["cotangent"]].astype(value.data.dtype)
        if seed.shape != value.shape:
            return
    gradient = tape.gradient(value, [y_pred], seed)[0]
    findings.check(f"{what}: gradient", "grad", gradient, result["grad_y_pred"], largest)


def _loss(findings: Findings, **extra: Any) -> Loss:
    about = findings.document["loss"]
    line = replace(findings.conventions, floatx=as_dtype(about.get("dtype", "float32")))
    config = {**about["config"], **extra}
    return losses.deserialize({"class_name": about["class_name"], "config": config}, line)


def loss_head(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building(), np.errstate(all="ignore"):
        for result in document["results"]:
            _check_head(findings, result)
    return findings.differences


def _check_head(findings: Findings, result: Mapping[str, Any]) -> None:
    document, head = findings.document, result["head_dtype"]
    built = _loss(findings)
    config = {"activation": document["activation"], "dtype": head, "name": "head"}
    activation = layers.from_config({"class_name": "Activation", "config": config}, findings.conventions)
    y_true = findings.arrays[document["y_true"]]
    tape = Tape()
    logits = findings.leaf(document["logits"], tape)
    run = Run((), {}, training=True, tape=tape, conventions=findings.conventions)
    y_pred = activation(run, logits)
    findings.check_tensor(f"{head} head: prediction", "value", y_pred, result["y_pred"])
    _check_value_and_gradient(findings, f"{head} head", (built, y_true, y_pred, logits), result, "logits_attached")
    fresh_tape = Tape()
    fresh = fresh_tape.leaf(findings.tensor(result["y_pred"]).data, y_pred.dtype)
    _check_value_and_gradient(findings, f"{head} head", (built, y_true, fresh, fresh), result, "probs_detached")


def _check_value_and_gradient(
    findings: Findings,
    what: str,
    parts: tuple[Loss, np.ndarray, Tensor, Tensor],
    result: Mapping[str, Any],
    kind: str,
) -> None:
    built, y_true, y_pred, source = parts
    manner = kind.rsplit("_", maxsplit=1)[-1]
    value = built(y_true, y_pred)
    findings.check_tensor(f"{what}, {manner}: loss", "value", value, result[f"loss_{manner}"])
    if value.node is None:
        raise NotBuilt("a loss without a gradient")
    gradient = value.node.tape.gradient(value, [source])[0]
    largest = magnitude(
        findings.arrays[each[key]]
        for each in findings.document["results"]
        for key in ("grad_logits_attached", "grad_probs_detached")
    )
    findings.check(f"{what}, {manner}: gradient", "grad", gradient, result[f"grad_{kind}"], largest)


def metric(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building(), np.errstate(all="ignore"):
        built = metrics.deserialize(document["metric"], findings.conventions)
        for run in document["runs"]:
            state = built.initial(_output_shape(findings, run))
            manner = "weighted" if run["weighted"] else "unweighted"
            for index, update in enumerate(run["updates"]):
                weights = arrays[update["sample_weight"]] if "sample_weight" in update else None
                state = built.updated(state, _labels(findings, update), _predictions(findings, update), weights)
                result = built.result(state)
                findings.check(f"{manner} result {index}", "result", result, update["result"])
            findings.same(f"{manner} variables", list(state), [item["name"] for item in run["final_state"]])
            for item in run["final_state"]:
                findings.check(f"{manner} {item['name']}", "state", state[item["name"]], item["array"])
    return findings.differences


def _output_shape(findings: Findings, run: Mapping[str, Any]) -> tuple[int | None, ...]:
    return (None, *findings.arrays[run["updates"][0]["y_pred"]].shape[1:])


def _predictions(findings: Findings, update: Mapping[str, Any]) -> Tensor:
    return findings.tensor(update["y_pred"])


def _labels(findings: Findings, update: Mapping[str, Any]) -> np.ndarray:
    return np.empty(0) if update["y_true"] is None else findings.arrays[update["y_true"]]
