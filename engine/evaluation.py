"""Loss and metrics over rows, and predictions, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.compilation import Compilation
from engine.network import Network
from engine.rounding import to_edge
from engine.rows import Data, Rows, entered, tensors
from engine.run import Run
from engine.step import total_loss
from engine.tape import Array, Tensor

Tracked = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a compiled network is measured; totals are float32 (total, count) pairs, as Keras keeps them."""

    network: Network
    compilation: Compilation

    def initial(self) -> dict[str, Array]:
        """Return empty totals: "loss" and one per metric, under its name."""
        return {"loss": np.zeros(2, np.float32)} | {
            name: metric.initial() for name, metric in zip(self._names(), self.compilation.metrics, strict=True)
        }

    def _names(self) -> list[str]:
        names: list[str] = []
        for metric in self.compilation.metrics:
            base = metric.name or metric.class_name
            taken = sum(name == base or name.startswith(f"{base}_") for name in names)
            names.append(f"{base}_{taken}" if base in names else base)
        return names

    def updated(self, tracked: Tracked, loss: float, y: Array, predictions: Tensor) -> dict[str, Array]:
        """Return the totals after a batch; the loss counts by rows, metrics do not see sample weights (as in Keras)."""
        rows = np.float32(len(y))
        after = {"loss": tracked["loss"] + np.array([np.float32(loss) * rows, rows], np.float32)}
        for name, metric in zip(self._names(), self.compilation.metrics, strict=True):
            after[name] = metric.updated(tracked[name], y, predictions)
        return after

    def results(self, tracked: Tracked) -> dict[str, float]:
        """Return the means so far."""
        total, count = tracked["loss"]
        logs = {"loss": float(total / count) if count else 0.0}
        for name, metric in zip(self._names(), self.compilation.metrics, strict=True):
            logs[name] = metric.result(tracked[name])
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
