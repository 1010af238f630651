"""Every output is looked at with its own loss, metrics and dtype, not only the first."""

from typing import Any

import pytest

from worker.settings import Limits
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest


def call(name: str) -> list[Any]:
    return [[[name, 0, 0, {}]]]


def layer(class_name: str, name: str, inbound: list[Any], **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "name": name, "config": {"name": name, **config}, "inbound_nodes": inbound}


def model(classes: int = 3) -> dict[str, Any]:
    layers = [
        layer("InputLayer", "pixels", [], batch_input_shape=[None, 4], dtype="float32"),
        layer("Dense", "first", call("pixels"), units=2, dtype="float32"),
        layer("Dense", "second", call("pixels"), units=classes),
    ]
    outputs = [["first", 0, 0], ["second", 0, 0]]
    config = {"name": "two", "layers": layers, "input_layers": [["pixels", 0, 0]], "output_layers": outputs}
    return {"class_name": "Functional", "config": config, "keras_version": "2.4.0", "backend": "tensorflow"}


def found(losses: list[Any], policy: str, **shape: int) -> set[tuple[str, Any]]:
    body = {"model": model(**shape), "policy": policy, "compile": {"optimizer": "sgd", "loss": losses}}
    answer = inspect_model(InspectRequest.model_validate(body), Limits())
    return {(finding.code, finding.evidence.get("op")) for finding in answer.lint}


@pytest.mark.parametrize("loss", ["cosine_similarity", "sparse_categorical_crossentropy"])
def test_what_the_original_refuses_of_the_second_output_is_named(loss: str):
    op = {"cosine_similarity": "Rsqrt"}.get(loss, "SparseSoftmaxCrossEntropyWithLogits")
    assert ("original_refuses", op) in found(["mse", loss], "mixed_bfloat16")
    assert ("original_refuses", op) not in found([loss, "mse"], "mixed_bfloat16")  # the first is float32
    assert ("original_refuses", op) not in found(["mse", loss], "mixed_float16")


def test_class_numbers_of_the_second_output_are_looked_at():
    losses = ["mse", "sparse_categorical_crossentropy"]
    assert ("class_numbers_rounded", None) in found(losses, "mixed_float16", classes=3000)
    assert ("class_numbers_rounded", None) not in found(losses, "mixed_float16", classes=300)
