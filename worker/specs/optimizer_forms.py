"""`/v1/optimizers/*`: LossScaleOptimizer, and what it wraps, in the formats of every line of Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from engine.errors import EngineError
from engine.loss_scale import LossScale
from engine.serialization.translate import translate
from worker.specs.dialects import Dialect, chosen, dialect_of_optimizer
from worker.specs.errors import FieldError, SpecError, from_engine
from worker.specs.loss_scales import LossScaleShape, shape_of
from worker.specs.notices import Notice, dropped_notices
from worker.specs.optimizer_dialects import OPTIMIZER_DIALECTS, AnyOptimizer, loss_scale_of, wraps
from worker.specs.shape import Config, OpenSpec, Spec

EXAMPLE = {
    "class_name": "LossScaleOptimizer",
    "config": {
        "inner_optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.001}},
        "dynamic": True,
        "initial_scale": 32768.0,
        "dynamic_growth_steps": 2000,
    },
}
_OLDER = {
    "class_name": "LossScaleOptimizer",
    "config": {
        "optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.1}},
        "loss_scale": {"class_name": "FixedLossScale", "config": {"loss_scale_value": 128.0}},
    },
}
_RENAMED = ("lr", "optimizer", "loss_scale")
"""Settings that come back under other names."""


class OptimizerSerializeRequest(Spec):
    """An optimizer to write."""

    optimizer: Config = Field(
        description="A name such as `adam`, or a serialized optimizer of any line of Keras.", examples=[EXAMPLE, "adam"]
    )
    dialect: Dialect = Field(
        default="tf2.4",
        description="Whose rules it is read by. Left out, one with a `module` is read by those of tf_keras or Keras 3. "
        "TF 2.4 reads the form of TF 2.3 too.",
    )
    to: Dialect | None = Field(default=None, description="Whose form to write; null for that of the optimizer itself.")


class OptimizerDeserializeRequest(Spec):
    """An optimizer to read: `config`, or under its other name `optimizer`."""

    config: Config = Field(default=None, description="What `serialize` returned.", examples=[EXAMPLE, _OLDER])
    optimizer: Config = Field(default=None, description="The same.")
    dialect: Dialect = Field(
        default="tf2.4",
        description="Whose form it is. Left out, one with a `module` is read by the rules of tf_keras or Keras 3, and "
        "the answer's `dialect` says so. TF 2.4 reads the form of TF 2.3 too.",
    )


class SerializedOptimizer(OpenSpec):
    """An optimizer as text, with all its settings."""

    class_name: str = Field(examples=["LossScaleOptimizer"])
    config: dict[str, Any] = Field(description="Exactly what `get_config()` returns.")


class OptimizerShape(SerializedOptimizer):
    """An optimizer in an answer."""

    name: Any = Field(description="Of the wrapper, or where that has none, of what is inside; Keras 3 takes any value.")
    inner_optimizer: SerializedOptimizer | None = Field(description="Inside a LossScaleOptimizer; null for others.")
    loss_scale: LossScaleShape | None = Field(description="How it scales the loss; null where it does not.")


class OptimizerSerialized(Spec):
    """An optimizer as text."""

    serialized: SerializedOptimizer
    dialect: str = Field(description="Whose form it is.")
    dropped: tuple[str, ...] = Field(default=(), description="Places in the request that the text does not hold.")
    warnings: tuple[Notice, ...] = ()


class OptimizerDeserialized(Spec):
    """An optimizer that was read, and what did not make it."""

    optimizer: OptimizerShape
    dialect: str = Field(description="Whose rules held.", examples=["tf2.4"])
    dropped: tuple[str, ...] = Field(default=(), description='Places in the input that are lost; "class" for a V1.')
    left: dict[str, Any] | None = Field(
        default=None,
        description="What the original leaves of the dict that it was given: TF 2.4 lowers class names and renames "
        "`lr` in it, Keras 3 takes the inner optimizer out. Null where it leaves it alone.",
    )
    warnings: tuple[Notice, ...] = ()


def serialize_optimizer(request: OptimizerSerializeRequest) -> OptimizerSerialized:
    """Write an optimizer as a line of Keras does, by default the one that it is of.

    Raises:
        SpecError: it is none, or the other line has nothing like it.
    """
    dialect = chosen(request, "optimizer", dialect_of_optimizer)
    rules = OPTIMIZER_DIALECTS[dialect]
    try:
        own = rules.serialize(rules.read(request.optimizer))
        if request.to in (None, dialect):
            lost = tuple(f"optimizer.{place}" for place in _lost(request.optimizer, own))
            warnings = dropped_notices(lost, own["class_name"])
            return OptimizerSerialized(
                serialized=SerializedOptimizer.model_validate(own), dialect=dialect, dropped=lost, warnings=warnings
            )
        found = translate(dialect, request.to, own)
    except EngineError as error:
        raise SpecError([from_engine(error, request.given(), "optimizer")]) from error
    items = (*found.dropped, *found.approximate)
    within = "optimizer." if isinstance(request.optimizer, dict) else ""
    gone = [f"{within}{item.source}" if within else "optimizer" for item in found.dropped if item.source is not None]
    return OptimizerSerialized(
        serialized=SerializedOptimizer.model_validate(found.config),
        dialect=request.to,
        dropped=tuple(dict.fromkeys(gone)),
        warnings=tuple(
            Notice(code="dropped" if item.became is None else "approximate", message=f"`{item.field}`: {item.why}.")
            for item in items
        ),
    )


def deserialize_optimizer(request: OptimizerDeserializeRequest) -> OptimizerDeserialized:
    """Read what a line of Keras wrote, as it does: LossScaleOptimizerV1 comes back as LossScaleOptimizer.

    Raises:
        SpecError: it is no serialized optimizer.
    """
    given = [key for key in ("config", "optimizer") if key in request.model_fields_set]
    if len(given) != 1:
        text = "Send the serialized optimizer as `config` (or as `optimizer`, which means the same)."
        raise SpecError([FieldError("missing" if not given else "ambiguous", "TypeError", text, "")])
    (key,) = given
    value = getattr(request, key)
    dialect = chosen(request, key, dialect_of_optimizer)
    rules = OPTIMIZER_DIALECTS[dialect]
    try:
        optimizer = rules.deserialize(value)
        own = rules.serialize(optimizer)
    except EngineError as error:
        raise SpecError([from_engine(error, request.given(), key)]) from error
    lost = tuple(_lost(value, own))
    shape, unusable = _shape(optimizer, own)
    left = rules.leaves(value)
    return OptimizerDeserialized(
        optimizer=shape,
        dialect=dialect,
        dropped=lost,
        left=None if left == value else left,
        warnings=(*unusable, *dropped_notices(lost, own["class_name"]), *_changed(dialect, key, left != value)),
    )


def _changed(dialect: Dialect, key: str, changed: bool) -> tuple[Notice, ...]:
    """Tell that the original changes the caller's own dict."""
    text = (
        f"{dialect} changes the dict that it is given to read: `left` is what remains of it. Copy it to read it twice."
    )
    return (Notice(code="input_changed", message=text, pointer=f"/{key}"),) * changed


def _shape(optimizer: AnyOptimizer, own: dict[str, Any]) -> tuple[OptimizerShape, tuple[Notice, ...]]:
    """Return an optimizer as answers show it, and a notice where its loss scale is none to train with."""
    scale: LossScale | None = None
    notices: tuple[Notice, ...] = ()
    try:
        scale = loss_scale_of(optimizer)
    except EngineError as error:
        notices = (Notice(code="unusable_loss_scale", message=error.message, pointer=""),)
    config = own["config"]
    inner = config.get("inner_optimizer", config.get("optimizer")) if wraps(optimizer) else None
    return OptimizerShape(
        class_name=own["class_name"],
        name=config["name"] if inner is None or "name" in config else inner["config"]["name"],
        config=config,
        inner_optimizer=None if inner is None else SerializedOptimizer.model_validate(inner),
        loss_scale=shape_of(scale),
    ), notices


def _lost(given: Any, own: dict[str, Any]) -> Iterator[str]:
    """Yield the places in a serialized optimizer that are not in it once it was read and written again."""
    if not isinstance(given, dict):
        return
    if given["class_name"].lower() != own["class_name"].lower():
        yield "class"
    yield from (key for key in given if key not in own)
    settings = given.get("config")
    for key, value in (settings if isinstance(settings, dict) else {}).items():
        if key in ("optimizer", "inner_optimizer"):
            written = own["config"].get("inner_optimizer", own["config"].get("optimizer"))
            yield from (f"config.{key}.{place}" for place in _lost(value, written))
        elif key not in own["config"] and key not in _RENAMED:
            yield f"config.{key}"
