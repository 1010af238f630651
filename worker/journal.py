"""What a slice has to tell: collects the trainer's records and turns them into the next write."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.failing import told, where
from engine.training import EpochRecord, StepRecord
from worker.faults import applied_nonfinite, detail_of, loss_alone
from worker.jobs.metrics import REASON, REASONS, finite
from worker.jobs.records import Flush, JobWarning, NewEvent, place_of_epoch, place_of_step

MAX_SKIP_EVENTS = 20
"""Skipped steps told one by one in a single write; of more there is only the sum (metrics and report have them all)."""


class Journal:
    """Collects records between two writes."""

    def __init__(self) -> None:
        self._steps: list[StepRecord] = []
        self._epochs: list[EpochRecord] = []

    def add(self, record: StepRecord | EpochRecord) -> None:
        """Note what the trainer did."""
        if isinstance(record, StepRecord):
            self._steps.append(record)
        else:
            self._epochs.append(record)

    def clear(self) -> None:
        """Forget everything: it was written."""
        self._steps, self._epochs = [], []

    def flush(self, step: int, epoch: int, seconds: float) -> Flush:
        """The write that tells everything noted since the last `clear`.

        Args:
            step: of the state now.
            epoch: finished ones.
            seconds: time trained since the last write.
        """
        records: list[StepRecord | EpochRecord] = [*self._steps, *self._epochs]
        acted = [event for record in records for event in _callback_events(record)]
        events = [*self._fault_events(), *map(_epoch_event, self._epochs), *acted]
        if not self._steps:
            return Flush(step, epoch, seconds, events=tuple(events))
        last = self._steps[-1]
        latest = finite({**row_of(last), **_last_logs(self._epochs)})
        events.append(NewEvent("job.metrics", f"Step {last.step}.", latest, place=place_of_step(last.step)))
        return Flush(
            step,
            epoch,
            seconds,
            tuple(map(row_of, self._steps)),
            latest,
            last.loss_scale_after,
            tuple(_sorted(events)),
            faults={record.step: detail_of(record.blame) for record in self._steps if record.blame is not None},
            warnings=tuple(_warnings(self._steps)),
        )

    def _fault_events(self) -> list[NewEvent]:
        skipped = [record for record in self._steps if not record.applied]
        events = [_fault_event(record) for record in skipped[:MAX_SKIP_EVENTS]]
        if len(skipped) > MAX_SKIP_EVENTS:
            more = len(skipped) - MAX_SKIP_EVENTS
            place = place_of_step(skipped[-1].step)
            text = f"{more} more steps were skipped."
            events.append(NewEvent("job.skipped_step", text, {"more": more}, "warn", place))
        return events


def row_of(record: StepRecord) -> dict[str, float]:
    """A step as the row that is kept of it."""
    fault = {} if record.reason is None else {REASON: float(REASONS.index(record.reason))}
    return {
        **record.metrics,
        **fault,
        "step": record.step,
        "epoch": record.epoch,
        "loss": record.loss,
        "loss_scale": record.loss_scale,
        "loss_scale_after": record.loss_scale_after,
        "counter": record.counter_after,
        "grads_finite": record.grads_finite,
        "applied": record.applied,
        "grad_norm": record.grad_norm,
        "learning_rate": record.learning_rate,
        "iterations": record.iterations,
    }


def _last_logs(epochs: list[EpochRecord]) -> Mapping[str, Any]:
    """Validation values of the last finished epoch; its other values the steps tell."""
    logs = epochs[-1].logs if epochs else {}
    return {name: value for name, value in logs.items() if name.startswith("val_")}


def _fault_event(record: StepRecord) -> NewEvent:
    data: dict[str, Any] = {
        "step": record.step,
        "reason": record.reason or "nonfinite_gradient",
        "loss_scale_before": record.loss_scale,
        "loss_scale_after": record.loss_scale_after,
    }
    text = (
        f"Step {record.step} was skipped: its gradients are not finite at loss scale {record.loss_scale:g}; the fault "
        f"lies {where(record.reason)}."
    )
    if record.blame is not None:
        data |= detail_of(record.blame)
        text = f"{text} {told(record.blame)}"
    return NewEvent("job.skipped_step", text, data, "warn", place_of_step(record.step))


def _warnings(records: Sequence[StepRecord]) -> Iterator[JobWarning]:
    """Yield what is doubtful about steps that were applied although something was not finite: the first of each.

    They say that the weights are finite, so that steps which lost weights give none.
    """
    lost = [record.lost_before or record.lost_after for record in records]
    odd = [record for record, gone in zip(records, lost, strict=True) if record.applied and record.reason and not gone]
    for record in [record for record in odd if record.grads_finite][:1]:
        yield loss_alone(record.step, record.step, 1, record.loss, record.blame)
    for record in [record for record in odd if not record.grads_finite][:1]:
        yield applied_nonfinite(record.step, record.step, 1, record.blame)


def _epoch_event(record: EpochRecord) -> NewEvent:
    data = {"epoch": record.epoch, "step": record.step, "logs": finite(record.logs)}
    return NewEvent("job.epoch", f"Epoch {record.epoch} is done.", data, place=place_of_epoch(record.step))


def _callback_events(record: StepRecord | EpochRecord) -> Iterator[NewEvent]:
    """Yield what callbacks did after a step or an epoch, in their order."""
    place = place_of_step(record.step) if isinstance(record, StepRecord) else place_of_epoch(record.step)
    for action in record.actions:
        data = {"callback": action.callback, "action": action.kind, "step": record.step, **action.data}
        yield NewEvent("job.callback", action.message, data, place=place)


def _sorted(events: list[NewEvent]) -> list[NewEvent]:
    """In the order of the run; the sort is stable."""
    return sorted(events, key=lambda event: event.place or 0)
