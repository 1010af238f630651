"""Group A: one layer or activation function, forward and gradients."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine import activations, layers, ops
from engine.dtypes import as_dtype
from engine.run import Run
from engine.tape import Tape, Tensor, rounded
from tests.golden.outcome import NotBuilt
from tests.golden.train_case import Findings, building, magnitude


def layer(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building(), np.errstate(all="ignore"):
        _run_layer(findings)
    return findings.differences


def activation_function(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building(), np.errstate(all="ignore"):
        function = _function(findings)
        tape = Tape()
        leaves = [findings.leaf(key, tape) for key in document["inputs"]]
        _check_outputs(findings, [function(*leaves)], tape, leaves, [])
    return findings.differences


def _function(findings: Findings) -> Callable[..., Tensor]:
    name, keywords = findings.document["function"], findings.document["kwargs"]
    if not keywords:
        return lambda x: activations.get("activation", name)(x, findings.conventions)
    function: Callable[..., Tensor] | None = getattr(ops, name, None)
    if function is None or not set(keywords) <= set(inspect.signature(function).parameters):
        raise NotBuilt(f"activation {name} with {', '.join(keywords)}")
    return lambda x: function(x, **keywords)


def _run_layer(findings: Findings) -> None:
    document = findings.document
    built = layers.from_config(document["layer"], findings.conventions)
    call = document["call"]
    tape = Tape()
    inputs = [findings.leaf(key, tape) for key in document["inputs"]]
    given = inputs * 2 if call["mode"] == "single_twice" else inputs
    specs = built.weight_specs(*[tensor.shape for tensor in given])
    findings.same("shapes of weights", [list(spec.shape) for spec in specs], [w["shape"] for w in document["weights"]])
    findings.same("dtypes of weights", [spec.dtype.name for spec in specs], [w["dtype"] for w in document["weights"]])
    if findings.found:
        return
    values = {
        spec.path: findings.arrays[about["array"]].astype(spec.dtype.storage)
        for spec, about in zip(specs, document["weights"], strict=True)
    }
    run = Run(specs, values, training=bool(call["training"]), tape=tape, conventions=findings.conventions)
    keywords = call["kwargs"] | {key: findings.arrays[array] for key, array in call["array_kwargs"].items()}
    result: Any = built(run, *given, **keywords)
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    _check_updates(findings, specs, values, run)
    _check_layer_losses(findings, specs, run)
    _check_outputs(findings, outputs, tape, inputs, [run.variables[spec.path] for spec in specs])


def _check_updates(
    findings: Findings, specs: tuple[layers.WeightSpec, ...], values: Mapping[str, np.ndarray], run: Run
) -> None:
    changed = {item["weight"]: item["array"] for item in findings.document["weights_changed_by_call"]}
    for index, spec in enumerate(specs):
        after = run.updates.get(spec.path, values[spec.path])
        if index in changed:
            findings.check(f"{spec.name} after the call", "weights_changed", after, changed[index])
        else:
            findings.same(f"{spec.name} unchanged", np.array_equal(after, values[spec.path]), True)


def _check_layer_losses(findings: Findings, specs: tuple[layers.WeightSpec, ...], run: Run) -> None:
    recorded = findings.document.get("layer_losses")
    if recorded is None:
        return
    penalties = [spec.regularizer(run.variables[spec.path]) for spec in specs if spec.regularizer]
    got = [float(loss.data) for loss in (*penalties, *run.losses)]
    expected = [item if isinstance(item, int | float) else _scalar(findings, item) for item in recorded]
    findings.check_values("layer losses", "layer_losses", sorted(got), sorted(expected))


def _scalar(findings: Findings, item: Any) -> float:
    return float(findings.arrays[item["array"] if isinstance(item, Mapping) else item])


def _check_outputs(
    findings: Findings, outputs: list[Tensor], tape: Tape, inputs: list[Tensor], weights: list[Tensor]
) -> None:
    document = findings.document
    findings.same("number of outputs", len(outputs), len(document["outputs"]))
    for index, (output, about) in enumerate(zip(outputs, document["outputs"], strict=False)):
        findings.check_tensor(f"output {index}", "output", output, about["array"])
    gradients = tape.gradient(_weighted_sum(findings, outputs), [*inputs, *weights])
    of_inputs, of_weights = gradients[: len(inputs)], gradients[len(inputs) :]
    recorded = document["grads"]
    keys = [key for key in recorded["inputs"] if key] + [item["array"] for item in recorded["weights"]]
    largest = magnitude(findings.arrays[key] for key in keys)
    for index, (gradient, key) in enumerate(zip(of_inputs, recorded["inputs"], strict=True)):
        if key:
            findings.check(f"gradient of input {index}", "grad_input", gradient, key, largest)
    for item in recorded["weights"]:
        gradient = of_weights[item["weight"]]
        findings.check(f"gradient of weight {item['weight']}", "grad_weight", gradient, item["array"], largest)


def _weighted_sum(findings: Findings, outputs: list[Tensor]) -> Tensor:
    """Return the sum of outputs times cotangents in float64, so that only the gradients of the layer are rounded."""
    wide = as_dtype("float64")
    total: Tensor | None = None
    for output, about in zip(outputs, findings.document["outputs"], strict=False):
        cotangent = rounded(findings.arrays[about["cotangent"]].astype(output.data.dtype), output.dtype)
        product = ops.multiply(ops.cast(output, wide), Tensor(cotangent.astype(wide.storage), wide))
        part = ops.reduce_sum(product)
        total = part if total is None else ops.add(total, part)
    if total is None:
        raise NotBuilt("a layer without outputs")
    return total
