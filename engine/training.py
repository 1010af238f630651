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
from typing import Any, Protocol

import numpy as np

from engine import datasets
from engine.callbacks import Action, Callback, Moment, Surroundings
from engine.compilation import Compilation, with_rate
from engine.crew import Crew, Doings
from engine.errors import InvalidValue, located
from engine.evaluation import Evaluation, predict
from engine.failing import HOPELESS_SKIPS, Failure, explained, failure, layer_of
from engine.network import Network
from engine.numerics.blame import Blamer, Suspect, lost_weight, reason_at_a_glance
from engine.observation import NOBODY, Observer
from engine.optimizers.joined import JoinedUpdates, Settled
from engine.records import EpochRecord, StepRecord, TrainingFailed
from engine.rows import Data, Rows, labelled
from engine.run import Noise
from engine.schedules import Schedule
from engine.state import TrainState
from engine.step import Backward, Judged, apply_gradients, backward, judge
from engine.tape import Array, Pulse, unhurried
from engine.watching import watching

__all__ = ["HOPELESS_SKIPS", "EpochRecord", "FitOptions", "StepRecord", "Trainer", "TrainingFailed"]

BLAMED_STEPS = 8
"""Steps that were not finite which are looked into, of the skipped and of the applied ones, from the first on."""


@dataclass(frozen=True)
class FitOptions:
    """The arguments of ``Model.fit``, checked.

    Attributes:
        batch_size: rows a step; the last batch of an epoch may be smaller.
        epochs: passes over the training rows.
        validation_split: share of rows, the last ones before any shuffle, that are kept for validation.
        class_weight: what the rows of a class count, by class number; others count 1.
        shuffle: whether each epoch takes the rows in another (seeded) order.
        terminate_on_nonfinite: whether weights that are not finite, or a loss scale that cannot recover, end the
            training with TrainingFailed, and it is looked into what made a step not finite; Keras goes on. With a
            TerminateOnNaN it sees to the loss.
        callbacks: in the order in which they are called.
    """

    batch_size: int = 32
    epochs: int = 1
    validation_split: float = 0.0
    shuffle: bool = True
    terminate_on_nonfinite: bool = False
    class_weight: Mapping[int, float] | None = None
    callbacks: tuple[Callback, ...] = ()

    def __post_init__(self) -> None:
        for key in ("batch_size", "epochs"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidValue(f"`{key}` must be a positive integer, got {value!r}.", path=(key,))
        if not 0 <= self.validation_split < 1:
            message = f"`validation_split` must lie in [0, 1), got {self.validation_split!r}."
            raise InvalidValue(message, path=("validation_split",))


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
        y: labels, likewise; checked against the losses.
        fit: the options.
        seed: of initial weights, shuffles and random layers.
        sample_weight: one number a row, for all outputs or for each; or None.
        observer: is shown the tensors of the steps that it wants.

    Raises:
        DataInvalid, ShapeMismatch: ``path`` starts with "x", "y" or "sample_weight".
        InvalidValue: the options do not fit the data.
    """

    def __init__(
        self,
        model: Trainable,
        x: Data,
        y: Data,
        fit: FitOptions,
        seed: int,
        sample_weight: Data | None = None,
        *,
        observer: Observer = NOBODY,
    ) -> None:
        self.network, self.compilation = model.network, model.compilation
        self.fit, self.seed = fit, seed
        self._watch = watching(observer)
        data = labelled(self.network, self.compilation.heads, x, y, sample_weight)
        if fit.class_weight is not None and sample_weight is not None:
            text = "You cannot give `class_weight` and `sample_weight` at the same time: multiply them yourself."
            raise InvalidValue(text, path=("class_weight",))
        train, validation = datasets.split(len(data), fit.validation_split)
        self.train, self.validation = data.part(train), data.part(validation)
        if fit.class_weight is not None:  # what is validated on is not weighted by class
            self.train = _weighted(self.train, fit.class_weight)
        self.steps_per_epoch = math.ceil(len(self.train) / fit.batch_size)
        self.total_steps = self.steps_per_epoch * fit.epochs
        self._order: tuple[int, Array] = (-1, np.empty(0, np.int64))
        self._evaluation = Evaluation(self.network, self.compilation)
        self._updates = JoinedUpdates(self.compilation.optimizer.inner_optimizer, self.network.trainable_specs)
        self._crew = Crew(fit.callbacks)
        self._blamer = Blamer(self.network, self.compilation)
        self._compiled: tuple[float | None, Compilation] = (None, self.compilation)
        self._check_callbacks()

    @property
    def names(self) -> tuple[str, ...]:
        """What the logs of an epoch will have, but for what callbacks add."""
        names = self._evaluation.names
        return (*names, *(f"val_{name}" for name in names)) if len(self.validation) else names

    def _check_callbacks(self) -> None:
        inner = self.compilation.optimizer.inner_optimizer
        constant = not isinstance(inner.learning_rate, Schedule)
        around = Surroundings(self.names, self._evaluation.metrics, constant)
        for index, callback in enumerate(self.fit.callbacks):
            with located("callbacks", index, "config"):
                callback.check(around)

    def initial_state(self, variables: Mapping[str, Array] | None = None) -> TrainState:
        """Return the state before the first step; here the arrays are allocated.

        Args:
            variables: values to begin with, by path, which the state keeps; by default those that the seed makes.
        """
        if variables is None:
            variables = self.network.initial_arrays(self.seed)
        return TrainState(
            seed=self.seed,
            variables=variables,
            slots=self.compilation.optimizer.inner_optimizer.initial_slots(self.network.weight_specs, variables),
            tracked=self.empty_totals(),
            scaler=self.compilation.rule.initial(),
            callbacks=self._crew.initial(),
        )

    def begun(self, state: TrainState) -> TrainState:
        """Return a state of the same model as it goes into a new training: epochs and callbacks begin anew."""
        return replace(state, epoch=0, batch=0, history=(), stopped=False, callbacks=self._crew.initial())

    def compilation_at(self, state: TrainState) -> Compilation:
        """Return the compilation with the learning rate that a callback has set, if one did."""
        if self._compiled[0] != state.learning_rate:
            self._compiled = (state.learning_rate, with_rate(self.compilation, state.learning_rate))
        return self._compiled[1]

    def finished(self, state: TrainState) -> bool:
        """Return whether every epoch is done, or a callback stopped the training."""
        return state.epoch >= self.fit.epochs or (state.stopped and state.batch == 0)

    def advance(self, state: TrainState, pulse: Pulse = unhurried) -> tuple[TrainState, StepRecord | EpochRecord]:
        """Do the next step, or end the epoch if its steps are done.

        The state that goes in is consumed: its arrays are written and belong to the state that comes out.

        Args:
            state: before it.
            pulse: called between the ops of the step and between the batches of the validation. If it raises, the
                state that went in is as it was.

        Raises:
            TrainingFailed: with ``terminate_on_nonfinite``, when going on is pointless.
        """
        ended = state.batch >= self.steps_per_epoch or state.stopped
        return self._end_epoch(state, pulse) if ended else self.step(state, pulse)

    def empty_totals(self) -> dict[str, Array]:
        """Return the totals of loss and metrics with which an epoch begins."""
        return self._evaluation.initial()

    def step(self, state: TrainState, pulse: Pulse = unhurried) -> tuple[TrainState, StepRecord]:
        """Do the next step; see :meth:`advance`."""
        rows = self._rows(state)
        batch = self.train.part(rows)
        watch = self._watch.at(state.step + 1)
        compilation = self.compilation_at(state)
        settled = self._updates.settled(compilation.optimizer.inner_optimizer, state.variables, state.slots)
        model, scaler = (self.network, compilation), state.scaler
        with np.errstate(all="ignore"):
            noise = Noise(state.seed, state.step + 1)
            done = backward(*model, settled, batch, scaler.loss_scale, noise, watch, pulse)
            judged = judge(*model, settled, done.gradients, scaler.loss_scale, watch)
            loss = float(done.loss.data)
            sound = judged.finite and math.isfinite(loss)
            suspect = None if sound else self._suspect(settled, rows, scaler.loss_scale, noise, judged)
            verdict = apply_gradients(*model, settled, judged, scaler, state.iterations, watch)
        tracked = self._evaluation.updated(state.tracked, loss, done.parts, batch, done.predictions)
        following = replace(
            state,
            variables={**settled.variables, **done.updates} if done.updates else settled.variables,
            slots=settled.slots,
            tracked=tracked,
            scaler=verdict.scaler,
            iterations=verdict.iterations,
            step=state.step + 1,
            batch=state.batch + 1,
            skipped=state.skipped + (not verdict.applied),
            skipped_in_a_row=0 if verdict.applied else state.skipped_in_a_row + 1,
            nonfinite=state.nonfinite + (suspect is not None),
        )
        logs = self._evaluation.results(tracked)
        called = self._after_step(following, logs)
        record = StepRecord(
            step=following.step,
            epoch=state.epoch + 1,
            loss=loss,
            metrics={name: value for name, value in logs.items() if name != "loss"},
            loss_scale=scaler.loss_scale,
            loss_scale_after=verdict.scaler.loss_scale,
            counter_after=verdict.scaler.counter,
            grads_finite=verdict.finite,
            applied=verdict.applied,
            grad_norm=verdict.grad_norm,
            learning_rate=compilation.optimizer.inner_optimizer.rate(state.iterations),
            iterations=compilation.optimizer.inner_optimizer.shown_iterations(verdict.iterations),
            actions=called.actions,
            saved=called.saved,
        )
        if suspect is not None:
            record = self._explained(record, suspect, done, called.state)
        self._give_up_if_hopeless(record, called.state)
        return called.state, record

    def _suspect(self, settled: Settled, rows: Array, loss_scale: float, noise: Noise, judged: Judged) -> Suspect:
        """Return the step as it began, such that it outlives its update if it is not skipped."""
        if judged.finite or not self.compilation.rule.checked:
            trained = {spec.path: settled.variables[spec.path].copy() for spec in self.network.trainable_specs}
            settled = Settled({**settled.variables, **trained}, settled.slots, settled.updater)
        return Suspect(settled, self.train.part(rows), rows, loss_scale, noise, judged.finite)

    def _explained(self, record: StepRecord, suspect: Suspect, done: Backward, state: TrainState) -> StepRecord:
        """Return the record of a step that was not finite, with what is known of why.

        The first skipped and the first applied ones are looked into, and one after which the training is given up.
        """
        specs = self.network.trainable_specs
        before = lost_weight(specs, suspect.settled.variables)
        after = lost_weight(specs, state.variables) if record.applied else before
        reason = "nonfinite_weights" if before else reason_at_a_glance(done, finite=record.grads_finite)
        record = replace(record, reason=reason, lost_before=before, lost_after=after)
        if not self.fit.terminate_on_nonfinite:
            return record
        like_it = state.nonfinite - state.skipped if record.applied else state.skipped
        if like_it <= BLAMED_STEPS or self._failure(record, state) is not None:
            blame = self._blamer.blame(suspect)
            record = replace(record, reason=blame.reason, blame=blame)
        return record

    def _failure(self, record: StepRecord, state: TrainState) -> Failure | None:
        caught = self._crew.catches_nonfinite_loss
        return failure(record, state.skipped_in_a_row, nonfinite_is_caught=caught)

    def _after_step(self, state: TrainState, logs: Mapping[str, float]) -> Doings:
        if not self.fit.callbacks:
            return Doings(state, logs)
        return self._crew.after_step(state, self._moment(state, state.batch - 1, logs))

    def _moment(self, state: TrainState, batch: int | None, logs: Mapping[str, float]) -> Moment:
        rate = self.compilation_at(state).optimizer.inner_optimizer.learning_rate
        narrow = self.network.conventions.floatx.storage.type
        shown = rate(state.iterations) if isinstance(rate, Schedule) else rate
        metrics = self._evaluation.metrics
        return Moment(state.epoch, batch, logs, state.variables, float(narrow(shown)), narrow, metrics)

    def _rows(self, state: TrainState) -> Array:
        if self._order[0] != state.epoch:
            order = datasets.order(state.seed, state.epoch, len(self.train), self.fit.shuffle)
            self._order = (state.epoch, order)
        start = state.batch * self.fit.batch_size
        return self._order[1][start : start + self.fit.batch_size]

    def _give_up_if_hopeless(self, record: StepRecord, state: TrainState) -> None:
        for action in record.actions:
            if action.data.get("raise_error"):
                layer = layer_of(record.blame)
                text = f"{action.message}{explained(record)}"
                raise TrainingFailed(text, code="nonfinite_loss", step=record.step, layer=layer, done=(state, record))
        if not self.fit.terminate_on_nonfinite or record.reason is None:
            return
        found = self._failure(record, state)
        if found is not None:
            done = (state, record)
            raise TrainingFailed(found.message, code=found.code, step=found.step, layer=found.layer, done=done)

    def _end_epoch(self, state: TrainState, pulse: Pulse) -> tuple[TrainState, EpochRecord]:
        logs = self._evaluation.results(state.tracked)
        if len(self.validation):
            checked = self._evaluation.over(state.variables, self.validation, self.fit.batch_size, pulse)
            logs |= {f"val_{name}": value for name, value in checked.items()}
        called = self._crew.after_epoch(state, self._moment(state, None, logs))
        following = replace(
            called.state,
            epoch=state.epoch + 1,
            batch=0,
            tracked=self._evaluation.initial(),
            history=(*state.history, called.logs),
        )
        actions = called.actions
        if self.finished(following):
            following, last = self._end(following, keep=bool(called.saved))
            actions = (*actions, *last)
        return following, EpochRecord(following.epoch, state.step, called.logs, actions, called.saved)

    def _end(self, state: TrainState, *, keep: bool) -> tuple[TrainState, tuple[Action, ...]]:
        """Finish a training: moving averages replace the variables, callbacks may put other weights back.

        Args:
            state: after the last epoch.
            keep: whether its arrays are still needed as they are.
        """
        if keep:
            state = replace(state, variables={path: array.copy() for path, array in state.variables.items()})
        inner = self.compilation.optimizer.inner_optimizer
        inner.finish(self.network.trainable_specs, state.variables, state.slots)
        return self._crew.after_training(state)

    def evaluate(
        self, state: TrainState, x: Data, y: Data, sample_weight: Data | None = None, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return loss and metrics over given data, checked first."""
        rows = labelled(self.network, self.compilation.heads, x, y, sample_weight)
        return self._evaluation.over(state.variables, rows, batch_size or self.fit.batch_size)

    def predict(self, state: TrainState, x: Data, batch_size: int = 256) -> Any:
        """Return the model's output for x, in the true dtype of the output layer; of several outputs a list."""
        found = predict(self.network, state.variables, x, batch_size)
        return found[0] if len(found) == 1 else list(found)


def _weighted(rows: Rows, class_weight: Mapping[int, float]) -> Rows:
    """Return rows with the weights that class weights make: of class numbers, or of the largest of one-hot labels.

    Raises:
        InvalidValue: there is not one output, or not one label a row.
    """
    if len(rows.labels) != 1:
        text = "`class_weight` is only supported for models with a single output."
        raise InvalidValue(text, path=("class_weight",))
    y = rows.labels[0]
    if y.ndim > 1:
        y = y.argmax(axis=-1) if y.shape[-1] != 1 else y[..., 0]
    if y.ndim != 1:
        text = f"`class_weight` needs one label a row, but labels have the shape {list(rows.labels[0].shape[1:])}."
        raise InvalidValue(text, path=("class_weight",))
    weights = np.array([class_weight.get(int(label), 1.0) for label in np.round(y)], np.float32)
    return replace(rows, weights=(weights,))
