"""Every setting of every class that a job may name changes something, is refused, or is named as without effect.

Generated: a small job for each class, trained with each setting at several other values, and compared bit by bit.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from engine.errors import EngineError
from engine.layers import LAYERS
from tests.contracts.test_specs_match_engine import FAMILIES, REQUIRED, spec_of
from tests.engine.test_layers import CONFIGS
from worker.settings import Limits
from worker.specs.check import Prepared, prepare
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec
from worker.specs.shape import fields_of
from worker.specs.unused import TABLE

VERSIONS = {"tf2.4": "2.4.0", "keras3": "3.15.1", "tf_keras": "2.15.0"}
OTHERS: tuple[Any, ...] = (
    *(True, False, 1, 2, 3, 0, 5, 0.5, 0.25, -1, -0.5, 1.5, 0.001, 1e-3, 100, 1e6),
    *("l2", "ones", "zeros", "tanh", "relu", "min", "max", "sum", "mean", "valid", "same", "columns", "float16"),
    *("nearest", "fan_out", "uniform", "normal", "macro", "average", "micro", "PR", "bilinear", "concat", "ave"),
    *("loss", "other", "stochastic", "causal", "scaled_dot", "minoring", "interpolation", "weighted", "bc"),
    *([1], [0], [1, 2], [2], [3, 2], [0.5], [0.3, 0.7], {"class_name": "MaxNorm", "config": {"max_value": 0.01}}),
)
"""Values that are tried for any setting; most are refused for most."""
MOST_TRIED = 6
SETTINGS: dict[str, dict[str, Any]] = {
    **REQUIRED,
    "ReduceLROnPlateau": {"patience": 1, "min_delta": 10.0},
    "EarlyStopping": {"patience": 1, "min_delta": 10.0},
    "Adafactor": {"learning_rate": 1.0},
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 3},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 1},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 2},
}
"""What a class is given beside the setting."""
ONLY_NAMES = {"name", "fn"}
"""Keys that name a thing and say nothing of what it does; tf_keras prints `fn` beside the arguments of the function."""
ELSEWHERE = {
    "batch_input_shape": "test_unused.py: a first layer has its shape from it",
    "zero_output_for_mask": "tests/engine: it needs a masked input",
    "mask_zero": "tests/engine: it needs a layer that reads the mask",
    "mask_value": "tests/engine: it needs a layer that reads the mask",
    "raise_error": "tests/engine/test_callbacks.py: it needs a loss that is not finite",
    "relative_step": "tests/engine: it counts after a million steps at usual rates",
}
"""Settings that need more than one class to be seen, and where they are."""
SAME_HERE = {
    ("metrics", "dtype"): "float32 is what null means; others are refused",
    ("layers", "trainable"): "the layer has no variables",
    ("layers", "autocast"): "the layer computes alike in both dtypes",
}
"""Where a value means what the default means, in what it does."""

EQUIVALENT = {
    *((name, "padding") for name in ("MaxPooling1D", "AveragePooling1D")),  # 4 steps in pools of 2
    *((name, "axis") for name in ("BatchNormalization", "Concatenate", "Normalization")),  # there is one axis
    ("MultiHeadAttention", "attention_axes"),  # likewise
    *(("MultiHeadAttention", f"{key}_shape") for key in ("query", "key", "value")),  # printed; follow from the inputs
    ("Conv1DTranspose", "dilation_rate"),  # of strides of 2 only 1 is taken
    ("AUC", "summation_method"),  # of six rows
    ("IoU", "num_classes"),  # more than there are
    ("EarlyStopping", "mode"),  # a difference of 10 is never reached, either way
    ("ReduceLROnPlateau", "mode"),
}
"""Of which no value that is tried differs from the default in such a small model."""


def _node(own: str, kind: str, settings: dict[str, Any], *before: str) -> dict[str, Any]:
    nodes = [[[source, 0, 0, {}] for source in before]] if before else []
    return {"class_name": kind, "name": own, "config": {**settings, "name": own}, "inbound_nodes": nodes}


def _job(line: str, shape: tuple[int, ...], *between: dict[str, Any], head: dict[str, Any], **job: Any) -> Any:
    first = _node("in", "InputLayer", {"batch_input_shape": [None, *shape[1:]], "dtype": "float32"})
    last = between[-1]["name"] if between else "in"
    layers = [first, *between, _node("head", "Dense", head, last)]
    graph = {"layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [["head", 0, 0]]}
    model = {"class_name": "Functional", "keras_version": VERSIONS[line], "config": {"name": "m", **graph}}
    fit = {"batch_size": max(1, shape[0] // 2), "epochs": 2, **job.pop("fit", {})}
    return {"model": model, "policy": "float32", "policy_scope": "unset", "fit": fit, **job}


def _values(shape: tuple[int, ...], whole: bool) -> list[Any]:
    draw = np.random.default_rng(1)
    values: list[Any] = (draw.integers(0, 7, shape) if whole else draw.normal(size=shape)).tolist()
    return values


def _layer(line: str, name: str, config: dict[str, Any]) -> Any:
    shape = CONFIGS[name][0]
    sources = max(LAYERS[name].arity[0], 2 if LAYERS[name].merges else 1)
    own = {key: value for key, value in config.items() if key != "name"}
    between = (_node("it", name, own, *["in"] * sources), _node("flat", "Flatten", {}, "it"))
    data = {"x": _values(shape, name == "Embedding"), "y": _values((shape[0], 2), False)}
    policy = "mixed_bfloat16" if "autocast" in config else "float32"
    compiled = {"optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.001}}, "loss": "mse"}
    return {**_job(line, shape, *between, head={"units": 2}, compile=compiled, data=data), "policy": policy}


def _labels(kind: str, rows: int) -> tuple[dict[str, Any], Any, str]:
    """Return a head, labels for it, and a loss that takes them."""
    classes = np.arange(rows) % 3
    kinds: dict[str, tuple[dict[str, Any], Any, str]] = {
        "classes": ({"units": 3, "activation": "softmax"}, classes.tolist(), "sparse_categorical_crossentropy"),
        "one_hot": ({"units": 3, "activation": "softmax"}, np.eye(3)[classes].tolist(), "categorical_crossentropy"),
        "binary": ({"units": 1, "activation": "sigmoid"}, (classes % 2).tolist(), "binary_crossentropy"),
        "numbers": ({"units": 4}, _values((rows, 4), False), "mse"),
    }
    return kinds[kind]


def _compiled(line: str, kind: str, changes: dict[str, Any], fit: dict[str, Any] | None = None, **head: Any) -> Any:
    rows = 12 if fit else 6
    layer, y, loss = _labels(kind, rows)
    compiled = {"optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.01}}, "loss": loss, **changes}
    data = {"x": _values((rows, 5), False), "y": y}
    return _job(line, (rows, 5), head={**layer, **head}, compile=compiled, data=data, fit=fit or {})


def _body(family: str, name: str, config: dict[str, Any], line: str, kind: str) -> Any:
    node = {"class_name": name, "config": config}
    if family == "layers":
        return _layer(line, name, config)
    if family in {"losses", "metrics"}:
        return _compiled(line, kind, {"loss": node} if family == "losses" else {"metrics": [node]})
    if family == "optimizers":
        body = _compiled(line, kind, {"optimizer": node})
        return {**body, "policy": "bfloat16" if any(key.startswith("update_") for key in config) else "float32"}
    if family == "schedules":
        return _compiled(line, kind, {"optimizer": {"class_name": "SGD", "config": {"learning_rate": node}}})
    if family == "callbacks":
        return _compiled(line, kind, {}, fit={"callbacks": [node], "epochs": 6, "validation_split": 0.34})
    key = {"initializers": "kernel_initializer", "regularizers": "kernel_regularizer"}.get(family, "kernel_constraint")
    return _compiled(line, kind, {}, **{key: node})


def _observed(body: Any) -> tuple[str, Prepared]:
    """Return everything that a run shows, and the job."""
    prepared = prepare(JobSpec.model_validate(body), Limits())
    trainer = prepared.trainer
    with np.errstate(all="ignore"):
        state, shown = trainer.initial_state(), []
        for _ in range(24):
            if state.epoch >= trainer.fit.epochs or (state.stopped and not state.batch):
                break
            try:
                state, record = trainer.advance(state)
            except EngineError as error:  # a run that is lost shows that too
                shown.append(str(error))
                break
            shown.append(repr(record))
    arrays = [(key, np.asarray(value).tobytes()) for key, value in sorted(state.variables.items())]
    slots = [(key, np.asarray(value).tobytes()) for key, value in sorted(state.slots.items())]
    network = prepared.model.network
    calls = [(call.output_shapes, call.layer.policy.name) for call in network.graph.calls]
    plan = [(spec.path, spec.shape, spec.dtype.name, spec.trainable) for spec in network.weight_specs]
    saves = [getattr(callback, "filepath", None) for callback in trainer.fit.callbacks]
    weights = [getattr(callback, "save_weights_only", None) for callback in trainer.fit.callbacks]
    return repr((shown, arrays, slots, calls, plan, saves, weights, state.callbacks)), prepared


_REFUSALS = (SpecError, ValidationError, EngineError, ValueError)
_KINDS = {"losses": ("numbers", "classes", "one_hot", "binary"), "metrics": ("classes", "one_hot", "binary", "numbers")}


@cache
def _plain(family: str, name: str, line: str, marked: str) -> tuple[str, str] | None:
    """Return labels that the class takes, and what it shows with them; None if nothing is trained with it alone."""
    given = _given(family, name)
    if marked:
        given = {**given, marked: {"update_seed": 0, "update_rounding": "nearest", "autocast": True}[marked]}
    for kind in _KINDS.get(family, ("numbers",)):
        try:
            return kind, _observed(_body(family, name, given, line, kind))[0]
        except _REFUSALS:
            continue
    return None


def _given(family: str, name: str) -> dict[str, Any]:
    return CONFIGS[name][1][0] if family == "layers" else SETTINGS.get(name, {})


def _cases() -> Iterator[tuple[str, str, str, str]]:
    for family, (specs, _) in FAMILIES.items():
        for name in specs:
            for key in spec_of(specs[name]).model_fields:
                lines = [line for line in VERSIONS if key in fields_of(spec_of(specs[name]), line)]  # type: ignore[arg-type]
                if name != "InputLayer" and key not in ONLY_NAMES and key not in ELSEWHERE:
                    yield family, name, key, (lines or ["keras3"])[0]


CASES = list(_cases())
MARKED = {"update_seed", "update_rounding", "autocast"}
"""Settings that show under a policy of their own."""


def _others(family: str, name: str, key: str) -> Iterator[Any]:
    default = _given(family, name).get(key, spec_of(FAMILIES[family][0][name]).model_fields[key].default)
    yield from (value for value in OTHERS if value != default)


def _outcome(family: str, name: str, key: str, line: str) -> str:
    """Return "refused" if no other value is taken, "counts" or "told" if one has an effect or is named; "silent"."""
    plain = _plain(family, name, line, key if key in MARKED else "")
    if plain is None:
        return "refused"
    kind, usual = plain
    tried = 0
    for value in _others(family, name, key):
        try:
            shown, prepared = _observed(_body(family, name, {**_given(family, name), key: value}, line, kind))
        except _REFUSALS:
            continue
        if shown != usual:
            return "counts"
        if any(each.code == "no_effect" and each.pointer.endswith(f"/{key}") for each in prepared.warnings):
            return "told"
        tried += 1
        if tried >= MOST_TRIED:
            break
    return "silent" if tried else "refused"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_counts_is_refused_or_is_told(family: str) -> None:
    found = {case[1:3]: _outcome(*case) for case in CASES if case[0] == family}
    silent = {case for case, outcome in found.items() if outcome == "silent"}
    assert {case for case in silent if (family, case[1]) not in SAME_HERE and case not in EQUIVALENT} == set()
    assert "counts" in found.values()
    told = {case for case, outcome in found.items() if outcome == "told"}
    assert all(key in {rule.key for rule in TABLE[name]} for name, key in told)
