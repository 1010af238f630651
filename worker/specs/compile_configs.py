"""What a model was compiled with, where its config says so: `compile_config` of Keras 3, `training_config` of Keras 2.

A job has a `compile` of its own, which counts. An inspection without one looks at what stands in the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from engine import optimizers
from engine.model import Model
from engine.optimizers import AnyOptimizer
from worker.specs.errors import SpecError, from_validation
from worker.specs.findings import Findings
from worker.specs.job import CompileSpec
from worker.specs.notices import Notice
from worker.specs.stages import compile_model

Path: TypeAlias = tuple[str | int, ...]

PLACES: Mapping[str, str] = {"compile_config": "optimizer", "training_config": "optimizer_config"}
"""Members of a model that say what it was compiled with, and what they call the optimizer."""
_TAKEN = ("loss", "metrics", "weighted_metrics", "loss_weights", "auto_scale_loss")
_ANY_LOSS = "mean_squared_error"


@dataclass(frozen=True)
class Found:
    """What a model was compiled with.

    Attributes:
        place: where in the request it stands.
        optimizer: as read; None if it cannot be.
        notice: that it was looked at, or why not.
    """

    place: Path
    optimizer: AnyOptimizer | None
    notice: Notice


def look_for_compile(body: dict[str, Any], model: Model) -> Found | None:
    """Read what a model was compiled with, and compile it with its loss and metrics as far as they are known here.

    Args:
        body: of the request; it has no `compile`.
        model: as it was read.

    Returns:
        None where the model does not say.
    """
    key = next((key for key in PLACES if body["model"].get(key)), None)
    if key is None:
        return None
    given: Mapping[str, Any] = body["model"][key]
    place: Path = ("model", key)
    if not given.get(PLACES[key]):
        text = f"`{key}` of the model names no optimizer, so it was not looked at."
        return Found(place, None, Notice(code="compile_config_unused", message=text, pointer=f"/model/{key}"))
    plain = {"optimizer": given[PLACES[key]], "loss": _ANY_LOSS}
    fault = _fault_of(body, plain, None)
    if fault is not None:
        text = f"`{key}` of the model was not looked at: {fault}"
        return Found(place, None, Notice(code="compile_config_unused", message=text, pointer=f"/model/{key}"))
    optimizer = optimizers.get(plain["optimizer"], model.network.conventions)
    whole = {"optimizer": plain["optimizer"], **{name: given[name] for name in _TAKEN if given.get(name) is not None}}
    fault = _fault_of(body, whole, model)
    scaled = " in a LossScaleOptimizer" if optimizer.inner_optimizer is not optimizer else ""
    text = (
        f"No `compile` was given, so `{key}` of the model is looked at: {optimizer.inner_optimizer.class_name}{scaled}."
        + (f" Its loss and metrics are not: {fault}" if fault else "")
    )
    return Found(place, optimizer, Notice(code="compile_config_used", message=text, pointer=f"/model/{key}"))


def _fault_of(body: dict[str, Any], given: dict[str, Any], model: Model | None) -> str | None:
    """Compile, and return the first fault in words, if there is one."""
    findings = Findings({**body, "compile": given})
    try:
        findings.body["compile"] = CompileSpec.model_validate(given).given()
        compile_model(findings, model)
        findings.raise_if_any()
    except ValidationError as error:
        return _first_sentence(from_validation(error, given, CompileSpec))
    except SpecError as error:
        return _first_sentence(error)
    return None


def _first_sentence(error: SpecError) -> str:
    """What is accepted instead is no matter to those who only look."""
    return error.errors[0].message.partition(". ")[0].rstrip(".") + "."
