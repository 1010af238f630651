"""Callbacks that watch one number of the logs. Source: ``keras.src.callbacks.monitor_callback`` of Keras 3.15."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.callbacks.base import Moment, Spoken, Surroundings
from engine.configured import any_number, setting, text
from engine.errors import InvalidValue
from engine.metrics import Metric

MODES = ("auto", "min", "max")
_WITHOUT_DIRECTION = frozenset({"FalseNegatives", "FalsePositives", "TrueNegatives", "TruePositives"})
_FALLING = frozenset(
    {
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "CategoricalHinge",
        "Hinge",
        "KLDivergence",
        "LogCoshError",
        "MeanAbsoluteError",
        "MeanAbsolutePercentageError",
        "MeanSquaredError",
        "MeanSquaredLogarithmicError",
        "Poisson",
        "RootMeanSquaredError",
        "SparseCategoricalCrossentropy",
        "SquaredHinge",
    }
)
"""Metrics that are better the smaller they are; those without a direction apart, all others rise."""


def _mode(key: str, value: object) -> str:
    """Read a mode; Keras takes what it does not know for "auto", with a warning."""
    if value not in MODES:
        raise InvalidValue(f'`{key}` must be "auto", "min" or "max", got {value!r}.')
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Monitor(Spoken):
    """Base of callbacks that compare a number with the best one so far.

    Attributes:
        monitor: name of the number in the logs.
        mode: "min" if it is to fall, "max" if it is to rise, "auto" to tell by its name.
    """

    monitor: str = setting(text, "val_loss")
    mode: str = setting(_mode, "auto")

    @property
    def margin(self) -> float:
        """By how much a number must be better to count."""
        return 0.0

    def check(self, surroundings: Surroundings) -> None:
        """Check that it is known which way is better.

        Raises:
            InvalidValue: "auto" cannot tell.
        """
        self.falls(surroundings.metrics)

    def falls(self, metrics: Sequence[Metric]) -> bool:
        """Return whether smaller is better.

        Args:
            metrics: of the model.

        Raises:
            InvalidValue: "auto" cannot tell: only the loss and metrics under their own names have a known direction.
        """
        if self.mode != "auto":
            return self.mode == "min"
        name = self.monitor.removeprefix("val_")
        found = _direction(name, metrics)
        if found is None:
            raise InvalidValue(
                f"{self.class_name} callback received monitor={self.monitor}, but Keras isn't able to automatically "
                "determine whether that metric should be maximized or minimized. Pass `mode='max'` in order to monitor "
                "based on the highest metric value, or pass `mode='min'` in order to use the lowest value.",
                path=("monitor",),
            )
        return found

    def improves(self, moment: Moment, value: float, reference: float | None) -> bool:
        """Return whether a number is better than a reference; compared in ``floatx``, as Keras does."""
        if reference is None:
            return True
        if self.falls(moment.metrics):
            return bool(moment.narrow(value + self.margin) < moment.narrow(reference))
        return bool(moment.narrow(value - self.margin) > moment.narrow(reference))


@dataclass(frozen=True, kw_only=True)
class MonitorWithMargin(Monitor):
    """A monitor to which small improvements are none.

    Attributes:
        min_delta: by how much a number must be better to count; its sign does not matter.
    """

    min_delta: float = setting(any_number, 0.0)

    @property
    def margin(self) -> float:
        """By how much a number must be better to count."""
        return abs(self.min_delta)


def _direction(name: str, metrics: Sequence[Metric]) -> bool | None:
    """Return whether a number is to fall; the last metric of the name decides, None if nothing does."""
    found = True if name == "loss" else None
    for metric in metrics:
        if (metric.name or metric.class_name) == name and metric.class_name not in _WITHOUT_DIRECTION:
            found = metric.class_name in _FALLING
    return found
