"""Loss and metrics over rows, and predictions, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.compilation import Compilation
from engine.metrics import Metric, State
from engine.network import Network
from engine.rounding import to_edge
from engine.rows import Data, Rows, entered, tensors
from engine.run import Run
from engine.step import total_loss
from engine.tape import Array, Tensor

Tracked = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a compiled network is measured.

    What is tracked: "loss" -> float32 (total, count), and "<metric>/<variable>" -> what the metric counts.
    """

    network: Network
    compilation: Compilation

    def initial(self) -> dict[str, Array]:
        """Return empty totals of the loss and the metrics."""
        output = self.network.output_shapes[0]
        totals = {"loss": np.zeros(2, np.float32)}
        for name, metric in self._metrics():
            totals |= _under(name, metric.initial(output))
        return totals

    def _metrics(self) -> list[tuple[str, Metric]]:
        """Return the metrics with the names that their results have in the logs."""
        names = ["loss"]
        for metric in self.compilation.metrics:
            base = metric.name or metric.class_name
            taken = sum(name == base or name.startswith(f"{base}_") for name in names)
            names.append(f"{base}_{taken}" if base in names else base)
        return list(zip(names[1:], self.compilation.metrics, strict=True))

    def _state(self, name: str, metric: Metric, tracked: Tracked) -> State:
        variables = metric.shapes(self.network.output_shapes[0])
        return {variable: tracked[f"{name}/{variable}"] for variable in variables}

    def updated(self, tracked: Tracked, loss: float, y: Array, predictions: Tensor) -> dict[str, Array]:
        """Return the totals after a batch; the loss counts by rows, metrics do not see sample weights (as in Keras)."""
        rows = np.float32(len(y))
        after = {"loss": tracked["loss"] + np.array([np.float32(loss) * rows, rows], np.float32)}
        for name, metric in self._metrics():
            after |= _under(name, metric.updated(self._state(name, metric, tracked), y, predictions))
        return after

    def results(self, tracked: Tracked) -> dict[str, float]:
        """Return what was measured so far; of a metric with several results each, as "<metric>/<index>"."""
        total, count = tracked["loss"]
        return {"loss": float(total / count) if count else 0.0, **self.metrics(tracked)}

    def metrics(self, tracked: Tracked) -> dict[str, float]:
        """Return what :meth:`results` does, but for the loss."""
        logs: dict[str, float] = {}
        for name, metric in self._metrics():
            result = metric.result(self._state(name, metric, tracked))
            if result.ndim == 0:
                logs[name] = float(result)
            else:
                logs |= {f"{name}/{index}": float(value) for index, value in enumerate(result)}
        return logs

    def over(self, arrays: Mapping[str, Array], rows: Rows, batch_size: int) -> dict[str, float]:
        """Return loss (penalties included) and metrics over all rows, in batches."""
        tracked: Mapping[str, Array] = self.initial()
        with np.errstate(all="ignore"):
            for start in range(0, len(rows), batch_size):
                batch = rows.part(slice(start, start + batch_size))
                run = Run(self.network.weight_specs, arrays, conventions=self.network.conventions)
                predictions = self.network.forward(run, tensors(self.network, batch.inputs))[0]
                loss = self.compilation.loss(batch.y, predictions, batch.weights)
                total = total_loss(loss, self.network.penalties(run), self.network.conventions)
                tracked = self.updated(tracked, float(total.data), batch.y, predictions)
        return self.results(tracked)


def _under(name: str, state: State) -> dict[str, Array]:
    return {f"{name}/{variable}": array for variable, array in state.items()}


def predict(network: Network, arrays: Mapping[str, Array], x: Data, batch_size: int) -> Array:
    """Return the (first) output for all rows of x, in batches, in the true dtype of its layer."""
    inputs = entered(network, x)
    parts = []
    with np.errstate(all="ignore"):
        for start in range(0, len(inputs[0]), batch_size):
            run = Run(network.weight_specs, arrays, conventions=network.conventions)
            stretch = [array[start : start + batch_size] for array in inputs]
            output = network.forward(run, tensors(network, stretch))[0]
            parts.append(to_edge(output.data, output.dtype))
    return np.concatenate(parts)
