"""Loss and metrics over rows, and predictions, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.compilation import Compilation
from engine.heads import matched
from engine.metrics import Metric, State
from engine.network import Network
from engine.rounding import to_edge
from engine.rows import Data, Rows, entered, tensors
from engine.run import Run
from engine.step import losses_of, total_loss, weighted_sum
from engine.tape import Array, Pulse, Tensor, unhurried

Tracked = Mapping[str, Array]


@dataclass(frozen=True)
class Evaluation:
    """How a compiled network is measured.

    What is tracked: "loss" and, where several outputs have one, "<output>_loss" -> float32 (total, count); and
    "<metric>/<variable>" -> what the metric counts.
    """

    network: Network
    compilation: Compilation

    def initial(self) -> dict[str, Array]:
        """Return empty totals of the losses and the metrics."""
        totals = {name: np.zeros(2, np.float32) for name in ("loss", *self._loss_names)}
        for name, place, metric in self._metrics:
            totals |= _under(name, metric.initial(self.network.output_shapes[place]))
        return totals

    @cached_property
    def _loss_names(self) -> tuple[str, ...]:
        """Return under which names the losses of single outputs are told: of one output there is nothing to add."""
        names = [f"{head.name}_loss" for head in self.compilation.heads if head.loss is not None]
        return tuple(names) if len(names) > 1 else ()

    @cached_property
    def _metrics(self) -> list[tuple[str, int, Metric]]:
        """Return the metrics with the names that their results have in the logs, and the place of their output."""
        counts = dict.fromkeys(("loss", *self._loss_names), 1)
        heads = list(enumerate(self.compilation.heads))
        plain = [(place, metric) for place, head in heads for metric in head.metrics]
        weighted = [(place, metric) for place, head in heads for metric in head.weighted_metrics]
        named = [(_free(self._name(place, metric), counts), place, metric) for place, metric in plain]
        for place, metric in weighted:
            name = self._name(place, metric)
            if name in counts and self.network.conventions.keras3:
                name = self._name(place, metric, "weighted_")
            named.append((_free(name, counts), place, metric))
        return named

    def _name(self, place: int, metric: Metric, mark: str = "") -> str:
        """Return what a metric is called: of several outputs with the name of its output in front."""
        name = f"{mark}{metric.name or metric.class_name}"
        return name if len(self.compilation.heads) == 1 else f"{self.compilation.heads[place].name}_{name}"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric, in the order in which the logs have them."""
        return tuple(metric for _, _, metric in self._metrics)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the logs will have; of a metric with several results without their "/<index>"."""
        return ("loss", *self._loss_names, *(name for name, _, _ in self._metrics))

    @cached_property
    def _plain(self) -> int:
        """Return how many of the metrics see no sample weights; they come first."""
        return sum(len(head.metrics) for head in self.compilation.heads)

    def _state(self, name: str, place: int, metric: Metric, tracked: Tracked) -> State:
        variables = metric.shapes(self.network.output_shapes[place])
        return {variable: tracked[f"{name}/{variable}"] for variable in variables}

    def updated(
        self, tracked: Tracked, loss: float, parts: Sequence[Tensor], batch: Rows, predictions: Sequence[Tensor]
    ) -> dict[str, Array]:
        """Return the totals after a batch.

        Losses count by rows; metrics do not see sample weights, weighted ones do.

        Args:
            tracked: the totals before.
            loss: of the batch, penalties included.
            parts: the losses of single outputs.
            batch: its rows.
            predictions: one an output.
        """
        rows = np.float32(len(batch))
        # Keras 3 weighs the outputs' own losses by the batch's static size, which TensorFlow does not know: not at all.
        single = np.float32(1) if self.network.conventions.keras3 else rows
        after = {"loss": _counted(tracked["loss"], loss, rows)}
        if self._loss_names:
            for name, part in zip(self._loss_names, parts, strict=True):
                after[name] = _counted(tracked[name], float(part.data), single)
        for index, (name, place, metric) in enumerate(self._metrics):
            state, weights = self._state(name, place, metric, tracked), batch.weights[place]
            seen = None if index < self._plain else weights
            labels, counts = matched(batch.labels[place], seen, predictions[place], self.network.conventions)
            after |= _under(name, metric.updated(state, labels, predictions[place], counts))
        return after

    def results(self, tracked: Tracked) -> dict[str, float]:
        """Return what was measured so far; of a metric with several results each, as "<metric>/<index>"."""
        logs = {name: _mean(tracked[name]) for name in ("loss", *self._loss_names)}
        for name, place, metric in self._metrics:
            result = metric.result(self._state(name, place, metric, tracked))
            if result.ndim == 0:
                logs[name] = float(result)
            else:
                logs |= {f"{name}/{index}": float(value) for index, value in enumerate(result)}
        return logs

    def over(
        self, arrays: Mapping[str, Array], rows: Rows, batch_size: int, pulse: Pulse = unhurried
    ) -> dict[str, float]:
        """Return loss (penalties included) and metrics over all rows, in batches; `pulse` is called before each."""
        tracked: Mapping[str, Array] = self.initial()
        line = self.network.conventions
        with np.errstate(all="ignore"):
            for start in range(0, len(rows), batch_size):
                pulse()
                batch = rows.part(slice(start, start + batch_size))
                run = Run(self.network.weight_specs, arrays, conventions=line)
                predictions = self.network.forward(run, tensors(self.network, batch.inputs))
                parts = losses_of(self.compilation, batch, predictions)
                loss = total_loss(weighted_sum(self.compilation, parts, line), self.network.penalties(run), line)
                tracked = self.updated(tracked, float(loss.data), parts, batch, predictions)
        return self.results(tracked)


def _free(name: str, counts: dict[str, int]) -> str:
    """Return a name, with a number if it is taken, and count it."""
    counts[name] = counts.get(name, 0) + 1
    return name if counts[name] == 1 else f"{name}_{counts[name] - 1}"


def _counted(total: Array, value: float, rows: np.float32) -> Array:
    return total + np.array([np.float32(value) * rows, rows], np.float32)


def _mean(totals: Array) -> float:
    total, count = totals
    return float(total / count) if count else 0.0


def _under(name: str, state: State) -> dict[str, Array]:
    return {f"{name}/{variable}": array for variable, array in state.items()}


def predict(network: Network, arrays: Mapping[str, Array], x: Data, batch_size: int) -> tuple[Array, ...]:
    """Return the outputs for all rows of x, in batches, each in the true dtype of its layer."""
    inputs = entered(network, x)
    parts = []
    with np.errstate(all="ignore"):
        for start in range(0, len(inputs[0]), batch_size):
            run = Run(network.weight_specs, arrays, conventions=network.conventions)
            stretch = [array[start : start + batch_size] for array in inputs]
            outputs = network.forward(run, tensors(network, stretch))
            parts.append([to_edge(output.data, output.dtype) for output in outputs])
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))
