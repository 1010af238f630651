"""Records what a library does with every case: ``PYTHON -m tests.extremes.refusals.record LIBRARY OUT [ONLY]``.

Runs under the library's own interpreter (Python 3.8 for TF 2.4) with TF_ENABLE_ONEDNN_OPTS=0 and no GPU. OUT gathers
lines of JSON; cases that it holds already are not run again. ``python -m tests.extremes.refusals.keep`` packs them.

Every case is a model of one layer, behind a Dense whose weights need the gradient of the layer's input ("inner"), or
the first of the model ("first"), and is trained for one step in three ways: "fit" (``train_on_batch`` of a model
compiled with the defaults, which is with XLA in Keras 3), "graph" (the same without XLA) and "eager" (a GradientTape,
op by op).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035  Python 3.8 reads this file

import numpy as np

from tests.campaigns.libraries import Library
from tests.extremes.refusals.cases import POLICIES, named

ROWS = 2
PLACES = ("inner", "first")


class Model:
    """One case, made by a library under a policy."""

    def __init__(self, library: Library, case: dict, policy: str, place: str) -> None:
        self.library, self.case, self.keras = library, case, library.keras
        library.begin(policy)
        config = dict(case["config"])
        self.integer = config.pop("integer", False)
        rng = np.random.default_rng(3)
        inputs, tensors = [], []
        for number, shape in enumerate(case["shapes"]):
            dtype = {"dtype": "int32"} if self.integer else {}
            inputs.append(self.keras.Input(tuple(shape), name=f"input_{number}", **dtype))
            tensors.append(self._before(inputs[-1], number, place))
        self.layer = self._layer(case["class_name"], {"name": "subject", **config})
        given = tensors[0] if case["mode"] == "single" else tensors
        y = self.layer(*given, **case["call"]) if case["mode"] == "args" else self.layer(given, **case["call"])
        self.model = self.keras.Model(inputs if len(inputs) > 1 else inputs[0], y)
        shapes = [(ROWS, *shape) for shape in case["shapes"]]
        made = [rng.integers(0, 5, s) if self.integer else rng.normal(size=s).astype("float32") for s in shapes]
        self.x = made if len(made) > 1 else made[0]
        self.labels = self._labels(y, rng)

    def _before(self, tensor: Any, number: int, place: str) -> Any:
        layers = self.keras.layers
        if self.case["masked"]:
            tensor = layers.Masking(name=f"mask_{number}")(tensor)
        if place == "inner" and not self.integer:
            tensor = layers.Dense(tensor.shape[-1], name=f"before_{number}")(tensor)
        return tensor

    def _layer(self, class_name: str, config: dict) -> Any:
        cls = self.library.layer_class(class_name)
        if cls is None:
            raise Absent(class_name)
        inner = config.get("layer")
        if inner is not None:
            config = {**config, "layer": self._layer(inner["class_name"], inner["config"])}
        parts = {key: self._part(key, value) for key, value in config.items()}
        return cls(**parts)

    def _part(self, key: str, value: Any) -> Any:
        if not isinstance(value, dict):
            return tuple(value) if isinstance(value, list) else value
        module = self.keras.regularizers if key.endswith("regularizer") else self.keras.constraints
        module = self.keras.initializers if key.endswith("initializer") else module
        if not hasattr(module, value["class_name"]):
            raise Absent(value["class_name"])
        return getattr(module, value["class_name"])(**value["config"])

    def _labels(self, y: Any, rng: Any) -> Any:
        shape = (ROWS, *tuple(y.shape)[1:])
        if self.case.get("classes"):
            return np.array([0, 2])
        if "loss" in self.case or "metric" in self.case:
            return np.eye(3, dtype="float32")[[0, 2]]
        return np.zeros(shape, "float32")

    def _compiled(self, kind: str) -> Any:
        given = self.case.get(kind)
        if given is None:
            return None
        module = getattr(self.keras, kind + ("es" if kind == "loss" else "s"))
        if not hasattr(module, given["class_name"]):
            raise Absent(given["class_name"])
        return getattr(module, given["class_name"])(**given["config"])

    def _square(self, y_true: Any, y_pred: Any) -> Any:
        tf = self.library.tensorflow
        return tf.reduce_mean(tf.square(tf.cast(y_pred, "float32") - tf.cast(y_true, "float32")))

    def train(self, way: str) -> None:
        """Train for one step."""
        if way == "eager":
            self.forward_and_back()
            return
        if self.library.is_tf24 and self.case["id"] != "fit/global_policy":
            self.keras.mixed_precision.set_global_policy("float32")  # else no model of bfloat16 is trained at all
        metric = self._compiled("metric")
        options = {} if way == "fit" or self.library.is_tf24 else {"jit_compile": False}
        self.model.compile(
            optimizer=self._compiled("optimizer") or self.keras.optimizers.SGD(0.01),
            loss=self._compiled("loss") or self._square,
            metrics=[] if metric is None else [metric],
            **options,
        )
        self.model.train_on_batch(self.x, self.labels)

    def forward_and_back(self) -> None:
        """Run one step op by op."""
        tf = self.library.tensorflow
        given = [tf.constant(x) for x in self.x] if isinstance(self.x, list) else tf.constant(self.x)
        with tf.GradientTape() as tape:
            y = self.model(given, training=True)
            loss = self._compiled("loss") or self._square
            total = tf.cast(tf.reduce_sum(loss(tf.constant(self.labels), y)), "float32")
            for penalty in self.model.losses:
                total += tf.cast(penalty, "float32")
        weights = self.model.trainable_variables
        if weights:
            tape.gradient(
                total,
                [getattr(weight, "value", weight) if self.library.name == "keras3" else weight for weight in weights],
            )
        for weight in weights:  # optimizers do so after each step
            constraint = getattr(weight, "constraint", None)
            if constraint is not None:
                constraint(weight)


class Absent(Exception):
    """The library does not have it."""


def attempt(library: Library, case: dict, policy: str, place: str, way: str) -> Any:
    """Return None for a step that was made, else the class and the first line of what was raised."""
    try:
        Model(library, case, policy, place).train(way)
    except Exception as error:  # noqa: BLE001  # whatever the library raises is its answer
        return [type(error).__name__, _message(error)]
    return None


def _message(error: Exception) -> str:
    """Return the line that tells what is wrong, of a message that may begin with where it happened."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith((BULLET, "Arguments received"))]
    telling = [line for line in lines if any(words in line for words in TELLING)]
    return (telling or lines or [""])[0][:300]


BULLET = "\u2022"
TELLING = (
    "No OpKernel",
    "Could not find device",
    "not in list of allowed",
    "not in the list of allowed",
    "that does not match type",
    "currently does not support",
    "do not yet support",
    "must have the same dtype",
    "Detected unsupported operations",
)


def ways(library: Library, case: dict, answers: dict) -> Iterator[str]:
    """Yield the ways in which a case is trained; a compiled step takes long, so layers have one in one setting each."""
    keras3 = library.name == "keras3"
    uncompiled = "graph" if keras3 else "fit"
    yield uncompiled if case["compiled"] else "eager"
    answer = list(answers.values())[-1]
    refused = answer is not None and "list of allowed" not in answer[1]  # XLA has no other types, but other kernels
    if not case["compiled"] and "egulariz" in case["id"]:
        yield uncompiled  # the penalties are added up by the model
    elif (keras3 and refused) or (not case["compiled"] and case["id"].endswith("/plain")):
        yield "fit"


def record(library: Library, case: dict) -> dict:
    """Return everything about one case: null is a step that was made."""
    wide = attempt(library, case, "float32", "inner", "graph" if case["compiled"] else "eager")
    if wide is not None and wide[0] in {"Absent", "TypeError", "AttributeError", "ValueError"}:
        return {"id": case["id"], "absent": wide}
    answers: dict = {}
    for policy in POLICIES:
        for way in ways(library, case, answers):
            inner = attempt(library, case, policy, "inner", way)
            if inner is not None:
                answers[f"{policy}/first/{way}"] = attempt(library, case, policy, "first", way)
            answers[f"{policy}/inner/{way}"] = inner
    places = PLACES if any(answers.values()) else PLACES[:1]
    exports = {place: json.loads(Model(library, case, "float32", place).model.to_json()) for place in places}
    return {"id": case["id"], **exports, "float32": wide, "answers": answers}


def main(name: str, out: str, only: str = "") -> None:
    """Append the cases that are not in the file yet."""
    path = Path(out)
    held = {json.loads(line)["id"] for line in path.read_text().splitlines()} if path.exists() else set()
    library = Library(name)
    with path.open("a") as file:
        for case in named(only):
            if case["id"] not in held:
                file.write(json.dumps(record(library, case)) + "\n")
                file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
