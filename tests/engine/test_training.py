"""The loop: what a step does, what skipping does, and that resuming is bit-identical."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest

from engine import checkpoint
from engine.conventions import KERAS3, TF24, Conventions
from engine.errors import DataInvalid, EngineError, InvalidValue, ShapeMismatch
from engine.model import model_from_config
from engine.state import TrainState
from engine.training import EpochRecord, FitOptions, Trainer, TrainingFailed
from tests.engine.problems import OVERFLOWING, classifier, compiled, data, run, trainer

POLICIES: list[Any] = ["float32", "float64", "float16", "mixed_float16", "mixed_bfloat16", OVERFLOWING]

OPTIMIZERS: list[Any] = [
    "adam",
    {"class_name": "SGD", "config": {"momentum": 0.9}},
    {"class_name": "RMSprop", "config": {"momentum": 0.5, "centered": True, "decay": 0.1}},
    "nadam",
    "adafactor",
    "ftrl",
    {
        "class_name": "AdamW",
        "config": {
            "learning_rate": {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01, "decay_steps": 9}},
            "amsgrad": True,
            "global_clipnorm": 0.5,
            "gradient_accumulation_steps": 3,
            "use_ema": True,
            "ema_overwrite_frequency": 2,
        },
    },
]


FALLING = {"initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 0.5}


def saved_and_read(state: TrainState) -> TrainState:
    """Return the state as it comes back from a file, in another process as it were."""
    file = io.BytesIO()
    arrays, meta = state.to_parts()
    checkpoint.write(file, arrays, json.loads(json.dumps(meta, allow_nan=False)))
    file.seek(0)
    return TrainState.from_parts(*checkpoint.read(file))


def fingerprint(state: TrainState) -> tuple[Any, ...]:
    arrays, meta = state.to_parts()
    return json.dumps(meta, sort_keys=True), {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_resuming_at_every_step_is_bit_identical(policy: Any, optimizer: Any) -> None:
    whole, steps, epochs = run(
        trainer(policy, optimizer=optimizer), trainer(policy, optimizer=optimizer).initial_state()
    )
    of = trainer(policy, optimizer=optimizer)
    state = of.initial_state()
    resumed = []
    while not of.finished(state):
        of = trainer(policy, optimizer=optimizer)
        state, record = of.advance(saved_and_read(state))
        resumed.append(record)
    assert fingerprint(state) == fingerprint(whole)
    # Compared as text: a skipped step's nan is not equal to itself.
    assert [repr(record) for record in resumed if not isinstance(record, EpochRecord)] == [repr(s) for s in steps]
    assert [record for record in resumed if isinstance(record, EpochRecord)] == epochs


def test_averages_replace_the_weights_when_the_training_ends() -> None:
    optimizer = {"class_name": "SGD", "config": {"use_ema": True, "ema_momentum": 0.9}}
    of = trainer(epochs=2, optimizer=optimizer, batch_norm=False)
    state = of.initial_state()
    raw = {}
    while not of.finished(state):
        raw = {path: array.copy() for path, array in state.variables.items()}
        state, _ = of.advance(state)
    for path, array in state.variables.items():
        assert np.array_equal(array, state.slots[f"average/{path}"])
        assert not np.array_equal(array, raw[path])


@pytest.mark.parametrize(("line", "waits"), [(TF24, False), (KERAS3, True)], ids=["tf2.4", "keras3"])
def test_skipped_steps_move_schedules_on_in_keras2_alone(line: Conventions, waits: bool) -> None:
    rate = {"class_name": "ExponentialDecay", "config": FALLING}
    inner = {"class_name": "SGD", "config": {"learning_rate": rate}}
    scaled = {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": inner, "initial_scale": 2.0**40}}
    x, y = data()
    model = model_from_config(classifier(batch_norm=False), "mixed_float16", line)
    model.compile(scaled, "sparse_categorical_crossentropy")
    _, steps, _ = run(of := Trainer(model, x, y, FitOptions(8, 1), 0), of.initial_state())
    assert not steps[0].applied
    assert (steps[1].learning_rate == steps[0].learning_rate) == waits


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    first, second, other = (
        run(of, of.initial_state())[0] for of in (trainer(seed=1), trainer(seed=1), trainer(seed=2))
    )
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(other)


def test_a_skipped_step_changes_no_weight_but_counts() -> None:
    of = trainer(OVERFLOWING, batch_norm=False)
    state = of.initial_state()
    before = {path: array.copy() for path, array in state.variables.items()}
    state, record = of.step(state)
    assert not record.applied
    assert not record.grads_finite
    assert (record.loss_scale, record.loss_scale_after) == (2.0**24, 2.0**23)
    assert record.iterations == 1  # TF 2.4: a skipped step still advances `iterations`
    assert all(np.array_equal(before[path], array) for path, array in state.variables.items())
    assert not any(array.any() for array in state.slots.values())
    assert (state.step, state.skipped, state.skipped_in_a_row) == (1, 1, 1)


def test_the_scale_comes_down_until_steps_apply_and_then_grows_again() -> None:
    of = trainer(OVERFLOWING, epochs=8)
    state, steps, _ = run(of, of.initial_state())
    skipped = [record.step for record in steps if not record.applied]
    assert skipped[0] == 1
    assert 0 < len(skipped) < len(steps) / 2
    assert state.skipped == len(skipped)
    assert any(record.loss_scale_after > record.loss_scale for record in steps)
    for record in steps:
        assert record.applied == record.grads_finite
        assert record.applied == math.isfinite(record.grad_norm)


def test_training_learns() -> None:
    for policy in POLICIES:
        x, y = data(400)
        model = compiled(policy, dropout=0.0, optimizer={"class_name": "SGD", "config": {"learning_rate": 0.1}})
        history = model.fit(x, y, epochs=8, validation_split=0.2).history
        assert history["val_accuracy"][-1] > 0.8, policy
        assert history["loss"][-1] < history["loss"][0], policy


def test_mixed_float16_follows_float32() -> None:
    policies = ("float32", "mixed_float16")
    trainers = [trainer(policy, batch_norm=False, dropout=0.0) for policy in policies]
    float32, mixed = (run(of, of.initial_state())[1] for of in trainers)
    losses = np.array([[record.loss for record in records] for records in (float32, mixed)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.01)


def test_unscaled_gradients_do_not_depend_on_the_scale() -> None:
    def first_norm(scale: float) -> float:
        policy = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": scale}}
        of = trainer(policy)
        return of.step(of.initial_state())[1].grad_norm

    assert first_norm(1024.0) == pytest.approx(first_norm(2048.0), rel=1e-2)


def test_fixed_scale_applies_nonfinite_gradients() -> None:
    of = trainer({"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": 2.0**40}})
    state, record = of.step(of.initial_state())
    assert record.applied
    assert not record.grads_finite
    assert any(not np.isfinite(array).all() for array in state.variables.values())


def test_jobs_fail_where_keras_goes_on_with_nan() -> None:
    x, y = data()
    model = compiled({"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": 2.0**40}})
    of = Trainer(model, x, y, FitOptions(8, 2, terminate_on_nonfinite=True), 0)
    with pytest.raises(TrainingFailed) as caught:
        run(of, of.initial_state())
    assert caught.value.code == "nonfinite_loss"
    assert caught.value.step == 1
    assert caught.value.done is not None
    state, record = caught.value.done
    assert (state.step, state.skipped, state.nonfinite) == (1, 0, 1)
    assert (record.step, record.applied, record.reason) == (1, True, "nonfinite_gradient")


def test_a_scale_that_cannot_recover_fails_the_job() -> None:
    x, y = data()
    model = model_from_config(classifier(batch_norm=False, dropout=0.0), OVERFLOWING)
    model.compile("adam", "sparse_categorical_crossentropy")
    of = Trainer(model, x * np.float32(60000), y, FitOptions(8, 60, terminate_on_nonfinite=True), 0)
    with pytest.raises(TrainingFailed) as caught:
        run(of, of.initial_state())
    assert caught.value.code == "loss_scale_underflow"
    assert caught.value.done is not None
    assert caught.value.done[0].skipped == caught.value.done[1].step == caught.value.step


def test_validation_uses_the_last_rows_and_evaluate_agrees() -> None:
    of = trainer(epochs=1)
    state, _, epochs = run(of, of.initial_state())
    x, y = data()
    checked = of.evaluate(state, x[45:], y[45:])
    assert epochs[0].logs["val_loss"] == checked["loss"]
    assert epochs[0].logs["val_accuracy"] == checked["accuracy"]
    assert set(epochs[0].logs) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_steps_epochs_and_totals() -> None:
    of = trainer(epochs=2)
    state, steps, epochs = run(of, of.initial_state())
    assert (of.steps_per_epoch, of.total_steps) == (6, 12)
    assert [record.step for record in steps] == list(range(1, 13))
    assert [record.epoch for record in steps] == [1] * 6 + [2] * 6
    assert [record.step for record in epochs] == [6, 12]
    assert len(state.history) == 2


def test_class_weights_are_sample_weights() -> None:
    x, y = data()
    weights = {0: 2.0, 2: 0.5}
    rows = np.array([weights.get(int(label), 1.0) for label in y], np.float32)
    losses = []
    for options, given in ((FitOptions(8, class_weight=weights), None), (FitOptions(8), rows)):
        of = Trainer(compiled(), x, y, options, 0, given)
        losses.append(of.step(of.initial_state())[1].loss)
    assert losses[0] == losses[1]


def test_predictions_come_in_the_true_dtype_of_the_head() -> None:
    x, _ = data()
    config = classifier()
    del config["config"]["layers"][-1]["config"]["dtype"]
    assert model_from_config(config, "mixed_float16").predict(x).dtype == np.float16
    assert model_from_config(classifier(), "mixed_float16").predict(x).dtype == np.float32


def test_fit_goes_on_where_the_last_one_stopped() -> None:
    x, y = data()
    model = compiled()
    model.fit(x, y, epochs=1)
    after_one = model.get_weights()
    model.fit(x, y, epochs=1)
    assert any(not np.array_equal(a, b) for a, b in zip(after_one, model.get_weights(), strict=True))
    assert model.evaluate(x, y)["accuracy"] > 0.3


def test_weights_can_be_read_and_set() -> None:
    first, second = compiled(), compiled()
    second.seed = 99
    second.set_weights(first.get_weights())
    x, y = data()
    assert np.array_equal(first.predict(x), second.predict(x))
    with pytest.raises(ShapeMismatch):
        second.set_weights(first.get_weights()[:-1])
    assert second.train_on_batch(x, y).keys() == {"loss", "accuracy"}


def broken(**changes: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = data()
    y = y.astype(np.float64)
    for (name, row), value in changes.get("at", {}).items():
        (x if name == "x" else y)[row] = value
    return x, y


@pytest.mark.parametrize(
    ("x", "y", "error", "path", "words"),
    [
        (*broken(at={("x", (3, 2)): np.nan}), DataInvalid, ("x", 3, 2), "nan at row 3, column 2"),
        (*broken(at={("x", (1, 0)): np.inf}), DataInvalid, ("x", 1, 0), "inf at row 1"),
        (*broken(at={("y", 7): 3}), DataInvalid, ("y", 7), "label 3.0 at row 7"),
        (*broken(at={("y", 7): -1}), DataInvalid, ("y", 7), "0 to 2"),
        (*broken(at={("y", 7): 0.5}), DataInvalid, ("y", 7), "integers"),
        (data()[0][:, :5], data()[1], ShapeMismatch, ("x",), "(batch, 6)"),
        (data()[0], data()[1][:-1], ShapeMismatch, ("y",), "50 rows"),
        (data()[0], np.eye(3)[data()[1]], ShapeMismatch, ("y",), "CategoricalCrossentropy"),
        (data()[0][:0], data()[1][:0], DataInvalid, ("x",), "empty"),
        (np.array([["a"] * 6]), np.array([0]), DataInvalid, ("x",), "numbers"),
    ],
)
def test_bad_data_say_where_and_what(x: Any, y: Any, error: type[EngineError], path: Any, words: str) -> None:
    with pytest.raises(error) as caught:
        Trainer(compiled(), x, y, FitOptions(), 0)
    assert caught.value.path == path
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"batch_size": 0}, ("batch_size",)),
        ({"epochs": -1}, ("epochs",)),
        ({"batch_size": True}, ("batch_size",)),
        ({"validation_split": 1.0}, ("validation_split",)),
    ],
)
def test_bad_options(options: dict[str, Any], path: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValue) as caught:
        FitOptions(**options)
    assert caught.value.path == path


def test_validation_may_not_take_every_row() -> None:
    x, y = data(3)
    with pytest.raises(DataInvalid, match="not sufficient"):
        Trainer(compiled(), x, y, FitOptions(validation_split=0.99), 0)


def test_a_damaged_checkpoint_is_refused() -> None:
    arrays, meta = trainer().initial_state().to_parts()
    with pytest.raises(InvalidValue, match="no place"):
        TrainState.from_parts({**arrays, "elsewhere/x": np.zeros(1)}, meta)
    with pytest.raises(InvalidValue, match="damaged"):
        TrainState.from_parts(arrays, {**meta, "step": None})
