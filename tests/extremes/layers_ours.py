"""What the engine answers to the cases of layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import ops
from engine.conventions import CONVENTIONS
from engine.dtypes import FLOAT32, FLOAT64, DType
from engine.errors import EngineError
from engine.layers import Layer
from engine.numerics.findings import Finding
from engine.numerics.linter import lint
from engine.numerics.model_policy import read_model_policy
from engine.numerics.subject import Subject
from engine.rounding import round_to
from engine.run import Run
from engine.tape import Tape, Tensor
from tests.extremes.comparing import Answer
from tests.extremes.layers_cases import built


def answer(library: str, case: dict[str, Any], inputs: list[np.ndarray], weights: list[np.ndarray]) -> Answer:
    """Return the output of a case and the gradients of sum(output * cotangent), or the error."""
    layer = built(library, case["layer"], case["config"], case["policy"])
    try:
        with np.errstate(all="ignore"):
            return _answer(library, layer, case, inputs, weights)
    except EngineError as error:
        return Answer(error=f"{type(error).__name__}: {error}")


def _answer(
    library: str, layer: Layer, case: dict[str, Any], inputs: list[np.ndarray], weights: list[np.ndarray]
) -> Answer:
    tape = Tape()
    xs = [tape.leaf(x, FLOAT32) for x in inputs]
    specs = layer.weight_specs(*[x.shape for x in inputs])
    values = {
        spec.path: round_to(array.astype(spec.dtype.storage), spec.dtype)
        for spec, array in zip(specs, weights, strict=True)
    }
    run = Run(specs, values, training=case["training"], tape=tape, conventions=CONVENTIONS[library])
    given = [_masking(library, case["policy"])(run, x) for x in xs] if case["masked"] else xs
    y = layer(run, *given)
    total = ops.reduce_sum(ops.multiply(ops.cast(y, FLOAT64), Tensor(cotangent_of(y.shape, y.dtype), FLOAT64)))
    variables = [run.variables[spec.path] for spec in specs if spec.trainable]
    gradients = tape.gradient(total, [*xs, *variables])
    found = {"y": y.data}
    names = [f"gx{i}" for i in range(len(xs))] + [f"gw{i}" for i in range(len(variables))]
    for name, source, gradient in zip(names, [*xs, *variables], gradients, strict=True):
        found[name] = np.zeros_like(source.data) if gradient is None else gradient
    return Answer(found, y.dtype.name)


def _masking(library: str, policy: str) -> Layer:
    return built(library, "Masking", {"mask_value": 0.0}, policy)


def cotangent_of(shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    """Return the weights of the outputs in the sum whose gradient is taken, on the grid of their dtype."""
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    return (round_to(values, dtype) if dtype.low_precision else values).astype(np.float64)


def findings(library: str, case: dict[str, Any], inputs: list[np.ndarray]) -> list[Finding]:
    """Return what the linter says of a model of that layer, given the data."""
    version = {"tf2.4": "2.4.0", "tf_keras": "2.15.0", "keras3": "3.15.1"}[library]
    names = [f"x{i}" for i in range(case["inputs"])]
    entries = [
        {
            "class_name": "InputLayer",
            "name": name,
            "config": {"name": name, "batch_input_shape": [None, *x.shape[1:]]},
            "inbound_nodes": [],
        }
        for name, x in zip(names, inputs, strict=True)
    ]
    sources = [f"m{i}" for i in range(case["inputs"])] if case["masked"] else names
    masks = [
        {
            "class_name": "Masking",
            "name": f"m{i}",
            "config": {"name": f"m{i}", "mask_value": 0.0},
            "inbound_nodes": [[[name, 0, 0, {}]]],
        }
        for i, name in enumerate(names)
    ]
    tried = {
        "class_name": case["layer"],
        "name": "it",
        "config": {**case["config"], "name": "it"},
        "inbound_nodes": [[[name, 0, 0, {}] for name in sources]],
    }
    layers = [*entries, *(masks if case["masked"] else []), tried]
    graph = {
        "name": "m",
        "layers": layers,
        "input_layers": [[name, 0, 0] for name in names],
        "output_layers": [["it", 0, 0]],
    }
    subject = Subject(
        config={"class_name": "Functional", "config": graph, "keras_version": version},
        policy=read_model_policy(case["policy"]),
        conventions=CONVENTIONS[library],
        batch_size=len(inputs[0]),
        inputs=dict(zip(names, inputs, strict=True)) if case["inputs"] > 1 else inputs[0],
    )
    return [found for found in lint(subject) if found.layer is not None and found.layer.split("/")[0] == "it"]
