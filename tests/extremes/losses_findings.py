"""Which findings tell of a case: of what the library cannot compute, and the engine does all the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine import losses, metrics, optimizers
from engine.conventions import CONVENTIONS
from engine.heads import weights_refused
from engine.numerics.linter import lint
from engine.numerics.model_policy import read_model_policy
from engine.numerics.subject import Subject

_VERSIONS = {"tf2.4": "2.4.0", "tf_keras": "2.15.0", "keras3": "3.15.1"}


def findings(case: dict[str, Any], library: str) -> set[str]:
    """Return the codes of what the linter finds in a small model of the case's dtype, compiled with the case's thing.

    Only findings that a job shows among its warnings count.
    """
    line = CONVENTIONS[library]
    given = {"class_name": case["name"], "config": case["config"]}
    shape = case.get("shape", [4, 3])
    layer = {"name": "head", "units": shape[-1], **({"kernel_regularizer": given} if "x" in case else {})}
    entry = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, *shape[1:-1], 4], "name": "entry"}}
    subject = Subject(
        config={
            "class_name": "Sequential",
            "config": {"name": "small", "layers": [entry, {"class_name": "Dense", "config": layer}]},
            "keras_version": _VERSIONS[library],
        },
        policy=read_model_policy(case["dtype"]),
        conventions=line,
        optimizer=optimizers.get(given if case["kind"] == "optimizer" else "sgd", line),
        loss=losses.deserialize(given, line) if case["kind"] == "loss" else losses.get("mse", line),
        metrics=(metrics.deserialize(given, line),) if case["kind"] == "metric" else (),
    )
    found = {each.code for each in lint(subject) if each.severity != "info"}
    weights = np.ndim(case.get("sample_weight", 0))
    refused = subject.loss is not None and weights_refused(subject.loss, shape, weights)
    return found | ({"original_refuses"} if refused else set())
