"""What a library makes of random models: ``PYTHON -m tests.campaigns.recording LIBRARY`` answers lines of JSON.

An answer is a model: its plan, its export under one global policy, and the dtypes and one training step of the same
model built under the policy that is asked for, with the same weights. The step is one `train_on_batch` of a
compiled model, without XLA, which keeps more bits than the dtypes have.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any

import numpy as np

from tests.campaigns.drawing import TOKENS, drawn
from tests.campaigns.libraries import Library
from tests.campaigns.plans import Plan, built

GRAPHS = 10
"""One model in so many takes its step as a graph, as by default; the others eagerly, in a fifth of the time."""


def packed(array: Any) -> dict[str, Any]:
    """Return an array as JSON; 16-bit floats as float32, which holds them exactly."""
    plain = np.asarray(array)
    if plain.dtype.name in {"bfloat16", "float16"}:
        plain = plain.astype("float32")
    data = base64.b64encode(np.ascontiguousarray(plain).tobytes()).decode()
    return {"dtype": plain.dtype.name, "shape": list(plain.shape), "data": data}


def _inputs(plan: Plan, rng: Any) -> list[Any]:
    found = []
    for one in plan["inputs"]:
        shape = (plan["rows"], *one["shape"])
        if one["kind"] == "tokens":
            found.append(rng.integers(0, TOKENS, shape).astype("int32"))
            continue
        x = rng.normal(size=shape).astype("float32")
        if one["kind"] == "padded":
            x[rng.random(shape[:2]) < 0.2] = 0
        found.append(x)
    return found


def _labels(loss: Any, shape: Any, rng: Any) -> Any:
    kind = loss["kind"]
    if kind in {"classes", "logits"}:
        return rng.integers(0, shape[-1], shape[:-1]).astype("int32")
    if kind == "one_hot":
        return np.eye(shape[-1], dtype="float32")[rng.integers(0, shape[-1], shape[:-1])]
    if kind.startswith("binary"):
        return rng.integers(0, 2, shape).astype("float32")
    return rng.normal(size=shape).astype("float32")


def _weights(model: Any, rng: Any) -> list[Any]:
    """Return the weights, a little changed: no bias is 0, as in a model that was trained before."""
    found = []
    for array in model.get_weights():
        plain = np.asarray(array)
        if plain.dtype.kind in "iu":
            found.append(plain)
            continue
        plain = plain.astype("float32")
        found.append((plain + 0.05 * np.abs(rng.normal(size=plain.shape))).astype("float32"))
    return found


def _one(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0]


def _compiled(library: Library, plan: Plan) -> tuple[Any, list[Any]]:
    keras = library.keras
    optimizer = getattr(keras.optimizers, plan["optimizer"]["class_name"])(**plan["optimizer"]["config"])
    losses = [getattr(keras.losses, one["class_name"])(**one["config"]) for one in plan["losses"]]
    return optimizer, losses


def _read_loss(library: Library, written: dict[str, Any]) -> Any:
    """Return a loss of its config; Keras 3 has losses that `deserialize` does not know."""
    return getattr(library.keras.losses, written["class_name"]).from_config(written["config"])


def exported(library: Library, plan: Plan, seed: int) -> dict[str, Any]:
    """Return the export of a plan's model, weights to begin with, data, and what it is compiled with."""
    rng = np.random.default_rng([seed, 7])
    library.begin(plan["exported"])
    library.seed(seed)
    model = built(library, plan)
    optimizer, losses = _compiled(library, plan)
    x = _inputs(plan, rng)
    y = [
        _labels(one, (plan["rows"], *tuple(shape)[1:]), rng)
        for one, shape in zip(plan["losses"], library.outputs(model))  # noqa: B905  Python 3.8
    ]
    row_weights = rng.random(plan["rows"]).astype("float32") + 0.5 if plan["weighted"] else None
    return {
        "model": json.loads(model.to_json()),
        "compile": {
            "optimizer": library.written("optimizers", optimizer),
            "loss": [library.written("losses", one) for one in losses],
        },
        "weights": [packed(one) for one in _weights(model, rng)],
        "x": [packed(one) for one in x],
        "y": [packed(one) for one in y],
        "sample_weight": None if row_weights is None else packed(row_weights),
    }


def unpacked(packed_array: Any) -> Any:
    """Return the array again."""
    data = base64.b64decode(packed_array["data"])
    return np.frombuffer(data, packed_array["dtype"]).reshape(packed_array["shape"])


def _is_graph(library: Library, plan: Plan, seed: int) -> bool:
    """Whether the step is taken as a graph: always where tf_keras does otherwise eagerly."""
    return seed % GRAPHS == 0 or (library.name == "tf_keras" and plan["optimizer"]["class_name"] == "Nadam")


def stepped(library: Library, plan: Plan, seed: int, case: Any) -> dict[str, Any]:
    """Build the plan's model under the policy that is asked for, and train it for one step."""
    found: dict[str, Any] = {"stage": "build"}
    try:
        library.begin(plan["asked"])
        library.seed(seed)
        model = built(library, plan)
        found["layers"] = {layer.name: library.dtypes(layer) for layer in library.every(model)}
        found["stage"] = "call"
        library.set_weights(model, [unpacked(one) for one in case["weights"]])
        x, y = [unpacked(one) for one in case["x"]], [unpacked(one) for one in case["y"]]
        outputs = model(_one(x), training=False)
        several = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        found["outputs"] = [{"of": library.dtype_of(one), **packed(library.array(one))} for one in several]
        found["stage"] = "train"
        optimizer, _ = _compiled(library, plan)
        # The losses as they were exported: Keras 3 forgets the delta of Huber there.
        losses = [_read_loss(library, one) for one in case["compile"]["loss"]]
        library.compile(model, optimizer, _one(losses), as_graph=_is_graph(library, plan, seed))
        scale = library.loss_scale(model)
        row_weights = case["sample_weight"]
        more = {} if row_weights is None else {"sample_weight": unpacked(row_weights)}
        if more and len(y) > 1:
            more = {"sample_weight": [more["sample_weight"]] * len(y)}
        loss = model.train_on_batch(_one(x), _one(y), **more)
        found.update(
            loss=float(np.ravel(loss)[0]),
            scale=scale,
            scale_after=library.loss_scale(model),
            after=[packed(one) for one in model.get_weights()],
            variables=[str(library.variable_dtype(one)) for one in model.weights],
            stage="done",
        )
    except library.refusals as refusal:
        found["refused"] = f"{type(refusal).__name__}: {_in_short(str(refusal))}"
    return found


def _in_short(message: str) -> str:
    """Return what a message says; of an error in a graph, the last line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return (lines[-1] if "in user code" in message else " ".join(lines))[:300]


def recorded(library: Library, seed: int, plan: Plan) -> dict[str, Any]:
    """Return everything of a plan's model."""
    case = exported(library, plan, seed)
    return {"library": library.name, "seed": seed, "plan": plan, **case, "real": stepped(library, plan, seed, case)}


def answer(library: Library, line: str) -> dict[str, Any]:
    """Record what one line asks for: `{"seed"}`, and `"plan"` where it is not the random one of the seed."""
    asked = json.loads(line)
    try:
        return recorded(library, asked["seed"], asked.get("plan") or drawn(library, asked["seed"]))
    except library.refusals as refusal:
        return {"invalid": f"{type(refusal).__name__}: {_in_short(str(refusal))}", **asked}


def main(name: str) -> None:
    """Answer each line of the standard input with a line of JSON."""
    library = Library(name)
    for line in sys.stdin:
        began = time.monotonic()
        sys.stdout.write(json.dumps(answer(library, line)) + "\n")
        sys.stdout.flush()
        sys.stderr.write(f"{name} {line[:40].strip()}: {time.monotonic() - began:.1f} s\n")


if __name__ == "__main__":
    main(sys.argv[1])
