"""Exported models in requests: they are inspected and checked, and what is not supported is named all at once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.engine.test_exported_models import APPLICATIONS, NAMES, recorded, several
from worker.settings import Limits
from worker.specs.check import prepare
from worker.specs.errors import FieldError, from_validation
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest
from worker.specs.job import JobSpec


def by_name(ends: list[str], arrays: list[Any]) -> Any:
    lists = [array.tolist() for array in arrays]
    return dict(zip(ends, lists, strict=True)) if len(ends) > 1 else lists[0]


def names_of(config: dict[str, Any], key: str) -> list[str]:
    """Return the names of the ends of a model; Keras writes a single end without a list around it."""
    found = config.get(key) or ["one"]
    return [end[0] for end in found] if isinstance(found[0], list) else [found[0]]


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_model_is_inspected_and_passes_as_a_job(name: str):
    document, arrays = recorded(name)
    losses = document["loss"]
    compiled = {"optimizer": document["optimizer"], "loss": losses if len(losses) > 1 else losses[0]}
    body = {"model": document["model"], "policy": document["policy"], "compile": compiled}
    inspection = inspect_model(InspectRequest.model_validate(json.loads(json.dumps(body))), Limits())
    weights = several(arrays, "w")
    assert inspection.parameters == sum(array.size for array in weights)
    config = document["model"]["config"]
    x = by_name(names_of(config, "input_layers"), several(arrays, "x"))
    y = by_name(names_of(config, "output_layers"), several(arrays, "y"))
    prepared = prepare(JobSpec.model_validate({**body, "data": {"x": x, "y": y}}), Limits())
    trainer = prepared.trainer
    _, record = trainer.advance(trainer.initial_state())
    assert np.isfinite(record.loss)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenetv2", "efficientnetb0", "nasnetmobile"])
def test_an_application_is_inspected(name: str):
    document = APPLICATIONS[name]
    request = InspectRequest.model_validate({"model": document["model"], "policy": "mixed_float16"})
    inspection = inspect_model(request, Limits())
    assert inspection.parameters == sum(int(np.prod(shape)) for shape in document["shapes"])


def test_every_layer_that_is_not_supported_is_named():
    model = APPLICATIONS["convnexttiny"]["model"]
    with pytest.raises(ValidationError) as refused:
        InspectRequest.model_validate({"model": model})
    errors: tuple[FieldError, ...] = from_validation(refused.value, {"model": model}, InspectRequest).errors
    own = [index for index, item in enumerate(model["config"]["layers"]) if item["class_name"] == "LayerScale"]
    assert [error.pointer for error in errors] == [f"/model/config/layers/{index}/class_name" for index in own]
    assert {error.code for error in errors} == {"unknown_layer"}
