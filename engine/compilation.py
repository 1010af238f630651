"""What ``Model.compile`` settles: optimizer, losses, metrics, and whether the loss is scaled."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from engine import losses, metrics, optimizers
from engine.errors import EngineError, InvalidType, InvalidValue
from engine.heads import Head, Placed, losses_by_output, metrics_by_output, weights_by_output
from engine.layers import Shape
from engine.losses import Loss
from engine.metrics import Metric
from engine.network import Network
from engine.optimizers import AnyOptimizer
from engine.optimizers.low_precision import NEAREST
from engine.optimizers.wrapping import wrap
from engine.scaler import ScalerRule


@dataclass(frozen=True)
class Compilation:
    """What the outputs are measured by, and an optimizer, wrapped for loss scaling where the policy asks for it.

    Attributes:
        optimizer: with its loss scale, if any: see ``optimizer.rule`` and ``optimizer.inner_optimizer``.
        heads: one an output, in the order of the model.
    """

    optimizer: AnyOptimizer
    heads: tuple[Head, ...]

    @property
    def loss(self) -> Loss:
        """Loss of the first output that has one."""
        return next(head.loss for head in self.heads if head.loss is not None)

    @cached_property
    def rule(self) -> ScalerRule:
        """How the loss is scaled, read once from the optimizer."""
        return self.optimizer.rule


def compiled(
    network: Network,
    optimizer: Any,
    loss: Any,
    metric_identifiers: Any = None,
    *,
    loss_weights: Any = None,
    weighted_metrics: Any = None,
    auto_scale_loss: bool = True,
) -> Compilation:
    """Read the arguments of ``Model.compile``.

    Args:
        network: what is compiled; its policy decides on loss scaling.
        optimizer: name, serialized dict, or Optimizer.
        loss: name, serialized dict, or Loss; for several outputs one for all, a list, or a dict by output name.
        metric_identifiers: a list of names, serialized dicts or Metrics; for several outputs one list an output,
            or a dict by output name.
        loss_weights: a list or dict of what each loss counts in the total.
        weighted_metrics: as metrics; these see sample weights.
        auto_scale_loss: Keras 3's switch; False leaves the optimizer as it is.

    Raises:
        EngineError: ``path`` starts with the argument's name: "optimizer", "loss", "loss_weights", "metrics" or
            "weighted_metrics".
    """
    found = read_losses(network, loss)
    try:
        weights = weights_by_output(loss_weights, network.output_names, partial=not network.conventions.keras3)
    except EngineError as error:
        raise error.at("loss_weights") from None
    try:
        read_optimizer = optimizers.get(optimizer, network.conventions)
        wrapped = wrap(read_optimizer, network.policy, network.conventions, auto_scale_loss=auto_scale_loss)
        _check_rounding(network, wrapped)
    except EngineError as error:
        raise error.at("optimizer") from None
    plain = _read_metrics(network, found, "metrics", metric_identifiers)
    weighted = _read_metrics(network, found, "weighted_metrics", weighted_metrics)
    heads = map(Head, network.output_names, found, weights, plain, weighted)
    return Compilation(wrapped, tuple(heads))


def with_rate(compilation: Compilation, rate: float | None) -> Compilation:
    """Return the compilation with a constant learning rate; None leaves it as it is."""
    if rate is None:
        return compilation
    outer = compilation.optimizer
    inner = replace(outer.inner_optimizer, learning_rate=rate)
    if outer is outer.inner_optimizer:
        return replace(compilation, optimizer=inner)
    wrapped = copy(outer)  # not `replace`: a subclass takes other arguments than it has fields
    object.__setattr__(wrapped, "inner_optimizer", inner)
    return replace(compilation, optimizer=wrapped)


def read_losses(network: Network, loss: Any) -> list[Loss | None]:
    """Return the loss of each output, None where it has none.

    Raises:
        EngineError: ``path`` starts with "loss".
    """
    try:
        given = losses_by_output(loss, network.output_names, partial=not network.conventions.keras3)
        ends = zip(given, network.output_shapes, strict=True)
        found = [None if item is None else _loss(network, item, len(shape)) for item, shape in ends]
    except EngineError as error:
        raise error.at("loss") from None
    if all(item is None for item in found):
        raise InvalidType("`loss` is missing: name one, such as 'sparse_categorical_crossentropy'.", path=("loss",))
    return found


def _loss(network: Network, placed: Placed, axes: int) -> Loss:
    path, identifier = placed
    try:
        loss = losses.get(identifier, network.conventions)
        loss.takes(axes)
        return loss
    except EngineError as error:
        raise error.at(*path) from None


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


def _read_metrics(network: Network, found: list[Loss | None], key: str, given: Any) -> list[tuple[Metric, ...]]:
    try:
        placed = metrics_by_output(key, given, network.output_names, broadcast=not network.conventions.keras3)
        ends = zip(placed, found, network.output_shapes, strict=True)
        return [tuple(_metric(network, item, loss, shape) for item in items) for items, loss, shape in ends]
    except EngineError as error:
        raise error.at(key) from None


def _metric(network: Network, placed: Placed, loss: Loss | None, output: Shape) -> Metric:
    path, identifier = placed
    try:
        metric = metrics.get(identifier, loss, output[-1], network.conventions)
        metric.takes(output)
    except EngineError as error:
        raise error.at(*path) from None
    return metric
