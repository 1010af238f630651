"""The training loop: a TrainState goes in, a record and the next TrainState come out.

``Trainer`` knows the model, the data and the options; the state knows everything that changes. Whoever drives the
loop decides when to stop, checkpoint or report::

    state = trainer.initial_state()
    while not trainer.finished(state):
        state, record = trainer.advance(state)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from engine import datasets
from engine.allocator import keep_freed_memory
from engine.compilation import Compilation
from engine.data_check import check_labels, check_weights
from engine.errors import EngineError, InvalidValue
from engine.evaluation import Evaluation, predict
from engine.network import Network
from engine.observation import NOBODY, Observer
from engine.optimizers.joined import JoinedUpdates
from engine.rows import Data, Rows, entered
from engine.run import Noise
from engine.state import TrainState
from engine.step import Verdict, apply_gradients, backward
from engine.tape import Array
from engine.watching import watching

HOPELESS_SKIPS = 50
"""Steps skipped in a row, at the floor of the loss scale, after which training is given up."""


class TrainingFailed(EngineError):
    """Training cannot go on.

    Attributes:
        step: the step (from 1) that showed it.
        layer: where it showed, if known.
    """

    default_code = "training_failed"

    def __init__(self, message: str, *, code: str, step: int = 0, layer: str | None = None) -> None:
        super().__init__(message, code=code)
        self.step = step
        self.layer = layer


@dataclass(frozen=True)
class FitOptions:
    """The arguments of ``Model.fit``, checked.

    Attributes:
        batch_size: rows a step; the last batch of an epoch may be smaller.
        epochs: passes over the training rows.
        validation_split: share of rows, the last ones before any shuffle, that are kept for validation.
        class_weight: what the rows of a class count, by class number; others count 1.
        shuffle: whether each epoch takes the rows in another (seeded) order.
        terminate_on_nonfinite: whether a nonfinite loss that was applied, or a loss scale that cannot recover, ends
            the training with TrainingFailed; Keras goes on.
    """

    batch_size: int = 32
    epochs: int = 1
    validation_split: float = 0.0
    shuffle: bool = True
    terminate_on_nonfinite: bool = False
    class_weight: Mapping[int, float] | None = None

    def __post_init__(self) -> None:
        for key in ("batch_size", "epochs"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidValue(f"`{key}` must be a positive integer, got {value!r}.", path=(key,))
        if not 0 <= self.validation_split < 1:
            message = f"`validation_split` must lie in [0, 1), got {self.validation_split!r}."
            raise InvalidValue(message, path=("validation_split",))


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step did.

    Attributes:
        step: from 1.
        epoch: from 1.
        loss: of the batch, without loss scale, penalties included.
        metrics: since the epoch began.
        loss_scale: that the step used.
        loss_scale_after: of the next step.
        counter_after: finite steps since the loss scale last changed.
        grads_finite: whether all unscaled gradients were finite.
        applied: whether the variables were updated; False is a skipped step.
        grad_norm: of all unscaled gradients together; may be nonfinite.
        learning_rate: that the step used or would have used.
        iterations: of the optimizer, after the step.
    """

    step: int
    epoch: int
    loss: float
    metrics: Mapping[str, float]
    loss_scale: float
    loss_scale_after: float
    counter_after: int
    grads_finite: bool
    applied: bool
    grad_norm: float
    learning_rate: float
    iterations: int


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The end of an epoch.

    Attributes:
        epoch: from 1.
        step: steps done so far.
        logs: mean loss and metrics of the epoch, ``val_`` ones with a validation split.
    """

    epoch: int
    step: int
    logs: Mapping[str, float]


class Trainable(Protocol):
    """What a Trainer needs of a model."""

    @property
    def network(self) -> Network:
        """Layers and connections."""

    @property
    def compilation(self) -> Compilation:
        """Loss, metrics, optimizer."""


class Trainer:
    """A model, its data and its options.

    Args:
        model: compiled.
        x: inputs, (samples, ...), a list or a dict of them for several; checked against the model.
        y: labels; checked against the loss.
        fit: the options.
        seed: of initial weights, shuffles and random layers.
        sample_weight: one number a row, or None.
        observer: is shown the tensors of the steps that it wants.

    Raises:
        DataInvalid, ShapeMismatch: ``path`` starts with "x", "y" or "sample_weight".
        InvalidValue: the options do not fit the data.
    """

    def __init__(
        self,
        model: Trainable,
        x: Data,
        y: Array,
        fit: FitOptions,
        seed: int,
        sample_weight: Array | None = None,
        *,
        observer: Observer = NOBODY,
    ) -> None:
        self.network, self.compilation = model.network, model.compilation
        self.fit, self.seed = fit, seed
        self._watch = watching(observer)
        inputs, y = entered(self.network, x), np.asarray(y)
        samples = len(inputs[0])
        check_labels(y, samples, self.network.output_shapes[0], self.compilation.loss)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)
            check_weights(sample_weight, samples)
        if fit.class_weight is not None:
            sample_weight = _weighted(y, fit.class_weight, sample_weight)
        train, validation = datasets.split(samples, fit.validation_split)
        data = Rows(inputs, y, sample_weight)
        self.train, self.validation = data.part(train), data.part(validation)
        self.steps_per_epoch = math.ceil(len(self.train) / fit.batch_size)
        self.total_steps = self.steps_per_epoch * fit.epochs
        self._order: tuple[int, Array] = (-1, np.empty(0, np.int64))
        self._updates = JoinedUpdates(self.compilation.optimizer.inner_optimizer, self.network.trainable_specs)
        self._evaluation = Evaluation(self.network, self.compilation)
        keep_freed_memory()

    def initial_state(self) -> TrainState:
        """Return the state before the first step; here the arrays are allocated."""
        variables = self.network.initial_arrays(self.seed)
        return TrainState(
            seed=self.seed,
            variables=variables,
            slots=self.compilation.optimizer.inner_optimizer.initial_slots(self.network.weight_specs, variables),
            tracked=self.empty_totals(),
            scaler=self.compilation.rule.initial(),
        )

    def finished(self, state: TrainState) -> bool:
        """Return whether every epoch is done."""
        return state.epoch >= self.fit.epochs

    def advance(self, state: TrainState) -> tuple[TrainState, StepRecord | EpochRecord]:
        """Do the next step, or end the epoch if its steps are done.

        The state that goes in is consumed: its arrays are written and belong to the state that comes out.

        Raises:
            TrainingFailed: with ``terminate_on_nonfinite``, when going on is pointless.
        """
        return self._end_epoch(state) if state.batch >= self.steps_per_epoch else self.step(state)

    def empty_totals(self) -> dict[str, Array]:
        """Return the totals of loss and metrics with which an epoch begins."""
        return self._evaluation.initial()

    def step(self, state: TrainState) -> tuple[TrainState, StepRecord]:
        """Do the next step; see :meth:`advance`."""
        batch = self.train.part(self._rows(state))
        settled = self._updates.settled(state.variables, state.slots)
        watch = self._watch.at(state.step + 1)
        model, scaler = (self.network, self.compilation), state.scaler
        with np.errstate(all="ignore"):
            noise = Noise(state.seed, state.step + 1)
            done = backward(*model, settled, batch, scaler.loss_scale, noise, watch)
            verdict = apply_gradients(*model, settled, done.gradients, scaler, state.iterations, watch)
        loss = float(done.loss.data)
        following = TrainState(
            seed=state.seed,
            variables={**settled.variables, **done.updates} if done.updates else settled.variables,
            slots=settled.slots,
            tracked=self._evaluation.updated(state.tracked, loss, batch.y, done.predictions),
            scaler=verdict.scaler,
            iterations=verdict.iterations,
            step=state.step + 1,
            epoch=state.epoch,
            batch=state.batch + 1,
            skipped=state.skipped + (not verdict.applied),
            skipped_in_a_row=0 if verdict.applied else state.skipped_in_a_row + 1,
            history=state.history,
        )
        record = self._record(state, following, loss, verdict)
        if self.fit.terminate_on_nonfinite:
            self._give_up_if_hopeless(record, following)
        return following, record

    def _record(self, state: TrainState, following: TrainState, loss: float, verdict: Verdict) -> StepRecord:
        return StepRecord(
            step=following.step,
            epoch=state.epoch + 1,
            loss=loss,
            metrics=self._evaluation.metrics(following.tracked),
            loss_scale=state.scaler.loss_scale,
            loss_scale_after=verdict.scaler.loss_scale,
            counter_after=verdict.scaler.counter,
            grads_finite=verdict.finite,
            applied=verdict.applied,
            grad_norm=verdict.grad_norm,
            learning_rate=self.compilation.optimizer.inner_optimizer.rate(state.iterations),
            iterations=verdict.iterations,
        )

    def _rows(self, state: TrainState) -> Array:
        if self._order[0] != state.epoch:
            order = datasets.order(state.seed, state.epoch, len(self.train), self.fit.shuffle)
            self._order = (state.epoch, order)
        start = state.batch * self.fit.batch_size
        return self._order[1][start : start + self.fit.batch_size]

    def _give_up_if_hopeless(self, record: StepRecord, state: TrainState) -> None:
        if record.applied and not math.isfinite(record.loss):
            raise TrainingFailed(
                f"The loss became {record.loss} at step {record.step}, and the step was applied, so the weights are "
                f"lost. Loss scale {record.loss_scale}, learning rate {record.learning_rate}.",
                code="nonfinite_loss",
                step=record.step,
            )
        if state.skipped_in_a_row >= HOPELESS_SKIPS and record.loss_scale_after >= record.loss_scale:
            raise TrainingFailed(
                f"{state.skipped_in_a_row} steps in a row had nonfinite gradients and the loss scale is down to "
                f"{record.loss_scale_after}, where it stays: something overflows without its help.",
                code="loss_scale_underflow",
                step=record.step,
            )

    def _end_epoch(self, state: TrainState) -> tuple[TrainState, EpochRecord]:
        logs = self._evaluation.results(state.tracked)
        if len(self.validation):
            checked = self._evaluation.over(state.variables, self.validation, self.fit.batch_size)
            logs |= {f"val_{name}": value for name, value in checked.items()}
        if state.epoch + 1 == self.fit.epochs:
            inner = self.compilation.optimizer.inner_optimizer
            inner.finish(self.network.trainable_specs, state.variables, state.slots)
        following = replace(
            state,
            epoch=state.epoch + 1,
            batch=0,
            tracked=self._evaluation.initial(),
            history=(*state.history, logs),
        )
        return following, EpochRecord(epoch=following.epoch, step=state.step, logs=logs)

    def evaluate(
        self, state: TrainState, x: Data, y: Array, sample_weight: Array | None = None, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return loss and metrics over given data, checked first."""
        rows = Rows(entered(self.network, x), np.asarray(y), sample_weight)
        check_labels(rows.y, len(rows), self.network.output_shapes[0], self.compilation.loss)
        return self._evaluation.over(state.variables, rows, batch_size or self.fit.batch_size)

    def predict(self, state: TrainState, x: Data, batch_size: int = 256) -> Array:
        """Return the model's output for x, in the true dtype of the output layer."""
        return predict(self.network, state.variables, x, batch_size)


def _weighted(y: Array, class_weight: Mapping[int, float], sample_weight: Array | None) -> Array:
    """Return sample weights that class weights make: of class numbers, or of the largest of one-hot labels."""
    classes = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(-1).astype(np.int64)
    weights = np.array([class_weight.get(int(label), 1.0) for label in classes], np.float32)
    return weights if sample_weight is None else weights * sample_weight
