"""Requests and answers of `/v1/loss-scales/*`, and the pure functions between them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from engine import loss_scale as engine_loss_scale
from engine.errors import EngineError
from engine.loss_scale import LossScale
from worker.specs.errors import SpecError, from_engine
from worker.specs.notices import Fault, Notice, dropped_notices
from worker.specs.shape import Config, Spec

EXAMPLE = {"class_name": "DynamicLossScale", "config": {"initial_loss_scale": 32768.0, "increment_period": 2000}}
_ENVELOPE = ("class_name", "config")


class LossScaleShape(Spec):
    """A loss scale in an answer."""

    class_name: str = Field(examples=["DynamicLossScale"])
    config: dict[str, Any] = Field(description="Exactly what `get_config()` returns.")


class LossScaleValidateRequest(Spec):
    """A loss scale as anyone may have it."""

    loss_scale: Config = Field(
        description='A number, "dynamic", null for none, or a serialized loss scale.',
        examples=["dynamic", 128, EXAMPLE],
    )


class LossScaleSerializeRequest(LossScaleValidateRequest):
    """A loss scale as anyone may have it."""


class LossScaleDeserializeRequest(Spec):
    """A serialized loss scale."""

    config: Config = Field(description="What `serialize` returned, or a class name, or null.", examples=[EXAMPLE])


class LossScaleReport(Spec):
    """Whether it is a loss scale. A report about something that is none is an answer like any other."""

    valid: bool
    loss_scale: LossScaleShape | None
    dropped: tuple[str, ...] = Field(default=(), description="Places in the request that the loss scale does not hold.")
    errors: tuple[Fault, ...] = ()
    warnings: tuple[Notice, ...] = ()


class LossScaleSerialized(Spec):
    """What `serialize` returns."""

    serialized: LossScaleShape | None
    loss_scale: LossScaleShape | None = Field(description="The same: what a loss scale is, is how it is written.")
    dropped: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()


class LossScaleDeserialized(Spec):
    """What `deserialize` returns."""

    loss_scale: LossScaleShape | None
    dropped: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()


def shape_of(value: LossScale | None) -> LossScaleShape | None:
    """Return a loss scale as answers show it."""
    if value is None:
        return None
    return LossScaleShape(class_name=type(value).__name__, config=value.get_config())


def validate_loss_scale(request: LossScaleValidateRequest) -> LossScaleReport:
    """Say whether it is a loss scale, and which."""
    try:
        value = engine_loss_scale.get(request.loss_scale)
    except EngineError as error:
        return LossScaleReport(
            valid=False, loss_scale=None, errors=(Fault.of(from_engine(error, request.given(), "loss_scale")),)
        )
    lost = _dropped(request.loss_scale, "loss_scale.")
    warnings = dropped_notices(lost, "a loss scale")
    return LossScaleReport(valid=True, loss_scale=shape_of(value), dropped=lost, warnings=warnings)


def serialize_loss_scale(request: LossScaleSerializeRequest) -> LossScaleSerialized:
    """Write a loss scale as Keras does.

    Raises:
        SpecError: it is none.
    """
    try:
        shape = shape_of(engine_loss_scale.get(request.loss_scale))
    except EngineError as error:
        raise SpecError([from_engine(error, request.given(), "loss_scale")]) from error
    return LossScaleSerialized(serialized=shape, loss_scale=shape, dropped=_dropped(request.loss_scale, "loss_scale."))


def deserialize_loss_scale(request: LossScaleDeserializeRequest) -> LossScaleDeserialized:
    """Read what Keras wrote.

    Raises:
        SpecError: it is no serialized loss scale.
    """
    try:
        shape = shape_of(engine_loss_scale.deserialize(request.config))
    except EngineError as error:
        raise SpecError([from_engine(error, request.given(), "config")]) from error
    return LossScaleDeserialized(loss_scale=shape, dropped=_dropped(request.config))


def _dropped(given: Any, place: str = "") -> tuple[str, ...]:
    """Return the keys around a serialized loss scale, which Keras does not look at; those in its config it refuses."""
    inside = given if isinstance(given, dict) else {}
    return tuple(f"{place}{key}" for key in inside if key not in _ENVELOPE)
