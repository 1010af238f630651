"""Group C: optimizers and loss scaling on given gradients."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from engine import optimizers
from engine.compilation import Compilation
from engine.dtypes import DType, as_dtype
from engine.gradients import Gradient
from engine.initializers import Zeros
from engine.network import Network
from engine.optimizers import AnyOptimizer, RowGradient
from engine.optimizers.joined import Settled
from engine.step import Verdict, apply_gradients, judge
from engine.tape import rounded
from engine.weights import WeightSpec
from tests.golden.train_case import Findings, building

# How TF 2.4 and tf_keras call the slots of the optimizers that Keras 3 names in full.
_SLOTS: Mapping[str, str] = {
    "m": "momentum",
    "v": "velocity",
    "vhat": "velocity_hat",
    "rms": "velocity",
    "mg": "average_gradient",
    "accum_grad": "accumulated_grad",
    "accum_var": "accumulated_delta_var",
    "u": "norm",
}
_SLOTS_OF: Mapping[tuple[str, str], str] = {("Adamax", "v"): "norm"}
_SHARED: Mapping[str, str] = {"momentum_cache": "u_product", "u_product": "u_product"}


@dataclass(frozen=True)
class _Variables:
    """As much of a network as an update needs."""

    trainable_specs: tuple[WeightSpec, ...]


@dataclass(frozen=True)
class _Row:
    """Everything that a case records of one moment."""

    weights: dict[str, np.ndarray]
    slots: dict[str, np.ndarray]
    scale: float
    counter: int
    iterations: int
    rate: float


def optimizer(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building(), np.errstate(all="ignore"):
        built = optimizers.get(document["optimizer"], findings.conventions)
        rows, _ = _run(findings, built)
        _check_rows(findings, rows)
    return findings.differences


def loss_scale_optimizer(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building(), np.errstate(all="ignore"):
        built = optimizers.get(document["optimizer"], findings.conventions)
        rows, verdicts = _run(findings, built)
        _check_rows(findings, rows)
    findings.same("loss scale", [row.scale for row in rows], list(map(float, document["loss_scale"])))
    findings.same("iterations", [row.iterations for row in rows], document["inner_iterations"])
    if None not in document["good_steps"]:
        findings.same("good steps", [row.counter for row in rows], document["good_steps"])
    if built.rule.checked:
        finite = [sign == "." for sign in document["pattern"]]
        findings.same("applied steps", [verdict.applied for verdict in verdicts], finite)
    return findings.differences


def optimizer_sparse(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Embedding rows: merged to a dense gradient, or one by one with repeated rows, as TensorFlow has them."""
    weights = document["weights"]
    about = {"name": "embeddings", "shape": arrays[weights].shape[1:], "weights": weights}
    return optimizer({**document, "variables": [about]}, arrays)


def _gradients(findings: Findings, step: int, dtype: DType) -> list[Gradient | None]:
    document, arrays = findings.document, findings.arrays
    if document["kind"] != "optimizer_sparse":
        # They were recorded before Keras casts them to the variables' dtype.
        given = [arrays[about["gradients"]][step].astype(dtype.storage) for about in document["variables"]]
        return [rounded(gradient, dtype) for gradient in given]
    indices = arrays[document["gradient_rows"]][step]
    parts = arrays[document["gradient_values"]][step].astype(dtype.storage)
    gradient = RowGradient(indices, parts, tuple(document["variables"][0]["shape"]))
    return [gradient.merged() if document.get("rows_merged") else gradient]


def _run(findings: Findings, built: AnyOptimizer) -> tuple[list[_Row], list[Verdict]]:
    """Apply the recorded gradients one after the other; return the rows before and after each step."""
    document = findings.document
    dtype = as_dtype(document["variable_dtype"])
    specs = tuple(
        WeightSpec(about["name"], about["name"], tuple(about["shape"]), dtype, trainable=True, initializer=Zeros())
        for about in document["variables"]
    )
    recorded = {about["name"]: findings.arrays[about["weights"]] for about in document["variables"]}
    weights = {name: values[0].astype(dtype.storage) for name, values in recorded.items()}
    network = cast("Network", _Variables(specs))
    compilation = Compilation(built, cast("Any", None))
    inner = built.inner_optimizer
    slots, scaler, iterations = inner.initial_slots(specs, weights), built.rule.initial(), 0
    settled = Settled(weights, slots, inner)
    rows = [_row(weights, slots, (scaler.loss_scale, scaler.counter, 0), inner.rate(0))]
    verdicts = []
    for step in range(document["steps"]):
        gradients = _gradients(findings, step, dtype)
        judged = judge(network, compilation, settled, gradients, scaler.loss_scale)
        verdict = apply_gradients(network, compilation, settled, judged, scaler, iterations)
        scaler, iterations = verdict.scaler, verdict.iterations
        verdicts.append(verdict)
        rows.append(_row(weights, slots, (scaler.loss_scale, scaler.counter, iterations), inner.rate(iterations)))
    return rows, verdicts


def _row(
    weights: Mapping[str, np.ndarray], slots: Mapping[str, np.ndarray], counts: tuple[float, int, int], rate: float
) -> _Row:
    copies = [{name: array.copy() for name, array in family.items()} for family in (weights, slots)]
    return _Row(copies[0], copies[1], *counts, rate)


def _check_rows(findings: Findings, rows: list[_Row]) -> None:
    document = findings.document
    for about in document["variables"]:
        name = about["name"]
        findings.check(f"weight {name}", "weights", _stack(row.weights[name] for row in rows), about["weights"])
    # TF 2.4's Nadam has a decay of its own, which it does not apply to the rate; the recorder did.
    own_decay = document["optimizer"]["class_name"] == "Nadam" and findings.conventions.fused_updates
    if document.get("learning_rate") and not own_decay:
        findings.check("learning rate", "learning_rate", [row.rate for row in rows[:-1]], document["learning_rate"])
    first = document.get("optimizer_variables_first_row", 0)
    unnamed: Counter[str] = Counter()
    for about in document["optimizer_variables"]:
        _check_optimizer_variable(findings, about, rows[first:], unnamed)


def _check_optimizer_variable(
    findings: Findings, about: Mapping[str, Any], rows: list[_Row], unnamed: Counter[str]
) -> None:
    path, expected = about["path"], findings.arrays[about["values"]]
    slot = _slot(path, findings.document, unnamed)
    if slot is not None:
        if slot not in rows[0].slots:
            findings.differs("slots", f"slot {path}: the engine keeps {', '.join(rows[0].slots) or 'none'}")
        elif rows[0].slots[slot].size:
            findings.check_values(f"slot {path}", "slots", _stack(row.slots[slot] for row in rows), expected)
    elif path.startswith("loss_scale_optimizer/"):
        counts = {"step_counter": [row.counter for row in rows], "dynamic_scale": [row.scale for row in rows]}
        last = path.rsplit("/", maxsplit=1)[-1]
        findings.same(path, counts.get(last, expected.tolist()), expected.tolist())
    elif path.endswith(("iteration", "iter:0", "iteration:0")):
        findings.same(path, [row.iterations for row in rows], expected.tolist())


def _slot(path: str, document: Mapping[str, Any], unnamed: Counter[str]) -> str | None:
    """Return the engine's key of an optimizer variable: "adam/kernel_momentum", "Adam/kernel/m:0", "m/kernel:0".

    Adafactor's means carry the name of their variable and nothing else: first those over rows, then over columns.
    """
    parts = path.removesuffix(":0").split("/")
    class_name = document["optimizer"]["class_name"]
    for name in sorted((about["name"] for about in document["variables"]), key=len, reverse=True):
        if parts[-1].startswith(f"{name}_"):
            return f"{parts[-1].removeprefix(f'{name}_')}/{name}"
        if name in parts and class_name == "Adafactor":
            unnamed[name] += 1
            return f"{'_rc'[unnamed[name]]}/{name}"
        if name in parts:
            slot = next(part for part in reversed(parts) if part != name)
            return f"{_SLOTS_OF.get((class_name, slot), _SLOTS.get(slot, slot))}/{name}"
    return _SHARED.get(parts[-1])


def _stack(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.stack(list(arrays))
