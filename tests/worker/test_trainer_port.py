"""The port between runner and engine: the fake trainer of the other tests does what the real one does."""

import io
from collections.abc import Callable

import numpy as np
import pytest

from engine import checkpoint
from engine.state import TrainState
from engine.training import EpochRecord, StepRecord
from tests.worker.fakes import FakeTrainer
from tests.worker.specs.jobs import prepared
from worker.results import model_arrays
from worker.runner import Trainer


def real() -> Trainer:
    return prepared({"/fit/batch_size": 256, "/fit/epochs": 2}).trainer


MAKERS: dict[str, Callable[[], Trainer]] = {"fake": FakeTrainer, "real": real}


@pytest.fixture(params=["fake", "real"])
def make(request: pytest.FixtureRequest) -> Callable[[], Trainer]:
    return MAKERS[request.param]


def run(trainer: Trainer, state: TrainState) -> tuple[TrainState, list[StepRecord | EpochRecord]]:
    records: list[StepRecord | EpochRecord] = []
    while not trainer.finished(state):
        state, record = trainer.advance(state)
        records.append(record)
    return state, records


def packed(state: TrainState) -> bytes:
    arrays, meta = state.to_parts()
    file = io.BytesIO()
    checkpoint.write(file, arrays, meta)
    return file.getvalue()


def unpacked(content: bytes) -> TrainState:
    return TrainState.from_parts(*checkpoint.read(io.BytesIO(content)))


def test_steps_are_counted_from_one_and_epochs_follow_their_steps(make: Callable[[], Trainer]):
    trainer = make()
    first = trainer.initial_state()
    assert (first.step, first.epoch, first.batch, first.history) == (0, 0, 0, ())
    state, records = run(trainer, first)
    steps = [record.step for record in records if isinstance(record, StepRecord)]
    assert steps == list(range(1, state.step + 1))
    ends = [record for record in records if isinstance(record, EpochRecord)]
    assert [end.epoch for end in ends] == list(range(1, state.epoch + 1))
    assert records[-1] is ends[-1]
    assert len(state.history) == state.epoch
    assert all(dict(end.logs) == dict(logs) for end, logs in zip(ends, state.history, strict=True))


def test_a_run_that_was_saved_after_every_step_ends_in_the_same_bytes(make: Callable[[], Trainer]):
    whole, records = run(make(), make().initial_state())
    trainer = make()
    content = packed(trainer.initial_state())
    again: list[StepRecord | EpochRecord] = []
    while not trainer.finished(unpacked(content)):
        trainer = make()
        state, record = trainer.advance(unpacked(content))
        content = packed(state)
        again.append(record)
    assert content == packed(whole)
    assert repr(again) == repr(records)


def test_two_runs_are_the_same(make: Callable[[], Trainer]):
    assert packed(run(make(), make().initial_state())[0]) == packed(run(make(), make().initial_state())[0])


def test_the_loss_scale_goes_on_where_the_last_step_left_it(make: Callable[[], Trainer]):
    _, records = run(make(), make().initial_state())
    steps = [record for record in records if isinstance(record, StepRecord)]
    assert [step.loss_scale for step in steps[1:]] == [step.loss_scale_after for step in steps[:-1]]
    assert any(not step.applied for step in steps)
    assert all(step.applied or not step.grads_finite for step in steps)


def test_the_model_file_holds_every_weight_in_its_dtype(make: Callable[[], Trainer]):
    trainer = make()
    arrays = model_arrays(trainer.network.weight_specs, trainer.initial_state())
    specs = {spec.path: spec for spec in trainer.network.weight_specs}
    assert set(arrays) == set(specs)
    for path, array in arrays.items():
        assert (array.shape, array.dtype) == (specs[path].shape, np.dtype(specs[path].dtype.edge))
