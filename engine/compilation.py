"""What ``Model.compile`` settles: loss, metrics, and whether the loss is scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from engine import losses, metrics, optimizers
from engine.configured import refuse
from engine.errors import EngineError, InvalidType, InvalidValue, Unsupported
from engine.losses import Loss
from engine.metrics import Metric
from engine.network import Network
from engine.optimizers import AnyOptimizer
from engine.optimizers.low_precision import NEAREST
from engine.optimizers.wrapping import wrap
from engine.scaler import ScalerRule


@dataclass(frozen=True)
class Compilation:
    """A loss, metrics and an optimizer, wrapped for loss scaling where the model's policy asks for it.

    Attributes:
        optimizer: with its loss scale, if any: see ``optimizer.rule`` and ``optimizer.inner_optimizer``.
        loss: of the one output.
        metrics: in the order given.
    """

    optimizer: AnyOptimizer
    loss: Loss
    metrics: tuple[Metric, ...] = ()

    @cached_property
    def rule(self) -> ScalerRule:
        """How the loss is scaled, read once from the optimizer."""
        return self.optimizer.rule


def compiled(
    network: Network,
    optimizer: Any,
    loss: Any,
    metric_identifiers: Sequence[Any] | None,
    *,
    auto_scale_loss: bool = True,
) -> Compilation:
    """Read the arguments of ``Model.compile``.

    Args:
        network: what is compiled; its policy decides on loss scaling.
        optimizer: name, serialized dict, or Optimizer.
        loss: name, serialized dict, or Loss.
        metric_identifiers: a list of names, serialized dicts or Metrics, for the one output.
        auto_scale_loss: Keras 3's switch; False leaves the optimizer as it is.

    Raises:
        EngineError: ``path`` starts with "optimizer", "loss" or "metrics".
    """
    if len(network.graph.outputs) != 1:
        message = f"Training needs one output, but the model has {len(network.graph.outputs)}."
        raise Unsupported(message, path=("loss",))
    if loss is None:
        raise InvalidType("`loss` is missing: name one, such as 'sparse_categorical_crossentropy'.", path=("loss",))
    try:
        read_loss = losses.get(_single(loss, "loss"), network.conventions)
    except EngineError as error:
        raise error.at("loss") from None
    try:
        read_optimizer = optimizers.get(optimizer, network.conventions)
        wrapped = wrap(read_optimizer, network.policy, network.conventions, auto_scale_loss=auto_scale_loss)
        _check_rounding(network, wrapped)
    except EngineError as error:
        raise error.at("optimizer") from None
    return Compilation(wrapped, read_loss, _read_metrics(network, read_loss, metric_identifiers))


def _check_rounding(network: Network, optimizer: AnyOptimizer) -> None:
    """Refuse a way of rounding updates that no variable would notice."""
    rounding = optimizer.inner_optimizer.update_rounding
    if rounding == NEAREST or any(spec.dtype.low_precision for spec in network.trainable_specs):
        return
    text = (
        f"`update_rounding` = {rounding!r} rounds updates of float16 and bfloat16 variables, and the model has none: "
        f"policy {network.policy.name!r} keeps its variables wide. Leave it out, or use a policy such as 'bfloat16'."
    )
    raise InvalidValue(text, code="rounding_without_effect", path=("config", "update_rounding"))


def _single(value: Any, key: str) -> Any:
    """Return the one entry of a list: Keras prints losses and metrics of one output either way."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) != 1:
        raise refuse(key, "one entry, for the one output", value)
    return value[0]


def _read_metrics(network: Network, loss: Loss, identifiers: Any) -> tuple[Metric, ...]:
    if identifiers is None:
        return ()
    if not isinstance(identifiers, list | tuple):
        raise refuse("metrics", "a list of metrics", identifiers).at("metrics")
    flat = (
        _single(identifiers, "metrics") if len(identifiers) == 1 and isinstance(identifiers[0], list) else identifiers
    )
    output = network.output_shapes[0]
    read: list[Metric] = []
    for index, identifier in enumerate(flat):
        try:
            metric = metrics.get(identifier, loss, output[-1], network.conventions)
            metric.shapes(output)  # whether it takes such an output; nothing is allocated
            read.append(metric)
        except EngineError as error:
            raise error.at("metrics", index) from None
    return tuple(read)
