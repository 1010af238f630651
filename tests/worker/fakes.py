"""Fakes at the worker's ports. The trainer passes the contract suite that the real one passes."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.compilation import Compilation
from engine.conventions import KERAS3
from engine.model import model_from_config
from engine.network import Network
from engine.scaler import ScalerState
from engine.state import TrainState
from engine.tape import Array, Pulse, unhurried
from engine.training import EpochRecord, StepRecord
from worker.jobs.records import Wakeup
from worker.queue import QueueUnavailable

SPEC: dict[str, Any] = {
    "model": {"class_name": "Sequential", "config": {"layers": []}},
    "policy": "mixed_float16",
    "compile": {"loss": "mse"},
    "fit": {"epochs": 3},
    "data": {"dataset": "digits"},
    "seed": 7,
    "metadata": {"team": "a"},
}
STEPS_PER_EPOCH = 4
EPOCHS = 3
TOTAL = STEPS_PER_EPOCH * EPOCHS


_DENSE = {"name": "d", "units": 1, "use_bias": False, "batch_input_shape": [None, 3]}
MODEL = model_from_config(
    {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": _DENSE}]}}, conventions=KERAS3
)
MODEL.compile({"class_name": "SGD", "config": {"momentum": 0.9}}, "mse")


def _nothing(step: int) -> None:
    return None


@dataclass
class FakeTrainer:
    """Twelve steps in three epochs; every third step is skipped and halves the loss scale.

    Attributes:
        before_step: called with the number of each step before it is done; may wait or raise.
        done: numbers of the steps done.
    """

    before_step: Callable[[int], None] = _nothing
    done: list[int] = field(default_factory=list)

    @property
    def network(self) -> Network:
        return MODEL.network

    @property
    def compilation(self) -> Compilation:
        return MODEL.compilation

    def initial_state(self, variables: Mapping[str, Array] | None = None) -> TrainState:
        return TrainState(
            seed=7,
            variables={"d/kernel": np.ones((3, 1), np.float32)} if variables is None else variables,
            slots={"momentum/d/kernel": np.zeros((3, 1), np.float32)},
            tracked={"loss": np.zeros(2, np.float32)},
            scaler=ScalerState(65536.0),
        )

    def finished(self, state: TrainState) -> bool:
        return state.epoch >= EPOCHS

    def advance(self, state: TrainState, pulse: Pulse = unhurried) -> tuple[TrainState, StepRecord | EpochRecord]:
        return self._end_epoch(state) if state.batch >= STEPS_PER_EPOCH else self._step(state)

    def _step(self, state: TrainState) -> tuple[TrainState, StepRecord]:
        step = state.step + 1
        self.before_step(step)
        applied = step % 3 != 0
        kernel, slot, total = state.variables["d/kernel"], state.slots["momentum/d/kernel"], state.tracked["loss"]
        if applied:
            slot *= np.float32(0.9)
            slot += kernel
            kernel -= np.float32(0.1) * slot
        loss = float(np.square(kernel).sum()) / step
        total += np.array([loss, 1.0], np.float32)
        scaler = ScalerState(state.scaler.loss_scale if applied else state.scaler.loss_scale / 2, int(applied))
        following = replace(
            state,
            step=step,
            batch=state.batch + 1,
            scaler=scaler,
            iterations=state.iterations + applied,
            skipped=state.skipped + (not applied),
        )
        self.done.append(step)
        return following, _record(state, following, loss, applied)

    def _end_epoch(self, state: TrainState) -> tuple[TrainState, EpochRecord]:
        total, count = state.tracked["loss"]
        logs = {"loss": float(total / count), "val_loss": float(total)}
        tracked = {"loss": np.zeros(2, np.float32)}
        following = replace(state, epoch=state.epoch + 1, batch=0, tracked=tracked, history=(*state.history, logs))
        return following, EpochRecord(following.epoch, state.step, logs)


def _record(before: TrainState, after: TrainState, loss: float, applied: bool) -> StepRecord:
    return StepRecord(
        step=after.step,
        epoch=before.epoch + 1,
        loss=loss,
        metrics={"accuracy": 0.5},
        loss_scale=before.scaler.loss_scale,
        loss_scale_after=after.scaler.loss_scale,
        counter_after=after.scaler.counter,
        grads_finite=applied,
        applied=applied,
        grad_norm=1.0 if applied else float("inf"),
        learning_rate=0.1,
        iterations=after.iterations,
    )


@dataclass
class FakeQueue:
    """A broker in memory; `down` makes it unreachable, `down_after` does so after so many messages."""

    messages: list[str] = field(default_factory=list)
    down: bool = False
    down_after: int | None = None
    sums: Counter[str] = field(default_factory=Counter)

    def wake(self, job_id: str) -> None:
        self._check()
        self.messages.append(job_id)

    def count(self, counts: Mapping[str, float]) -> None:
        self._check()
        self.sums.update(counts)

    def depth(self) -> int:
        self._check()
        return len(self.messages)

    def _check(self) -> None:
        if self.down or (self.down_after is not None and len(self.messages) >= self.down_after):
            raise QueueUnavailable("down")


def wakeup(job_id: str, attempt: int = 0) -> Wakeup:
    return Wakeup(job_id, attempt)
