"""What every optimizer is: a frozen config, the slots it wants, and an update that works in place.

Arithmetic runs op by op in the variable's dtype: for float32 variables nothing is rounded, for pure float16 or
bfloat16 variables every operation is, as Keras's are. Large variables are worked on in blocks that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from engine.configured import (
    Configured,
    boolean,
    fraction,
    not_negative,
    number,
    optional,
    positive_integer,
    setting,
    text,
    unsupported_unless,
)
from engine.conventions import TF24, Conventions
from engine.dtypes import DType
from engine.errors import InvalidValue, Unsupported
from engine.scaler import UNSCALED, ScalerRule
from engine.tape import Array, rounded
from engine.weights import WeightSpec

BLOCK = 16384
"""Elements per block: variable, gradient, two slots and scratch of float32 fit into a second-level cache."""


def read_learning_rate(key: str, value: Any) -> float:
    """Read a constant learning rate."""
    if isinstance(value, Mapping):
        raise Unsupported(
            f"`{key}` is a schedule ({value.get('class_name')!r}), which is not supported yet. Use a number.",
            code="unknown_schedule",
        )
    return not_negative(key, value)


@dataclass(frozen=True)
class Optimizer(Configured):
    """Base of all optimizers. Source: ``keras.optimizers.Optimizer``.

    Attributes:
        name: shown in configs.
        learning_rate: a constant; used as a number of ``floatx``, whatever the variables are.
        weight_decay: share of the variable, times the learning rate, that is taken off before the update.
        clipnorm: largest norm of any single gradient.
        global_clipnorm: largest norm of all gradients together.
        clipvalue: largest magnitude of any gradient entry.
        loss_scale_factor: Keras 3's fixed scale; nonfinite gradients are applied all the same.
        decay: Keras 2's time-based decay of the learning rate.
        conventions: the line of Keras to follow; not part of the config.
    """

    name: str | None = setting(optional(text), None)
    learning_rate: float = setting(read_learning_rate, 0.001)
    weight_decay: float | None = setting(optional(not_negative), None, only="keras3")
    clipnorm: float | None = setting(optional(not_negative), None, only="keras3")
    global_clipnorm: float | None = setting(optional(not_negative), None, only="keras3")
    clipvalue: float | None = setting(optional(not_negative), None, only="keras3")
    use_ema: bool = setting(unsupported_unless(False), False, only="keras3")
    ema_momentum: float = setting(fraction, 0.99, only="keras3")
    ema_overwrite_frequency: int | None = setting(optional(positive_integer), None, only="keras3")
    loss_scale_factor: float | None = setting(optional(number()), None, only="keras3")
    gradient_accumulation_steps: None = setting(unsupported_unless(None), None, only="keras3")
    decay: float = setting(not_negative, 0.0, only="keras2")
    jit_compile: bool = setting(boolean, False, only="set")
    is_legacy_optimizer: bool = setting(boolean, False, only="set")
    conventions: Conventions = field(default=TF24, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [key for key in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, key) is not None]
        if len(given) > 1:
            message = f"Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set, got {', '.join(given)}."
            raise InvalidValue(message, path=(given[-1],))
        if self.name is None:
            object.__setattr__(self, "name", self.class_name.lower() if self.conventions.keras3 else self.class_name)

    @property
    def inner_optimizer(self) -> Optimizer:
        """The optimizer that updates variables: itself, unless it is wrapped."""
        return self

    @property
    def rule(self) -> ScalerRule:
        """How the loss is scaled: not at all, or by a fixed factor that is never checked (Keras 3)."""
        if self.loss_scale_factor is None:
            return UNSCALED
        return ScalerRule(initial_scale=self.loss_scale_factor, checked=False, unscale="divide")

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays kept per variable."""
        return ()

    def initial_slots(self, specs: Sequence[WeightSpec]) -> dict[str, Array]:
        """Return zeros for every slot of every trainable variable, keyed "slot/path"."""
        return {
            f"{slot}/{spec.path}": np.zeros(spec.shape, spec.dtype.storage)
            for spec in specs
            if spec.trainable
            for slot in self.slot_names()
        }

    def rate(self, iterations: int) -> float:
        """Return the learning rate of the step after so many iterations, an exact number of ``floatx``."""
        kind = self.conventions.floatx.storage.type
        return float(kind(self.learning_rate) / (kind(1) + kind(self.decay) * kind(iterations)))

    def apply(
        self,
        iterations: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Sequence[Array | None],
        slots: Mapping[str, Array],
    ) -> None:
        """Update variables and slots in place.

        Args:
            iterations: number of updates before this one.
            specs: of the variables.
            variables: values on the grid of their dtype; written.
            gradients: unscaled, of the variables' shapes; None leaves a variable alone. May be written.
            slots: see :meth:`initial_slots`; written.

        Raises:
            InvalidValue: there are variables, and no gradient for any of them (Keras 2).
        """
        if specs and all(gradient is None for gradient in gradients) and not self.conventions.keras3:
            raise InvalidValue("No gradients provided for any variable", code="no_gradients")
        rate = self.rate(iterations)
        for spec, variable, gradient in zip(specs, variables, self.clipped(gradients), strict=True):
            if gradient is None:
                continue
            if self.weight_decay:
                shrink = rounded(variable * number_on(self.weight_decay, spec.dtype), spec.dtype)
                variable -= rounded(shrink * number_on(rate, spec.dtype), spec.dtype)  # noqa: PLW2901  in place
                rounded(variable, spec.dtype)
            own = {slot: slots[f"{slot}/{spec.path}"] for slot in self.slot_names()}
            self.update(variable, gradient, own, spec.dtype, rate, iterations)

    def update(
        self, variable: Array, gradient: Array, slots: Mapping[str, Array], dtype: DType, rate: float, iterations: int
    ) -> None:
        """Update one variable and its slots in place; subclasses write only this."""
        raise AssertionError(f"{self.class_name} does not define its update")

    def clipped(self, gradients: Sequence[Array | None]) -> Sequence[Array | None]:
        """Return the gradients limited as the config says; they are unscaled already."""
        if self.clipvalue is not None:
            return [None if g is None else np.clip(g, -self.clipvalue, self.clipvalue) for g in gradients]
        if self.clipnorm is not None:
            limit = self.clipnorm
            return [None if g is None else g * g.dtype.type(_shrinkage(_norm([g]), limit)) for g in gradients]
        if self.global_clipnorm is not None:
            norm = _norm(gradients)
            # tf.clip_by_global_norm gives nan everywhere once the norm is not finite: the step was broken before.
            factor = _shrinkage(norm if np.isfinite(norm) else np.nan, self.global_clipnorm)
            return [None if g is None else g * g.dtype.type(factor) for g in gradients]
        return gradients

    def with_learning_rate(self, value: float) -> Self:
        """Return the optimizer with another constant learning rate."""
        return type(self)(**{**self._fields(), "learning_rate": value})

    def _fields(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self.__dataclass_fields__}


def _norm(gradients: Sequence[Array | None]) -> float:
    given = [g for g in gradients if g is not None]
    kind = np.result_type(np.float32, *given).type
    return float(np.sqrt(kind(sum(float(np.vdot(g, g)) for g in given))))


def _shrinkage(norm: float, limit: float) -> float:
    """Return what a gradient is multiplied by: an infinite norm leaves zeros (and nan of infinities), nan only nan."""
    if np.isnan(norm):
        return norm
    return limit / norm if norm > limit else 1.0


def number_on(value: float, dtype: DType) -> Any:
    """Return a number as a scalar on the grid of a variable's dtype."""
    return rounded(np.array([value], dtype=dtype.storage), dtype)[0]


def float32_number_on(value: float, dtype: DType) -> Any:
    """Return a number that Keras on TensorFlow holds as float32 even where variables are float64."""
    return number_on(float(np.float32(value)), dtype)


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the same stretches of several equally large, contiguous arrays, as flat views."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)
