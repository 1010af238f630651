"""What every optimizer is: a frozen config, the slots it wants, and an update that works in place.

Arithmetic runs op by op in the variable's dtype: for float32 variables nothing is rounded, for pure float16 or
bfloat16 variables every operation is, as Keras's are. Large variables are worked on in blocks that stay in the cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from engine.configured import (
    Configured,
    boolean,
    fraction,
    integer,
    not_negative,
    number,
    one_of,
    optional,
    positive_integer,
    setting,
    snake_case,
    text,
)
from engine.conventions import TF24, Conventions
from engine.dtypes import FLOAT32, DType
from engine.errors import InvalidValue
from engine.gradients import Gradients, RowGradient, dense
from engine.optimizers import averages, low_precision, overwriting, window
from engine.optimizers.arithmetic import blocks, float32_number_on, grid, number_on
from engine.optimizers.clipping import Clip, clipped_by_global_norm, clipped_by_norm, clipped_by_value
from engine.optimizers.rows import Target, Touches, update_rows
from engine.scaler import UNSCALED, ScalerRule
from engine.schedules import Schedule, read_rate, write_rate
from engine.tape import Array
from engine.weights import WeightSpec

_CLIPS: Mapping[str, Clip] = MappingProxyType(
    {"clipnorm": clipped_by_norm, "global_clipnorm": clipped_by_global_norm, "clipvalue": clipped_by_value}
)
"""In the order in which later lines of Keras look for one that is set."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When an update happens, for variables of one dtype.

    Attributes:
        dtype: of the variables.
        rate: the learning rate, a number on their grid.
        count: updates before this one; accumulated gradients count once a window.
    """

    dtype: DType
    rate: Any
    count: int

    @property
    def t(self) -> Any:
        """The number of this update, from 1, on the grid."""
        return number_on(self.count + 1, self.dtype)


@dataclass(frozen=True)
class Optimizer(Configured):
    """Base of all optimizers. Source: ``keras.optimizers.Optimizer``.

    Attributes:
        name: shown in configs.
        learning_rate: a constant, used as a number of ``floatx`` whatever the variables are; or a schedule.
        weight_decay: share of the variable, times the learning rate, that is taken off before the update.
        clipnorm: largest norm of any single gradient.
        global_clipnorm: largest norm of all gradients together.
        clipvalue: largest magnitude of any gradient entry.
        use_ema: keep an exponential moving average of each variable, which replaces it when training ends.
        ema_momentum: share of the average that stays at each step.
        ema_overwrite_frequency: every how many updates the averages replace the variables in between.
        loss_scale_factor: Keras 3's fixed scale; nonfinite gradients are applied all the same.
        gradient_accumulation_steps: how many steps' gradients are averaged for one update.
        decay: Keras 2's time-based decay of the learning rate.
        update_rounding: how float16 and bfloat16 variables take an update: "nearest" as in Keras, "stochastic", or
            "kahan", which keeps what was lost in a slot. Not Keras's.
        update_seed: of the draws of stochastic rounding. Not Keras's.
        conventions: the line of Keras to follow; not part of the config.
    """

    tf24_touches: ClassVar[Touches] = "rows"
    """What TF 2.4 touches where only some rows have a gradient."""
    elementwise: ClassVar[bool] = True
    """Whether an update treats every number of a variable by itself."""
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    """By line of Keras: what a config leaves out, where that line has a default of its own."""

    name: str | None = setting(optional(text), None)
    learning_rate: float | Schedule = setting(read_rate, 0.001, write=write_rate)
    weight_decay: float | None = setting(optional(not_negative), None, only="newer")
    clipnorm: float | None = setting(optional(not_negative), None, only="newer")
    global_clipnorm: float | None = setting(optional(not_negative), None, only="newer")
    clipvalue: float | None = setting(optional(not_negative), None, only="newer")
    use_ema: bool = setting(boolean, False, only="newer")
    ema_momentum: float = setting(fraction, 0.99, only="newer")
    ema_overwrite_frequency: int | None = setting(optional(positive_integer), None, only="newer")
    loss_scale_factor: float | None = setting(optional(number()), None, only="keras3")
    gradient_accumulation_steps: int | None = setting(
        optional(integer(2, "an integer of at least 2")), None, only="keras3"
    )
    decay: float = setting(not_negative, 0.0, only="tf2.4")
    jit_compile: bool = setting(boolean, False, only="tf_keras")
    is_legacy_optimizer: bool = setting(boolean, False, only="tf_keras")
    update_rounding: str = setting(one_of(*low_precision.UPDATE_ROUNDINGS), low_precision.NEAREST, only="set")
    update_seed: int = setting(integer(0, "an integer not below 0"), 0, only="set")
    conventions: Conventions = field(default=TF24, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        # TF 2.4 applies all limits that are set, tf_keras the first of them.
        exclusive = ("clipnorm", "global_clipnorm", *(["clipvalue"] if self.conventions.keras3 else []))
        given = [key for key in exclusive if getattr(self, key) is not None]
        if len(given) > 1:
            message = f"Only one of {', '.join(f'`{key}`' for key in exclusive)} can be set, got {', '.join(given)}."
            raise InvalidValue(message, path=(given[-1],))
        if self.conventions.keras3 and not isinstance(self.learning_rate, Schedule):
            # Keras 3 keeps it in a variable of floatx, and shows what that holds.
            held = float(self.conventions.floatx.storage.type(self.learning_rate))
            object.__setattr__(self, "learning_rate", held)
        if self.name is None:
            object.__setattr__(
                self, "name", snake_case(self.class_name) if self.conventions.keras3 else self.class_name
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **extra: Any) -> Self:
        """Return the optimizer that a config describes; see :meth:`Configured.from_config`."""
        line = extra.get("conventions", TF24)
        return super().from_config({**cls.defaults.get(line.name, {}), **config}, **extra)

    @property
    def is_legacy(self) -> bool:
        """Whether it is one of TF 2.4's optimizers, which tf_keras keeps as its legacy ones."""
        return self.conventions.name == "tf2.4"

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
        """Return the names of the arrays that an update keeps per variable."""
        return ()

    def slot_shapes(self, spec: WeightSpec) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the slots that an update keeps of a variable; nothing is allocated."""
        return dict.fromkeys(self.slot_names(), spec.shape)

    def kept_shapes(self, spec: WeightSpec) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all that is kept of a trainable variable, in its dtype; nothing is allocated."""
        own = {} if spec.overwritten else self.slot_shapes(spec)
        if self.gradient_accumulation_steps:
            own[window.SLOT] = spec.shape
        if self.use_ema and not spec.overwritten:
            own[averages.SLOT] = spec.shape
        if self._compensates(spec):
            own[low_precision.SLOT] = spec.shape
        return own

    def _compensates(self, spec: WeightSpec) -> bool:
        return self.update_rounding == low_precision.KAHAN and spec.dtype.low_precision and not spec.overwritten

    def new_slots(self, spec: WeightSpec) -> dict[str, Array]:
        """Return the slots of a variable before its first update: zeros, unless a subclass says otherwise."""
        return {slot: np.zeros(shape, spec.dtype.storage) for slot, shape in self.slot_shapes(spec).items()}

    def shared_slots(self, specs: Sequence[WeightSpec]) -> dict[str, Array]:
        """Return what the optimizer keeps once for all variables."""
        return {}

    def initial_slots(
        self, specs: Sequence[WeightSpec], variables: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Return the state before the first step: per trainable variable "slot/path", and what is shared.

        Args:
            specs: of all variables.
            variables: their values by path, with which the moving averages of Keras 2 begin.
        """
        trainable = [spec for spec in specs if spec.trainable]
        slots = self.shared_slots(trainable)
        for spec in trainable:
            own = {} if spec.overwritten else self.new_slots(spec)
            if self.gradient_accumulation_steps:
                own[window.SLOT] = np.zeros(spec.shape, spec.dtype.storage)
            if self.use_ema and not spec.overwritten:
                own[averages.SLOT] = averages.begun(spec, variables, self.conventions)
            if self._compensates(spec):
                own[low_precision.SLOT] = np.zeros(spec.shape, spec.dtype.storage)
            slots |= {f"{slot}/{spec.path}": array for slot, array in own.items()}
        return slots

    def shown_iterations(self, iterations: int) -> int:
        """Return what ``optimizer.iterations`` shows after so many steps: with accumulated gradients, full windows."""
        return iterations // (self.gradient_accumulation_steps or 1)

    @property
    def decay_of_rate(self) -> float:
        """Keras 2's time-based decay of the learning rate."""
        return self.decay

    def rate(self, iterations: int) -> float:
        """Return the learning rate of the step after so many iterations, an exact number of ``floatx``."""
        return float(self.rate_on(iterations, self.conventions.floatx))

    def rate_on(self, iterations: int, dtype: DType) -> Any:
        """Return the learning rate as a number on a variable's grid."""
        if isinstance(self.learning_rate, Schedule):
            # TF 2.4 gives a schedule the counter in the dtype of the variables.
            step = number_on(iterations, dtype) if self.conventions.fused_updates else iterations
            rate = number_on(self.learning_rate(step), dtype)
        else:
            held = FLOAT32 if self.conventions.fused_updates else self.conventions.floatx
            rate = number_on(number_on(self.learning_rate, held), dtype)
        if not self.decay_of_rate:
            return rate
        passed = number_on(float32_number_on(self.decay_of_rate, dtype) * number_on(iterations, dtype), dtype)
        return number_on(rate / number_on(1 + passed, dtype), dtype)

    def apply(
        self,
        iterations: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Gradients,
        slots: Mapping[str, Array],
    ) -> None:
        """Update variables and slots in place.

        Args:
            iterations: steps before this one that were not skipped (Keras 3), or all of them (Keras 2).
            specs: of the variables.
            variables: values on the grid of their dtype; written.
            gradients: unscaled, of the variables' shapes; None leaves a variable alone. May be written.
            slots: see :meth:`initial_slots`; written.

        Raises:
            InvalidValue: there are variables, and no gradient for any of them (Keras 2).
        """
        if specs and all(gradient is None for gradient in gradients) and not self.conventions.keras3:
            raise InvalidValue("No gradients provided for any variable", code="no_gradients")
        steps = self.gradient_accumulation_steps or 1
        others = overwriting.overwrite(iterations, steps, specs, variables, gradients, slots)
        if len(others) < len(specs):
            specs, variables = [specs[index] for index in others], [variables[index] for index in others]
            gradients = [gradients[index] for index in others]
        if steps > 1:
            window.collect(specs, gradients, slots)
        if (iterations + 1) % steps == 0:
            found = gradients if steps == 1 else window.mean(specs, gradients, slots, steps)
            self._update_all(iterations, iterations // steps, specs, variables, found, slots)
        self._follow(iterations // steps, specs, variables, slots)
        for spec, variable, gradient in zip(specs, variables, gradients, strict=True):
            if spec.constraint is not None and gradient is not None:
                np.copyto(variable, spec.constraint(variable, spec.dtype))

    def _update_all(
        self,
        iterations: int,
        count: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Gradients,
        slots: Mapping[str, Array],
    ) -> None:
        """Do one update: ``iterations`` is what schedules see, ``count`` what bias corrections see."""
        worked_in = [self._worked_in(spec.dtype) for spec in specs]
        self.advance(count, slots, specs)
        distinct = {dtype.name: dtype for dtype in worked_in}  # by name, which is hashed in no time
        moments = {name: Moment(dtype, self.rate_on(iterations, dtype), count) for name, dtype in distinct.items()}
        numbers = {name: self.numbers(moment, slots) for name, moment in moments.items()}
        clipped = self.clipped(gradients, [spec.dtype for spec in specs])
        for spec, dtype, variable, gradient in zip(specs, worked_in, variables, clipped, strict=True):
            if gradient is None:
                continue
            own = {slot: slots[f"{slot}/{spec.path}"] for slot in self.slot_names()}
            written = variable if dtype is spec.dtype else variable.copy()
            self._decay(written, dtype, moments[dtype.name].rate)
            target = Target.dense(written, dense(gradient), own, dtype)
            if isinstance(gradient, RowGradient):
                update_rows(self.update, target, gradient, numbers[dtype.name], self.touches)
            else:
                self.update(target, numbers[dtype.name])
            if written is not variable:
                self._bring_back(spec, variable, written, own, slots, count)

    def _worked_in(self, dtype: DType) -> DType:
        """Return the dtype in which a variable's update is computed."""
        return FLOAT32 if dtype.low_precision and self.update_rounding in low_precision.RETURNS else dtype

    def _bring_back(
        self,
        spec: WeightSpec,
        variable: Array,
        wanted: Array,
        own: Mapping[str, Array],
        slots: Mapping[str, Array],
        count: int,
    ) -> None:
        """Put an update that was computed in float32 onto the grid of the variable, and its slots too."""
        for array in own.values():
            grid(spec.dtype)(array)
        kept = {low_precision.SLOT: slots[f"{low_precision.SLOT}/{spec.path}"]} if self._compensates(spec) else {}
        draws = low_precision.generator(self.update_seed, count, spec.path)
        low_precision.RETURNS[self.update_rounding](variable, wanted, spec.dtype, kept, draws)

    @property
    def maximum(self) -> np.ufunc:
        """What takes the larger of two numbers: TF 2.4's kernels keep the old one beside a nan, later ones the nan."""
        return np.fmax if self.conventions.fused_updates else np.maximum

    @property
    def touches(self) -> Touches:
        """What is updated where only some rows have a gradient."""
        if self.conventions.keras3:
            return "parts"
        return self.tf24_touches if self.conventions.fused_updates else "all"

    def advance(self, count: int, slots: Mapping[str, Array], specs: Sequence[WeightSpec]) -> None:
        """Bring what is shared up to date, once before the variables of an update."""

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> Any:
        """Return the numbers of an update that all variables of a dtype have in common."""
        return None

    def update(self, target: Target, numbers: Any) -> None:
        """Update one variable and its slots in place."""
        raise AssertionError(f"{self.class_name} does not define its update")

    def _decay(self, variable: Array, dtype: DType, rate: Any) -> None:
        if self.weight_decay:
            on, share = grid(dtype), float32_number_on(self.weight_decay, dtype)
            for (w,) in blocks(variable):
                shrink = on(w * share)
                on(np.subtract(w, on(np.multiply(shrink, rate, out=shrink)), out=w))

    def _follow(
        self, count: int, specs: Sequence[WeightSpec], variables: Sequence[Array], slots: Mapping[str, Array]
    ) -> None:
        """Move the averages after the variables, and back where it is time."""
        if not self.use_ema:
            return
        for spec, variable in zip(specs, variables, strict=True):
            kept, taken = averages.shares(self.ema_momentum, count, spec.dtype, self.conventions)
            averages.follow(spec, variable, slots, kept, taken)
        if self.ema_overwrite_frequency and (count + 1) % self.ema_overwrite_frequency == 0:
            averages.overwrite(specs, variables, slots)

    def clipped(self, gradients: Gradients, dtypes: Sequence[DType]) -> Gradients:
        """Return the gradients limited as the config says; they are unscaled already."""
        if self.conventions.fused_updates:
            for key in ("clipvalue", "clipnorm", "global_clipnorm"):
                if getattr(self, key) is not None:
                    gradients = _CLIPS[key](gradients, dtypes, getattr(self, key))
            return gradients
        for key, clip in _CLIPS.items():
            if getattr(self, key):
                clipped = clip(gradients, dtypes, getattr(self, key))
                # Keras 3 multiplies by a factor of all gradients, which merges the parts of rows.
                merges = self.conventions.keras3 and clip is clipped_by_global_norm
                return [None if g is None else dense(g) for g in clipped] if merges else clipped
        return gradients

    def finish(self, specs: Sequence[WeightSpec], variables: Mapping[str, Array], slots: Mapping[str, Array]) -> None:
        """Replace variables by their moving averages, if they are kept: what ends a training."""
        if self.use_ema:
            specs = [spec for spec in specs if not spec.overwritten]
            averages.overwrite(specs, [variables[spec.path] for spec in specs], slots)

    def with_learning_rate(self, value: float) -> Self:
        """Return the optimizer with another constant learning rate."""
        return dataclasses.replace(self, learning_rate=value)
