"""G3: loss scales from whatever names them, and to text and back."""

from collections.abc import Callable, Mapping
from typing import Any

from engine import loss_scale
from engine.errors import EngineError, InvalidType
from engine.loss_scale import LossScale
from tests.golden.outcome import accepted


def facts(scale: LossScale | None) -> dict[str, Any]:
    if scale is None:
        return {"warnings": [], "result": None}
    return {
        "warnings": [],
        "result": "LossScale",
        "class": type(scale).__name__,
        "get_config": scale.get_config(),
        "repr": repr(scale),
        "serialized": loss_scale.serialize(scale),
        "types": {key: type(value).__name__ for key, value in scale.get_config().items()},
        **_value(scale),
    }


def _value(scale: LossScale) -> dict[str, Any]:
    try:
        state = scale.rule.initial()
    except EngineError as error:
        return {"value_error": error.original, "value_message": _original_text(error)}
    return {"value": state.loss_scale, "value_dtype": "float32", "counter": state.counter}


def _original_text(error: EngineError) -> str:
    """Our text names the argument and the bound; TF's speaks of a sequence where there is none."""
    assert error.code == "loss_scale_overflow"
    return "Can't convert Python sequence with a value out of range for a double-precision float."


def loss_scale_get(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(loss_scale.get(given["identifier"])))


def loss_scale_get_core(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(loss_scale.get_core(given["identifier"])))


def loss_scale_deserialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(loss_scale.deserialize(given["config"])))


def loss_scale_serialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(warnings=[], serialized=loss_scale.serialize(loss_scale.get(given["identifier"])))


def loss_scale_serialize_raw(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(warnings=[], serialized=loss_scale.serialize(given["object"]))


def loss_scale_construct(given: dict[str, Any]) -> dict[str, Any]:
    if given["class"] not in loss_scale.READERS:
        raise InvalidType(f"{given['class']} is abstract")
    return accepted(**facts(loss_scale.READERS[given["class"]](given["kwargs"])))


def loss_scale_from_config(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(loss_scale.READERS[given["class"]](given["config"])))


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "loss_scale_get": loss_scale_get,
    "loss_scale_get_core": loss_scale_get_core,
    "loss_scale_deserialize": loss_scale_deserialize,
    "loss_scale_serialize": loss_scale_serialize,
    "loss_scale_serialize_raw": loss_scale_serialize_raw,
    "loss_scale_construct": loss_scale_construct,
    "loss_scale_from_config": loss_scale_from_config,
}
